"""The report of a compilation: facts, tables, an HTML page, stage times and costs."""

import base64
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import nasir
from nasir import Cost, NasirError, dump_genotype, load_genotype
from nasir.errors import Summarised, xml
from nasir.formats import FORMATS
from runners.experiment.sizes import describe_size
from runners.folder.display import Display
from runners.machine.machine import Machine
from runners.output import Cell, TextTable, measure_text

if TYPE_CHECKING:
    from lowering import Comparison
    from nasir import PassRecord
    from runners.task.score import Accuracy, Latency

TITLES = ("Cost", "Passes, for inference", "Time of each stage", "Forms", "Held-out data")
"""Titles of a report's tables, in order."""


@dataclass(frozen=True, slots=True)
class CompileStage:
    """A stage and its wall time."""

    name: str
    seconds: float


class Clock:
    """Times the stages. Mutable: `stages` grows while it runs."""

    def __init__(self, progress: Display) -> None:
        self._progress = progress
        self.stages: list[CompileStage] = []

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Shows and times a stage within the context; a failed stage is not recorded."""
        with self._progress.stage(name), self.quick_stage(name):
            yield

    @contextmanager
    def quick_stage(self, name: str) -> Generator[None]:
        """Times a stage that is too short to be shown."""
        start = time.perf_counter()
        yield
        self.stages.append(CompileStage(name, time.perf_counter() - start))


@dataclass(frozen=True, slots=True)
class FormResult:
    """Measurements of one form; None: not measured. `note` has the reason or a remark."""

    form: str
    difference: "Comparison | None" = None
    latency: "Latency | None" = None
    accuracy: "Accuracy | None" = None
    note: str = ""
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Report(Summarised):
    """A compilation. `output` is the shape of the logits; `files` are in the order written.

    The first of `forms` is the network in eager torch, the reference of the others.
    """

    nasir: str
    genotype: str
    name: str
    space: str
    size: dict[str, str | int]
    auxiliary: bool
    seed: int
    weights: str
    batch: int
    cost: Cost
    passes: "tuple[PassRecord, ...]"
    stages: tuple[CompileStage, ...]
    output: tuple[int, ...]
    forms: tuple[FormResult, ...]
    machine: Machine
    target: str = ""
    files: tuple[Path, ...] = ()

    @property
    def _facts(self) -> Mapping[str, object]:
        speeds = {
            f"{each.form} latency": f"{1e3 * each.latency.seconds:.3g} ms"
            for each in self.forms
            if each.latency
        }
        sizes = {"params": self.cost.params, "macs": self.cost.macs}
        return {"network": title(self), **sizes, **speeds, "files": len(self.files)}

    def form(self, name: str) -> FormResult:
        """Returns the result of a form. Raises KeyError if it was not made."""
        return {each.form: each for each in self.forms}[name]

    def facts(self) -> dict[str, Any]:
        """Returns the report as plain data, with the cost's totals only."""
        facts = {key: value for key, value in asdict(self).items() if key != "cost"}
        forms = [{**row, "files": [*map(str, row["files"])]} for row in facts["forms"]]
        return facts | {
            "cost": cost_facts(self.cost),
            "forms": forms,
            "files": [str(path) for path in self.files],
        }


def report_parts(report: Report) -> Iterator[str | TextTable]:
    """Yields the report and the files written, as lines and tables."""
    yield title(report)
    for table in tables(report):
        yield ""
        yield table
    yield ""
    yield from notes(report)
    yield from (f"wrote {path}" for path in report.files)


def title(report: Report) -> str:
    """Returns the name and size of the network."""
    return f"{report.name}: {describe_size(report.size)}"


def notes(report: Report) -> tuple[str, ...]:
    """Describes how the figures were measured."""
    machine = report.machine
    threads = "1 thread" if machine.threads == 1 else f"{machine.threads} threads"
    measured = (
        f"measured on {machine.device}, {threads}, torch {machine.torch}, "
        f"Python {machine.python}, {machine.platform}; {report.batch} in a batch; "
        "interleaved runs after a warm-up"
    )
    what = "log-probabilities" if "vocabulary" in report.size else "logits"
    weights = report.weights or f"random, seed {report.seed}; batch norms have initial statistics"
    return (
        f"output: {what} of shape {report.output}",
        f"weights: {weights}",
        measured,
        f"counted: {report.cost.convention}",
    )


def tables(report: Report) -> tuple[TextTable, ...]:
    """Returns tables of costs, passes, stages, forms, and accuracies, if any."""
    passes = [(p.name, p.before, p.after, f"{p.seconds * 1e3:.1f} ms") for p in report.passes]
    stages = [(stage.name, f"{stage.seconds:.2f} s") for stage in report.stages]
    return (
        cost_table("", "cost", with_head(report.cost)),
        TextTable("", ("pass", "nodes before", "nodes after", "time"), tuple(passes)),
        TextTable("", ("stage", "time"), tuple(stages)),
        forms_table(report),
        *accuracies_table(report.forms),
    )


def forms_table(report: Report) -> TextTable:
    """Tabulates latencies, and differences from the network in eager torch."""
    first = report.forms[0].latency
    rows: list[tuple[Cell, ...]] = []
    for each in report.forms:
        time, far = each.latency, each.difference
        rows.append(
            (
                each.form,
                f"{time.seconds * 1e3:.2f} ms" if time else "-",
                f"{time.lowest * 1e3:.2f} ms" if time else "-",
                f"{first.seconds / time.seconds:.2f}x" if time and first else "-",
                f"{far.difference:.2e}" if far else "-",
                f"{far.magnitude:.3g}" if far else "-",
                "; ".join(filter(None, ["selected" * (each.form == report.target), each.note])),
            )
        )
    columns = ("form", "median", "lowest", "speed-up", "difference", "magnitude", "note")
    return TextTable("", columns, tuple(rows))


def accuracies_table(forms: Sequence[FormResult]) -> tuple[TextTable, ...]:
    """Tabulates the forms' accuracies on the same held-out data, if any."""
    found = {each.form: each.accuracy for each in forms if each.accuracy is not None}
    if not found:
        return ()
    first = next(iter(found.values()))
    rows: list[tuple[Cell, ...]] = [
        (
            form,
            *(measure_text(name, each.measures[name]) for name in first.measures),
            "-" if each.changed is None else each.changed,
        )
        for form, each in found.items()
    ]
    corner = f"{first.count:,} of the {first.split} data"
    return (TextTable("", (corner, *first.measures, "changed"), tuple(rows)),)


def cost_sums(cost: Cost) -> dict[str, int]:
    """Returns the totals as plain data, without the auxiliary head."""
    return {"params": cost.params, "macs": cost.macs, "activations": cost.activations}


def cost_facts(cost: Cost) -> dict[str, Any]:
    """Returns the totals, the auxiliary head's separately, and the convention."""
    head = cost.auxiliary
    return {
        **cost_sums(cost),
        "auxiliary": cost_sums(head) if head else None,
        "convention": cost.convention,
    }


def cost_table(title: str, corner: str, costs: dict[str, Cost]) -> TextTable:
    """Tabulates parameters, multiply-adds and activations, with a column per cost."""
    names = {"params": "parameters", "macs": "multiply-adds", "activations": "activations"}
    sums = [cost_sums(cost) for cost in costs.values()]
    rows: list[tuple[Cell, ...]] = [
        (label, *(row[key] for row in sums)) for key, label in names.items()
    ]
    return TextTable(title, (corner, *costs), tuple(rows))


def with_head(cost: Cost) -> dict[str, Cost]:
    """Returns the cost of the network and of its auxiliary head, if any, by name."""
    return {"network": cost} | ({"auxiliary head": cost.auxiliary} if cost.auxiliary else {})


def html_page(
    reports: Sequence[Report], directory: Path, heading: str = "", introduction: str = ""
) -> str:
    """Returns the page; links to files are relative to `directory`."""
    names = [f"{number}-{report.name}" for number, report in enumerate(reports, 1)]
    pairs = [*zip(names, reports, strict=True)]
    links = [f'<a href="#{xml(name)}">{xml(report.name)}</a>' for name, report in pairs]
    return _filled(
        "page.html",
        heading=xml(heading or title(reports[0])),
        introduction=xml(introduction),
        links="".join(links) if len(reports) > 1 else "",
        sections="\n".join(_section(report, name, directory) for name, report in pairs),
        notes="".join(f"<p>{xml(note)}</p>" for note in notes(reports[-1])[2:]),
    )


def _filled(file: str, **values: str) -> str:
    """Fills in a template of this folder."""
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _section(report: Report, name: str, directory: Path) -> str:
    cells = load_genotype(report.genotype).cells
    tiles = [
        f'<div class="tile"><b>{xml(value)}</b><span>{xml(what)}</span></div>'
        for what, value in _figures(report)
    ]
    tables_ = [_table(*row) for row in zip(TITLES, tables(report), strict=False)]
    texts = [
        f"<details><summary>the genotype as {xml(form)}</summary><pre>{xml(text)}</pre></details>"
        for form, text in _texts(report).items()
    ]
    return _filled(
        "section.html",
        id=xml(name),
        name=xml(report.name),
        origin=xml(f"{title(report).partition(': ')[2]}. {notes(report)[1]}."),
        tiles="".join(tiles),
        cells="".join(_figure(nasir.draw(cell).svg, f"{cell.kind} cell") for cell in cells),
        tables="".join(tables_[3:]),
        columns="".join(f"<div>{table}</div>" for table in tables_[:3]),
        texts="".join(texts),
        files=f"<h3>Files</h3>\n<p>{_links(report.files, directory)}</p>" if report.files else "",
    )


def _figures(report: Report) -> tuple[tuple[str, str], ...]:
    """Returns the key figures as pairs of name and value."""
    times = {each.form: each.latency.seconds for each in report.forms if each.latency}
    best = min(times, key=lambda name: times[name])
    far = [each.difference.difference for each in report.forms if each.difference]
    expanded = next(each.after for each in report.passes if each.name == "expand")
    return (
        ("parameters", f"{report.cost.params:,}"),
        ("multiply-adds", f"{report.cost.macs / 1e6:.1f} M"),
        ("nodes, before and after passes", f"{expanded:,} → {report.passes[-1].after:,}"),
        (f"eager → {best}", f"{times['eager'] * 1e3:.1f} → {times[best] * 1e3:.1f} ms"),
        ("largest difference of a form", f"{max(far):.1e}" if far else "-"),
    )


def _texts(report: Report) -> dict[str, str]:
    """Returns the genotype in every format that can represent it."""
    genotype, texts = load_genotype(report.genotype), dict[str, str]()
    for name in (name for name, row in FORMATS.items() if row.dump is not None):
        with suppress(NasirError):
            texts[name] = dump_genotype(genotype, name).strip()
    return texts


def _figure(svg: str, caption: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img alt="{xml(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{xml(caption)}</figcaption></figure>"
    )


def _table(heading: str, table: TextTable) -> str:
    kinds = ['class="number"' if table.is_number(i) else "" for i in range(len(table.columns))]
    head = _row("th", table.columns, kinds)
    body = "".join(_row("td", row, kinds) for row in table.texts())
    return f'<h3>{xml(heading)}</h3><div class="wide"><table>{head}{body}</table></div>'


def _row(tag: str, cells: Iterable[str], kinds: list[str]) -> str:
    inner = (f"<{tag} {kind}>{xml(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
    return f"<tr>{''.join(inner)}</tr>"


def _links(files: Iterable[Path], directory: Path) -> str:
    shown = (p.relative_to(directory) if p.is_relative_to(directory) else p for p in files)
    names = dict.fromkeys(path.as_posix() for path in shown)
    return ", ".join(f'<a href="{quote(name)}">{xml(name)}</a>' for name in names)

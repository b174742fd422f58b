"""A compilation's report: plain, frozen data, and tables of it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasir import Cost, PassRecord
from runners.experiment.size import describe_size
from runners.forms.costs import cost_facts, cost_table, with_head
from runners.machine.machine import Machine
from runners.output import Cell, TextTable, measure_text

if TYPE_CHECKING:
    from lowering import Comparison
    from runners.task.measure import Latency
    from runners.task.score import Accuracy


@dataclass(frozen=True, slots=True)
class CompileStage:
    """A stage and its wall time."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class FormResult:
    """Measurements of one form; None was not measured, and `note` says why or what to know."""

    form: str
    difference: "Comparison | None" = None
    latency: "Latency | None" = None
    accuracy: "Accuracy | None" = None
    note: str = ""
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A compilation. `output` is the shape of the logits; `files` are in the order written.

    The first of `forms` is the network in eager torch, which the others are compared with.
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
    passes: tuple[PassRecord, ...]
    stages: tuple[CompileStage, ...]
    output: tuple[int, ...]
    forms: tuple[FormResult, ...]
    machine: Machine
    target: str = ""
    files: tuple[Path, ...] = ()

    def form(self, name: str) -> FormResult:
        """The result of that form. Raises KeyError for one that was not made."""
        return {each.form: each for each in self.forms}[name]

    def facts(self) -> dict[str, Any]:
        """The report as plain data: the cost without its nodes."""
        facts = {key: value for key, value in asdict(self).items() if key != "cost"}
        forms = [{**row, "files": [*map(str, row["files"])]} for row in facts["forms"]]
        return facts | {
            "cost": cost_facts(self.cost),
            "forms": forms,
            "files": [str(path) for path in self.files],
        }


def report_parts(report: Report) -> Iterator[str | TextTable]:
    """All figures, and the files written, as lines and tables."""
    yield title(report)
    for table in tables(report):
        yield ""
        yield table
    yield ""
    yield from notes(report)
    yield from (f"wrote {path}" for path in report.files)


def title(report: Report) -> str:
    """The name and size of the network."""
    return f"{report.name}: {describe_size(report.size)}"


def notes(report: Report) -> tuple[str, ...]:
    """How the figures were measured."""
    machine = report.machine
    threads = "1 thread" if machine.threads == 1 else f"{machine.threads} threads"
    measured = (
        f"measured on {machine.device}, {threads}, torch {machine.torch}, "
        f"Python {machine.python}, {machine.platform}; {report.batch} in a batch; "
        "interleaved runs after a warm-up"
    )
    what = "log-probabilities" if "vocabulary" in report.size else "logits"
    weights = report.weights or f"random, of seed {report.seed}; batch norms have seen nothing"
    return (
        f"output: {what} of shape {report.output}",
        f"weights: {weights}",
        measured,
        f"counted: {report.cost.convention}",
    )


def tables(report: Report) -> tuple[TextTable, ...]:
    """Costs, passes, stages, forms, and accuracies where there are any."""
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
    """Latencies, and differences from the network in eager torch."""
    first = report.forms[0].latency
    rows: list[tuple[Cell, ...]] = []
    for each in report.forms:
        time, far = each.latency, each.difference
        notes = ["picked"] if each.form == report.target else []
        rows.append(
            (
                each.form,
                f"{time.seconds * 1e3:.2f} ms" if time else "-",
                f"{time.lowest * 1e3:.2f} ms" if time else "-",
                f"{first.seconds / time.seconds:.2f}x" if time and first else "-",
                f"{far.difference:.2e}" if far else "-",
                f"{far.magnitude:.3g}" if far else "-",
                "; ".join([*notes, *filter(None, [each.note])]),
            )
        )
    columns = ("form", "median", "lowest", "speed-up", "difference", "of", "note")
    return TextTable("", columns, tuple(rows))


def accuracies_table(forms: Sequence[FormResult]) -> tuple[TextTable, ...]:
    """Results of the forms on the same held-out data, where there is any."""
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
    return (TextTable("", (corner, *first.measures, "other answers"), tuple(rows)),)

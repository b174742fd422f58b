"""Compares finished runs: statistics of groups, cost, published figures, difference to random."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

import nasir
from nasir import Genotype, NasirError, Where
from nasir.errors import json_text
from nasir.files import write_atomically
from nasir.space.load import results
from runners.benchmarks import Question, answers, open_benchmark, records_of
from runners.experiment.scoring import Estimate, estimated
from runners.experiment.values import CIFAR10
from runners.folder.facts import SearchFacts, flat, has_ended, read_object
from runners.output import TextTable, finite
from runners.plot.curves import QUERY
from runners.plot.run import SPLITS, PlottedRun, Split, read_run
from runners.sweeps.trials import differing

RESAMPLES = 9999

RANDOM = "random"
"""The method that others are compared with."""

NOISE, FEW = "within noise of random", "too few runs to tell from random"

Numbers = np.typing.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run: its measure, cost, and the measure over epochs or queries.

    `value` is None for a run without a measure: a random draw without a table.
    """

    run: PlottedRun
    value: float | None
    measure: str
    params: int | None
    macs: int | None
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Runs that differ in their seed alone. `deviation` is that of the sample.

    `difference` is the mean's to that of random, with a bootstrap interval (percentiles), which is
    NaN for fewer than two runs of either. Costs are means over runs.
    """

    name: str
    runs: int
    mean: float | None
    deviation: float | None
    best: float | None
    worst: float | None
    params: float | None
    macs: float | None
    published: str
    difference: Estimate | None
    note: str
    folders: tuple[str, ...]


@dataclass(frozen=True)
class RunComparison:
    """Groups of runs with one measure; `unfinished` are the folders of runs that have not ended."""

    measure: str
    groups: tuple[RunGroup, ...]
    members: Mapping[str, Sequence[FinishedRun]]
    unfinished: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """The comparison as plain data."""
        rows = [asdict(group) for group in self.groups]
        for row in rows:
            if row["difference"]:
                row["difference"] = {k: finite(v) for k, v in row["difference"].items()}
        return {"measure": self.measure, "groups": rows, "unfinished": list(self.unfinished)}

    @cached_property
    def table(self) -> TextTable:
        """The comparison as a table."""
        columns = ("", "runs", "mean", "sd", "best", "worst", "params", "multiply-adds")
        rows = tuple(
            (
                group.name,
                group.runs,
                *map(_number, (group.mean, group.deviation, group.best, group.worst)),
                *("-" if each is None else round(each) for each in (group.params, group.macs)),
                group.published or "-",
                _interval(group.difference),
                group.note or "-",
            )
            for group in self.groups
        )
        return TextTable(
            self.measure, (*columns, "published", "difference to random", "note"), rows
        )


def compare_runs(runs: Sequence[str | Path], table: str | Path | None = None) -> RunComparison:
    """Compares run directories, grouped by every setting that differs except the seed.

    The measure is the test accuracy of found cells in `table`, a benchmark as `nasir query` reads
    it; without one, a search's last held-out metric or best value, and an evaluation's test metric.
    Raises an error if no run has ended, or if their measures differ.
    """
    look_up = None if table is None else _lookup(Path(table))
    found, unfinished = list[FinishedRun](), list[str]()
    for path in map(Path, runs):
        run = read_run(path)
        if run.facts is None or not has_ended(path, run.facts.kind):
            unfinished.append(str(path))
        else:
            found.append(_outcome(run, look_up))
    if not found:
        message = f"none of {len(unfinished)} runs has ended"
        raise NasirError("E721", message, Where(str(runs[0]) if runs else ""))
    measures = sorted({each.measure for each in found if each.value is not None})
    if len(measures) > 1:
        message = f"the runs have different measures: {', '.join(measures)}"
        raise NasirError("E505", message, hint="compare searches and evaluations apart")
    members = _grouped(found)
    measure = measures[0] if measures else "no measure"
    groups = tuple(
        _group(name, outcomes, _baseline(name, members), lower="perplexity" in measure)
        for name, outcomes in members.items()
    )
    return RunComparison(measure, groups, members, tuple(unfinished))


Lookup = Callable[[PlottedRun, Genotype], float]


def _lookup(path: Path) -> Lookup:
    """Returns a function from a run's genotype to its test accuracy in percent.

    It is on the run's data set, CIFAR-10 if the benchmark does not have it, after the longest
    training, averaged over seeds.
    """
    records = records_of(open_benchmark(path), path)

    def look_up(run: PlottedRun, genotype: Genotype) -> float:
        rows = answers(records(genotype), Question(split="test"))
        names = {row.dataset for row in rows}
        assert run.facts is not None, "logs are not compared"
        data = run.facts.data.text.partition(":")[0].lower()
        name = data if data in names else CIFAR10 if CIFAR10 in names else rows[0].dataset
        return max((r for r in rows if r.dataset == name), key=lambda r: r.epochs).accuracy

    return look_up


def _outcome(run: PlottedRun, look_up: Lookup | None) -> FinishedRun:
    facts, final = run.facts, run.final
    assert facts is not None, "logs are not compared"
    assert final is not None, "the run has ended"
    if not isinstance(facts, SearchFacts):
        summary: dict[str, Any] = read_object(run.path / "summary.json") or {}
        split: Split = next(name for name in reversed(SPLITS) if name in summary)
        curve = tuple((r.epoch + 1, r.score(split, facts.metric)) for r in run.metrics)
        measure, value = f"{split} {facts.metric}", summary[split].get(facts.metric)
        return FinishedRun(run, value, measure, summary["params"], summary["macs"], _known(curve))
    params, macs = _cost(final)
    if look_up is not None:
        curve = tuple((at + 1, look_up(run, each)) for at, each in run.genotypes.items())
        return FinishedRun(run, look_up(run, final), "test accuracy (table)", params, macs, curve)
    if run.metrics and run.metrics[-1].phase == QUERY:
        measure, curve = "best value", tuple((row.epoch + 1, row.best) for row in run.metrics)
    else:
        measure = f"valid {facts.metric}"
        curve = tuple((row.epoch + 1, row.score("valid", facts.metric)) for row in run.metrics)
    curve = _known(curve)
    return FinishedRun(run, curve[-1][1] if curve else None, measure, params, macs, curve)


def _known(curve: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    return tuple(point for point in curve if math.isfinite(point[1]))


def _cost(genotype: Genotype) -> tuple[int | None, int | None]:
    """Returns parameters and multiply-adds of the network on its space's own skeleton."""
    with suppress(NasirError):  # of a space that is not here
        cost = nasir.cost(nasir.network(genotype))
        return cost.params, cost.macs
    return None, None


def _grouped(found: Sequence[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Groups outcomes by the settings that differ, except the seed and what an evaluation is of."""
    settings = [_settings(each) for each in found]
    several, varied = differing(settings)
    keys = [tuple(str(known.get(name)) for name in varied) for known in settings]
    titles = list[str]()
    for shown in (several, varied):
        titles = [_title(each, known, shown) for each, known in zip(found, settings, strict=True)]
        if len(set(zip(titles, keys, strict=True))) == len(set(titles)):
            break
    groups: dict[str, list[FinishedRun]] = {}
    for title, each in zip(titles, found, strict=True):
        groups.setdefault(title, []).append(each)
    return groups


def _settings(outcome: FinishedRun) -> dict[str, object]:
    facts = outcome.run.facts
    assert facts is not None, "logs are not compared"
    known = {k: v for k, v in flat(facts.experiment, ".") if v is not None and v != {}}
    known.pop("seed", None)
    if not isinstance(facts, SearchFacts):
        known["of"] = facts.genotype.name
    return known


def _title(outcome: FinishedRun, known: Mapping[str, object], shown: Sequence[str]) -> str:
    """Returns the method or genotype, and the settings `shown`."""
    lead = _method(outcome)
    searching = isinstance(outcome.run.facts, SearchFacts)
    named = "search.method" if searching else "of"
    rest = [f"{_short(key)}={known[key]}" for key in shown if key in known and key != named]
    return ", ".join([lead, *rest])


def _short(key: str) -> str:
    for section in ("search.", "run.", "values."):
        key = key.removeprefix(section)
    return key


def _method(outcome: FinishedRun) -> str:
    """Returns the method of a search, or the genotype of an evaluation."""
    facts = outcome.run.facts
    assert facts is not None
    return facts.method.name if isinstance(facts, SearchFacts) else facts.genotype.name


def _baseline(
    name: str, members: Mapping[str, Sequence[FinishedRun]]
) -> Sequence[FinishedRun] | None:
    """Returns the runs of random with the same settings, or the only ones of random."""
    lead, comma, rest = name.partition(", ")
    if lead == RANDOM:
        return None
    same = members.get(f"{RANDOM}{comma}{rest}")
    others = [each for key, each in members.items() if key.partition(", ")[0] == RANDOM]
    return same or (others[0] if len(others) == 1 else None)


def _group(
    name: str,
    outcomes: Sequence[FinishedRun],
    baseline: Sequence[FinishedRun] | None,
    *,
    lower: bool,
) -> RunGroup:
    values = [each.value for each in outcomes if each.value is not None]
    random = [each.value for each in baseline or () if each.value is not None]
    difference = difference_of(values, random) if values and random else None
    note = ""
    if difference is not None:
        unknown = math.isnan(difference.low)
        note = FEW if unknown else NOISE if difference.low <= 0 <= difference.high else ""
    best, worst = (min, max) if lower else (max, min)
    return RunGroup(
        name,
        len(outcomes),
        fmean(values) if values else None,
        stdev(values) if len(values) > 1 else None,
        best(values, default=None),
        worst(values, default=None),
        _mean([each.params for each in outcomes]),
        _mean([each.macs for each in outcomes]),
        _published(outcomes[0]),
        difference,
        note,
        tuple(str(each.run.path) for each in outcomes),
    )


def difference_of(values: Sequence[float], random: Sequence[float]) -> Estimate:
    """Returns the difference of means with its bootstrap interval; NaN for fewer than two runs."""
    value = fmean(values) - fmean(random)
    if min(len(values), len(random)) < 2:
        return Estimate(value, math.nan, math.nan)
    samples = (np.asarray(values), np.asarray(random))
    return estimated(value, samples, _between_means, vectorized=True, n_resamples=RESAMPLES)


def _between_means(ours: Numbers, theirs: Numbers, axis: int = -1) -> Numbers:
    return np.asarray(np.mean(ours, axis) - np.mean(theirs, axis))


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _published(outcome: FinishedRun) -> str:
    """Returns the published figure of the method on the space, or of the genotype, if known."""
    facts = outcome.run.facts
    assert facts is not None
    data = facts.data.text.partition(":")[0].lower()
    if outcome.measure == "test accuracy (table)":
        known = {row.dataset for row in results()}
        data = data if f"{facts.space.name}/{data}" in known else CIFAR10
        wanted = (f"{facts.space.name}/{data}", "test accuracy, %")
        rows = [r for r in results() if r.system.lower() == _method(outcome).lower()]
    else:
        wanted = (data, "test error, %")
        name = _method(outcome).lower()
        rows = [row for row in results() if row.genotype and row.genotype.lower() == name]
    for row in rows:
        if (row.dataset, row.metric) == wanted and row.status == "repository":
            value = 100 - row.value if "error" in row.metric else row.value
            spread = "" if row.deviation is None else f" ± {row.deviation:.2f}"
            return f"{value:.2f}{spread}"
    return ""


def write_tables(found: RunComparison, directory: Path, stem: str = "table") -> tuple[Path, ...]:
    """Writes the table as Markdown, CSV, JSON, HTML and LaTeX, and the curves as PNG and SVG."""
    from runners.plot.comparisons import anytime
    from runners.plot.write import write_figure

    texts = {
        "md": markdown(found.table),
        "csv": _csv(found),
        "json": f"{json_text(found.facts, indent=2)}\n",
        "html": html(found.table),
        "tex": latex(found.table),
    }
    files = [
        write_atomically(directory / f"{stem}.{kind}", text.encode())
        for kind, text in texts.items()
    ]
    curves = {name: [e.curve for e in each if e.curve] for name, each in found.members.items()}
    if any(curves.values()):
        files += [
            write_figure(directory / f"curves.{kind}", lambda: anytime(curves, found.measure))
            for kind in ("png", "svg")
        ]
    return tuple(files)


def markdown(table: TextTable) -> str:
    """Returns a Markdown table."""
    sides = ["--:" if table.is_number(i) else "---" for i in range(len(table.columns))]
    rows = [list(table.columns), sides, *table.texts()]
    lines = ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows]
    return "\n".join([table.title, "", *lines, ""])


def html(table: TextTable) -> str:
    """Returns an HTML table with a caption."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = [
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.texts()
    ]
    body = "\n".join(rows)
    caption = f"<caption>{escape(table.title)}</caption>"
    return f"<table>\n{caption}\n<tr>{head}</tr>\n{body}\n</table>\n"


_TEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}


def latex(table: TextTable) -> str:
    """Returns a `tabular`, with every special character quoted."""
    sides = "".join("r" if table.is_number(i) else "l" for i in range(len(table.columns)))
    rows = [
        " & ".join("".join(_TEX.get(c, c) for c in cell) for cell in row) + r" \\"
        for row in (table.columns, *table.texts())
    ]
    lines = [rf"\begin{{tabular}}{{{sides}}}", r"\hline", rows[0], r"\hline", *rows[1:]]
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _csv(found: RunComparison) -> str:
    """Returns a row for each group with unrounded numbers."""
    text = io.StringIO()
    rows = found.facts["groups"]
    for row in rows:
        interval: dict[str, float] = row.pop("difference") or {}
        row |= {f"difference_{name}": interval.get(name) for name in ("value", "low", "high")}
        row["folders"] = json.dumps(row["folders"])
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if abs(value) < 1e6 else f"{value:.4g}"


def _interval(found: Estimate | None) -> str:
    if found is None:
        return "-"
    spread = "" if math.isnan(found.low) else f" ({found.low:+.2f} to {found.high:+.2f})"
    return f"{found.value:+.2f}{spread}"

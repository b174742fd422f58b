"""The figures of a result, as the page and the Markdown report both show them."""

from dataclasses import replace

from runners.demo.pictures import pictures
from runners.demo.run import Result
from runners.forms.show_report import differences_table, passes_table, speed_table, stages_table
from runners.output import Cell, Table


def figures(result: Result) -> tuple[tuple[str, str], ...]:
    """What one wants to know first: a name and a value each."""
    report = result.report
    speed = {each.name: each.seconds for each in report.latencies}
    best = "compiled" if "compiled" in speed else "folded"
    return (
        ("parameters", f"{report.cost.params:,}"),
        ("multiply-adds", f"{report.cost.macs / 1e6:.1f} M"),
        ("parameters in the paper's size", f"{result.published.params:,}"),
        ("nodes, before and after passes", f"{_primitives(result)} → {report.passes[-1].after}"),
        (f"eager, and {best}", f"{speed['eager'] * 1e3:.1f} → {speed[best] * 1e3:.1f} ms"),
        ("largest difference of any file", f"{_largest(result):.1e}"),
    )


def tables(result: Result) -> tuple[Table, ...]:
    """Passes, speed, differences and times."""
    report = result.report
    return (
        replace(passes_table(report), title="Passes, for inference"),
        replace(speed_table(report), title="Time of one picture"),
        replace(differences_table(report), title="Compared with eager torch, on noise"),
        replace(stages_table(report), title="Where the time went"),
    )


def logits_table(result: Result) -> Table:
    """The logits of one picture by every way to run the network."""
    names = list(pictures())
    shown = "ball"
    number = names.index(shown)
    rows: list[tuple[Cell, ...]] = []
    for run in result.runs:
        if run.logits is None:
            rows.append((run.name, run.reason, *[""] * _classes(result)))
            continue
        far = "-" if run.difference is None else f"{run.difference:.1e}"
        rows.append((run.name, far, *(f"{value:.4f}" for value in run.logits[number])))
    classes = tuple(str(i) for i in range(_classes(result)))
    title = f"Logits of the picture '{shown}' by class; differences are over all pictures"
    return Table(title, ("run by", "difference", *classes), tuple(rows))


def _classes(result: Result) -> int:
    return len(result.runs[0].logits[0]) if result.runs[0].logits else 0


def _primitives(result: Result) -> int:
    """The nodes once macros are expanded, before anything is removed."""
    return next(each.after for each in result.report.passes if each.name == "expand")


def _largest(result: Result) -> float:
    return max(run.difference for run in result.runs if run.difference is not None)

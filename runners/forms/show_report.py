"""A compilation's report as tables."""

from runners.experiment.size import describe_size
from runners.forms.costs import cost_table, with_head
from runners.forms.report import Difference, Latency, Report
from runners.output import Cell, Table, measure_text, print_line, print_table


def print_report(report: Report) -> None:
    """All figures, and the files written."""
    print_line(title(report))
    tables = (totals_table, passes_table, stages_table, speed_table, differences_table)
    for table in (*tables, accuracies_table) if report.accuracies else tables:
        print_line()
        print_table(table(report))
    if report.targets:
        print_line()
        print_table(targets_table(report))
    print_line()
    for line in notes(report):
        print_line(line)
    for path in report.files:
        print_line(f"wrote {path}")


def title(report: Report) -> str:
    """What was compiled."""
    return f"{report.name}: {describe_size(report.size)}"


def notes(report: Report) -> tuple[str, ...]:
    """What to know when reading the figures."""
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


def totals_table(report: Report) -> Table:
    """Parameters, multiply-adds and activations, the auxiliary head apart."""
    return cost_table("", "cost", with_head(report.cost))


def passes_table(report: Report) -> Table:
    """Nodes before and after each pass."""
    rows = tuple((p.name, p.before, p.after, f"{p.seconds * 1e3:.1f} ms") for p in report.passes)
    return Table("", ("pass", "nodes before", "nodes after", "time"), rows)


def stages_table(report: Report) -> Table:
    """The time of each stage."""
    rows = tuple((stage.name, f"{stage.seconds:.2f} s") for stage in report.stages)
    return Table("", ("stage", "time"), rows)


def speed_table(report: Report) -> Table:
    """Latencies; the speed-up is against the first."""
    return Table("", ("latency", "median", "lowest", "runs", "speed-up"), _times(report.latencies))


def targets_table(report: Report) -> Table:
    """The targets' latencies; the one that was picked is marked."""
    rows = tuple(
        (*row, "picked" if row[0] == report.target else "") for row in _times(report.targets)
    )
    return Table("", ("target", "median", "lowest", "runs", "speed-up", ""), rows)


def _times(latencies: tuple[Latency, ...]) -> tuple[tuple[Cell, ...], ...]:
    first = latencies[0].seconds
    return tuple(
        (
            each.name,
            f"{each.seconds * 1e3:.2f} ms",
            f"{each.lowest * 1e3:.2f} ms",
            each.runs,
            f"{first / each.seconds:.2f}x",
        )
        for each in latencies
    )


def differences_table(report: Report) -> Table:
    """How far everything is from the network in eager torch."""
    rows = tuple((each.name, *_difference(each)) for each in report.differences)
    return Table("", ("compared with eager torch", "largest difference", "of", "note"), rows)


def accuracies_table(report: Report) -> Table:
    """What the network and its files reach on the same held-out data."""
    first = report.accuracies[0]
    names = tuple(first.measures)
    rows: list[tuple[Cell, ...]] = [
        (
            each.name,
            *(measure_text(name, each.measures[name]) for name in names),
            "-" if each.changed is None else each.changed,
        )
        for each in report.accuracies
    ]
    corner = f"{first.count:,} of the {first.split} data"
    return Table("", (corner, *names, "other answers"), tuple(rows))


def _difference(each: Difference) -> tuple[str, str, str]:
    if each.difference is None or each.magnitude is None:
        return "not measured", "-", each.reason
    return f"{each.difference:.2e}", f"{each.magnitude:.3g}", each.reason

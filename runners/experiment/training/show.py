"""A training's summary as a table."""

from collections.abc import Mapping
from typing import Any

from runners.experiment.size import describe_size
from runners.output import Cell, Table, measure_text

SPLITS = ("valid", "test")


def summary_table(summary: Mapping[str, Any]) -> Table:
    """Size, cost, measures and latency."""
    rows: list[tuple[Cell, ...]] = [
        ("network", describe_size(summary["size"])),
        ("parameters", summary["params"]),
        ("multiply-adds", summary["macs"]),
    ]
    rows += [
        (f"{split} {name}", measure_text(name, value))
        for split in SPLITS
        for name, value in summary.get(split, {}).items()
    ]
    rows += [
        (f"latency, {name}", f"{1e3 * seconds:.2f} ms")
        for name, seconds in summary.get("latency", {}).items()
    ]
    return Table("", (summary["genotype"], ""), tuple(rows))

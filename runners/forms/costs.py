"""A cost as plain data and as a table."""

from typing import Any

from nasir import Cost
from runners.output import Cell, TextTable


def cost_sums(cost: Cost) -> dict[str, int]:
    """The totals as plain data, without the auxiliary head."""
    return {"params": cost.params, "macs": cost.macs, "activations": cost.activations}


def cost_facts(cost: Cost) -> dict[str, Any]:
    """The totals, the auxiliary head's apart, and the convention."""
    head = cost.auxiliary
    return {
        **cost_sums(cost),
        "auxiliary": cost_sums(head) if head else None,
        "convention": cost.convention,
    }


def cost_table(title: str, corner: str, costs: dict[str, Cost]) -> TextTable:
    """Parameters, multiply-adds and activations, a column for each cost."""
    names = {"params": "parameters", "macs": "multiply-adds", "activations": "activations"}
    sums = [cost_sums(cost) for cost in costs.values()]
    rows: list[tuple[Cell, ...]] = [
        (label, *(row[key] for row in sums)) for key, label in names.items()
    ]
    return TextTable(title, (corner, *costs), tuple(rows))


def with_head(cost: Cost) -> dict[str, Cost]:
    """The network's cost and, if there is one, the auxiliary head's, by name."""
    return {"network": cost} | ({"auxiliary head": cost.auxiliary} if cost.auxiliary else {})

"""A pass, and the record of what it changed."""

from collections.abc import Callable
from dataclasses import dataclass

from nasir.graph import Graph

GraphPass = Callable[[Graph], Graph]


@dataclass(frozen=True, slots=True)
class Pass:
    """A row of the table: a function from graph to graph, under the name the command line uses.

    `exact`: it only removes or shares, so that float64 results are bitwise the same.
    """

    name: str
    summary: str
    run: GraphPass
    exact: bool = True


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What one pass did: nodes before and after, whether anything changed, and its wall time."""

    name: str
    before: int
    after: int
    changed: bool
    seconds: float

"""Running passes one after the other, and what each of them changed."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nasir.errors import NasirError, nearest, quoted
from nasir.graph import Graph
from nasir.wanted import checked

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


@checked
def run_passes(graph: Graph, passes: Iterable[Pass | str]) -> tuple[Graph, tuple[PassRecord, ...]]:
    """The graph after all passes, and a record of each.

    Passes are given themselves or by name. Raises E406, and TypeError for what is no graph.
    """
    records: list[PassRecord] = []
    for given in (passes,) if isinstance(passes, (str, Pass)) else passes:
        row = given if isinstance(given, Pass) else _named(given)
        start = time.perf_counter()
        after = row.run(graph)
        seconds = time.perf_counter() - start
        changed = after is not graph and after.nodes != graph.nodes
        records.append(PassRecord(row.name, len(graph), len(after), changed, seconds))
        graph = after
    return graph, tuple(records)


def _named(name: object) -> Pass:
    from nasir.passes.pipelines import PASSES  # which has the rows of this file's class

    if not isinstance(name, str):
        raise TypeError(f"a pass or its name is wanted, not {type(name).__name__}")
    if name not in PASSES:
        raise NasirError("E406", f"unknown pass {quoted(name)}", hint=nearest(name, PASSES))
    return PASSES[name]

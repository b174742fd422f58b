"""What a genotype decides of a supernet's choices."""

from collections.abc import Iterable, Mapping

from nasir.errors import NasirError, quoted
from nasir.formats.load import GenotypeLike, as_genotype
from nasir.genotype import CellGenotype
from nasir.graph import Choice, Graph
from nasir.passes.supernet import Picks
from nasir.passes.supernet import resolve as resolve_picks
from nasir.space.space import Genotype
from nasir.wanted import checked


@checked
def picks(graph: Graph, genotype: GenotypeLike) -> dict[str, tuple[int, ...]]:
    """For each choice of a supernet, by name, the options that the genotype has (numbers from 0).

    An edge that the genotype does not have keeps none. Raises an error where the genotype lacks a
    kind of cell, or where it has an op or an edge that is no option.
    """
    genotype = as_genotype(genotype)
    found = {choice.name: _picked(choice, genotype) for choice in graph.choices}
    _check_all_found(graph.choices, found, genotype)
    return found


@checked
def resolve(graph: Graph, decisions: GenotypeLike | Picks) -> Graph:
    """The supernet with its choices decided, by a genotype or by the options of some choices.

    `decisions` maps the name of a choice to the numbers of the options that it keeps, from 0; other
    choices stay open. Weights keep their keys, so those of the supernet fit.
    """
    return resolve_picks(
        graph,
        decisions if isinstance(decisions, Mapping) else picks(graph, decisions),
    )


def _picked(choice: Choice, genotype: Genotype) -> tuple[int, ...]:
    slot = choice.slot
    cell = genotype.cell(slot.kind)
    if slot.role == "output":
        return _numbers(choice, [str(state) for state in cell.output])
    node = slot.node - cell.inputs
    if node >= len(cell.nodes):
        return ()
    if slot.role == "op on node":
        return _numbers(choice, [cell.ops[node]])
    edges = cell.nodes[node]
    if slot.role == "op on edge":
        return _numbers(choice, [edge.op for edge in edges if edge.source == slot.source])
    return _numbers(choice, [str(edge.source) for edge in edges])


def _numbers(choice: Choice, names: Iterable[str]) -> tuple[int, ...]:
    names = tuple(names)
    for name in names:
        if name not in choice.options:
            raise NasirError(
                "E211",
                f"{quoted(name)} is no option of the choice {quoted(choice.name)}",
                hint=f"it has: {', '.join(choice.options)}",
            )
    return tuple(place for place, option in enumerate(choice.options) if option in names)


def _check_all_found(choices: Iterable[Choice], found: Picks, genotype: Genotype) -> None:
    """Raises an error for an edge of the genotype that the supernet does not have."""
    edges: dict[str, int] = {}
    for choice in choices:
        if choice.kind == "op on edge":
            kind = choice.slot.kind
            edges[kind] = edges.get(kind, 0) + len(found[choice.name])
    for kind, count in edges.items():
        missing = _distinct(genotype.cell(kind)) - count
        if missing:
            message = f"{missing} edges of cell {quoted(kind)} are not in the supernet"
            raise NasirError("E211", message)


def _distinct(cell: CellGenotype) -> int:
    return sum(len({(edge.source, edge.op) for edge in edges}) for edges in cell.nodes)

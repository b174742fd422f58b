"""Architectures drawn from the distribution that a search has arrived at."""

import re
from collections.abc import Mapping
from random import Random

from nasir import CellGenotype, Edge, Genotype
from runners.plot.run import Architecture, Run, plain
from runners.plot.style import NothingToDrawError

_EDGE = re.compile(r"(?P<kind>.+)/n(?P<node>\d+)\.e(?P<source>\d+)")


def draw_genotypes(run: Run, row: Architecture, count: int) -> list[Genotype]:
    """Genotypes whose every edge has an op drawn by its weights, independently of the others.

    For spaces of one cell in which every edge stays and the last node is the output
    (NAS-Bench-201). The draws depend on the run's seed and the epoch alone. Raises
    NothingToDrawError for other spaces, and where the row lacks a choice.
    """
    edges = _edges(run.facts.choices)
    random = Random(f"{run.facts.seed} architectures of epoch {row.epoch}")
    drawn = {
        name: random.choices(run.facts.choices[name], _chances(row, name), k=count)
        for name in edges
    }
    space = run.facts.genotype_space or run.facts.space.name
    return [
        Genotype(space, (_cell(edges, {name: ops[number] for name, ops in drawn.items()}),))
        for number in range(count)
    ]


def _edges(choices: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, int, int]]:
    """Each choice's kind of cell, node and source, in the order of nodes, then of sources."""
    found: dict[str, tuple[str, int, int]] = {}
    for name in choices:
        place = _EDGE.fullmatch(name)
        if place is None:
            raise NothingToDrawError(f"architectures are drawn on edges alone, and not '{name}'")
        found[name] = (place["kind"], int(place["node"]), int(place["source"]))
    ordered = dict(sorted(found.items(), key=lambda item: item[1]))
    if len({kind for kind, _, _ in found.values()}) != 1:
        raise NothingToDrawError("architectures are drawn for spaces of one cell")
    return ordered


def _chances(row: Architecture, name: str) -> list[float]:
    weights = [plain(weight) for weight in row.weights.get(name, ())]
    if not sum(weights) > 0:
        raise NothingToDrawError(f"epoch {row.epoch} has no weights of '{name}'")
    return weights


def _cell(edges: Mapping[str, tuple[str, int, int]], ops: Mapping[str, str]) -> CellGenotype:
    nodes: dict[int, list[Edge]] = {}
    for name, (_, node, source) in edges.items():
        nodes.setdefault(node, []).append(Edge(ops[name], source))
    [kind] = {kind for kind, _, _ in edges.values()}
    return CellGenotype(
        kind, min(nodes), tuple(tuple(node) for node in nodes.values()), (max(nodes),)
    )

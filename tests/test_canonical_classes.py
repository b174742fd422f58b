"""The classes of NAS-Bench-201's cells: counted in another way, and beside the literature's."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import permutations

import pytest

import nasir
from nasir import CellGenotype, load_space
from nasir.canonical.labelling import label
from nasir.canonical.terms import Behaviour, Behaviours, Place, behaviour, cell_terms
from nasir.macros import MACROS


@cache
def nasbench201() -> list[CellGenotype]:
    return [g.cells[0] for g in nasir.enumerate_genotypes(load_space("nasbench201"))]


def test_nasbench201_has_5267_classes_and_no_id_joins_or_parts_cells_wrongly() -> None:
    """Against another way to compare cells: their values, weights being generic functions.

    Each edge with weights is a random function of a number, the mean a random factor, and what a
    convolution makes of zero a constant. Two cells are equal if their values are for some
    assignment of functions to edges, so the least value over all assignments names the class.
    """
    ids: dict[bytes, set[int]] = defaultdict(set)
    values: dict[int, set[bytes]] = defaultdict(set)
    for each in nasbench201():
        labelling = label(cell_terms(each, Behaviours((1,), MACROS)))
        tags = range(1, len(labelling.edges) + 1)
        value = min(
            _value(each, dict(zip(labelling.edges, order, strict=True)))
            for order in permutations(tags)
        )
        ids[labelling.digest].add(value)
        values[value].add(labelling.digest)
    assert len(ids) == len(values) == nasir.count_classes(load_space("nasbench201")) == 5267
    assert {len(found) for found in (*ids.values(), *values.values())} == {1}


_PRIME = 2**61 - 1


def _value(each: CellGenotype, tags: Mapping[Place, int]) -> int:
    states = [987_654_321_987]
    for state, edges in enumerate(each.nodes, start=1):
        total = 0
        for slot, edge in enumerate(edges):
            x = states[edge.source]
            match edge.op:
                case "none":
                    continue
                case "skip_connect":
                    total += x
                case "avg_pool_3x3":
                    total += x * 123_456_789_123
                case op:
                    total += _function(op, tags.get((state, slot), 99), x)
        states.append(total % _PRIME)
    return states[-1]


def _function(op: str, tag: int, x: int) -> int:
    if x == 0:
        return pow(7919 * tag + 13, 5, _PRIME)  # the bias of the batch norm
    y = (x * (1_000_003 * tag + 77 * len(op)) + 31 * tag + ord(op[-1])) % _PRIME
    return (y * y % _PRIME * y + tag) % _PRIME


@pytest.mark.parametrize(("zeros", "count"), [(True, 6466), (False, 12_751)])
def test_the_literature_counts_other_classes(zeros: bool, count: int) -> None:
    assert len({_literature(each, zeros) for each in nasbench201()}) == count


def test_how_the_classes_differ_from_the_literatures() -> None:
    """523 of its 6,466 hold cells that differ; 865 of ours hold several of its, which are equal."""
    ours: dict[bytes, set[str]] = defaultdict(set)
    theirs: dict[str, set[bytes]] = defaultdict(set)
    for each in nasbench201():
        digest, text = _digest(each), _literature(each, zeros=True)
        ours[digest].add(text)
        theirs[text].add(digest)
    assert sum(len(found) > 1 for found in theirs.values()) == 523
    assert sum(len(found) > 1 for found in ours.values()) == 865


def _opaque_mean(op: Behaviour) -> Behaviour:
    return replace(op, kind="shared") if op.kind == "linear" else op


VARIANTS: dict[str, tuple[int, Callable[[Behaviour], Behaviour]]] = {
    "as it is": (5267, lambda op: op),
    "means of sums are not sums of means": (5485, _opaque_mean),
    "and zero stays zero under convolutions": (
        5260,
        lambda op: replace(_opaque_mean(op), at_zero=b""),
    ),
    "and equal convolutions of one value are one": (
        4930,
        lambda op: replace(
            op, kind="shared" if op.kind in ("linear", "own") else op.kind, at_zero=b""
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("count", "change"), VARIANTS.values(), ids=VARIANTS)
def test_the_way_from_the_literatures_classes_to_ours(
    count: int, change: Callable[[Behaviour], Behaviour]
) -> None:
    """The figures of docs/spaces.md; the first step, 6,466 to 4,930, splits no class."""
    found = [(_literature(each, zeros=True), _digest(each, change)) for each in nasbench201()]
    assert len({digest for _, digest in found}) == count
    if count == 4930:
        assert len(set(found)) == 6466


def _digest(each: CellGenotype, change: Callable[[Behaviour], Behaviour] = lambda op: op) -> bytes:
    ops = Behaviours((1,), MACROS, lambda op, strides: change(behaviour(op, strides)))
    return label(cell_terms(each, ops)).digest


def _literature(each: CellGenotype, zeros: bool) -> str:
    """The string by which the benchmark's code tells cells apart."""
    names = ["0"]
    for edges in each.nodes:
        parts: list[str] = []
        for edge in edges:
            source = names[edge.source]
            if edge.op == "skip_connect":
                parts.append(source)
            elif zeros and (edge.op == "none" or source == "#"):
                parts.append("#")
            else:
                parts.append(f"({source})@{edge.op}")
        names.append("+".join(sorted(parts)))
    return names[-1]

"""Small files that would take much: each is refused, or read in steps that grow with its size."""

import json
from collections.abc import Callable
from itertools import pairwise
from math import comb, factorial
from typing import Any

import pytest

import nasir
from nasir.document import parse_document, read_json
from nasir.files import Source
from tests.gate import gated
from tests.refusals import fails_with

CELL = {"inputs": 2, "nodes": 1, "ops": ["skip_connect"], "output": [2]}


def space(ops: dict[str, Any] | None = None, cell: Any = CELL, **fields: Any) -> str:
    cells = {"normal": cell, "reduce": {"like": "normal"}}
    return json.dumps(
        {"nasir": 1, "space": "x", "skeleton": "cifar", "cells": cells}
        | fields
        | ({"ops": ops} if ops else {})
    )


def genotype(cell: Any, of: Any = "darts") -> str:
    cells = {"normal": cell, "reduce": cell}
    return json.dumps({"nasir": 1, "genotype": {"space": of, "cells": cells}})


def steps(op: str, count: int) -> dict[str, Any]:
    return {"steps": [{"op": op}] * count}


def levels(width: int) -> dict[str, Any]:
    """Own ops of three levels, each of which uses all those of the level below."""
    return {
        **{f"c{i}": steps("relu", 32) for i in range(width)},
        **{f"b{i}": {"steps": [{"op": f"c{j}"} for j in range(32)]} for i in range(width)},
        **{f"a{i}": {"steps": [{"op": f"b{j}"} for j in range(32)]} for i in range(width)},
    }


def wide(edges: int, op: str = "skip_connect") -> str:
    return genotype({"inputs": 2, "nodes": [[[op, 0]] * edges], "output": [2]})


DEEP = "[" * 100 + "]" * 100
WIDE = nasir.CellGenotype("normal", 2, ((nasir.Edge("skip_connect", 0),) * 300,), (2,))
REFUSED: dict[str, tuple[str, Callable[[], object]]] = {
    "own ops whose primitives multiply": ("E106", lambda: nasir.load_space(space(levels(32)))),
    "many own ops": (
        "E106",
        lambda: nasir.load_space(space({f"a{i}": steps("relu", 32) for i in range(300)})),
    ),
    "own ops in a chain": (
        "E106",
        lambda: nasir.load_space(
            space({f"a{i}": steps(f"a{i + 1}" if i < 2000 else "relu", 1) for i in range(2001)})
        ),
    ),
    "more edges than a genotype has": ("E106", lambda: nasir.load_genotype(wide(20_000))),
    "kinds of cell that are like a large one": (
        "E106",
        lambda: nasir.load_space(
            space(
                cell={**CELL, "nodes": 32},
                cells={
                    "normal": {**CELL, "nodes": 32},
                    **{f"k{i}": {"like": "normal"} for i in range(100)},
                },
            )
        ),
    ),
    "layers times edges times primitives": (
        "E302",
        lambda: nasir.network(nasir.load_genotype(wide(64, "sep_conv_3x3")), layers=1000),
    ),
    "a supernet of many layers": ("E302", lambda: nasir.supernet("darts", layers=1000)),
    "cells in each of three stages": ("E302", lambda: nasir.supernet("nasbench201", layers=1000)),
    "values in JSON": ("E106", lambda: read_json(Source.of("[" + "0," * 300_000 + "0]", "x"))),
    "mappings in JSON": ("E106", lambda: read_json(Source.of("[" + "{}," * 300_000 + "0]", "x"))),
    "values in YAML": ("E106", lambda: parse_document(Source.of("- 1\n" * 40_000, "x.yaml"))),
    "arrows in a drawing": ("E106", lambda: nasir.draw(WIDE)),
    "a deep JSON": ("E106", lambda: read_json(Source.of(DEEP, "x"))),
    "a deep YAML": ("E106", lambda: parse_document(Source.of(DEEP, "x.yaml"))),
    "a number of 5,000 digits": ("E107", lambda: read_json(Source.of("[" + "9" * 5000 + "]", "x"))),
    "such a number in YAML": (
        "E107",
        lambda: parse_document(Source.of("a: " + "9" * 5000, "x.yaml")),
    ),
    "half of a surrogate pair": ("E103", lambda: read_json(Source.of('["\\ud800"]', "x"))),
    "half of one in YAML": (
        "E103",
        lambda: parse_document(Source.of('a: "\\ud800"', "x.yaml")),
    ),
    "bodies in bodies": ("E106", lambda: nasir.parse_graph(bodies(8, 5))),
}


def bodies(width: int, depth: int) -> str:
    """Bodies in bodies, each of which applies the one within it: width ** depth nodes."""
    return "\n".join(["nasir graph 1", "input x: image[4,8,8]", *_applied(width, depth)])


def _applied(width: int, depth: int) -> list[str]:
    if not depth:
        return _chain(width, "relu(@)")
    inner = ["body b", "input x: image[4,8,8]", *_applied(width, depth - 1), "end"]
    return [*inner, *_chain(width, "call(@) {body=b}")]


def _chain(count: int, op: str) -> list[str]:
    names = ["x", *(f"y{i}" for i in range(count))]
    lines = [f"{y} = {op.replace('@', x)}: image[4,8,8]" for x, y in pairwise(names)]
    return [*lines, f"output {names[-1]}"]


@pytest.mark.parametrize(
    "what", gated(REFUSED, REFUSED.keys() - {"more edges than a genotype has"})
)
def test_what_would_take_too_much_is_refused(what: str) -> None:
    code, work = REFUSED[what]
    with fails_with(code):
        work()


def test_subsets_are_numbered_without_being_listed() -> None:
    """`output: any` of 32 nodes has 2**32 - 1 outputs; a node may read 16 of 32 states."""
    chain = [{"source": 0, "node": node} for node in range(1, 33)]
    any_output = {"inputs": 1, "nodes": 32, "edges": chain, "ops": ["relu"], "output": "any"}
    parents = {"node_ops": ["maxpool3x3"], "parents": [1] * 31 + [16], "output_parents": 16}
    for skeleton, kind, cell, size in (
        ("rnn", "recurrent", any_output, 2**32 - 1),
        ("nasbench1shot1", "cell", parents, factorial(31) * comb(32, 16) * comb(33, 16)),
    ):
        known = nasir.load_space(space(cells={kind: cell}, skeleton=skeleton))
        assert nasir.size(known) == size
        for index in (0, 1, size // 3, size - 1):
            assert nasir.rank(known, nasir.unrank(known, index)) == index

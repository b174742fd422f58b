"""The table of passes, the pipelines of the targets, and `run_passes`."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from nasir.arguments import checked
from nasir.errors import NasirError, nearest, quoted
from nasir.graph import Graph
from nasir.passes.fusion import (
    horizontal,
    late_joins,
    lean_sums,
    mixed_norms,
    mixed_sums,
    share_norms,
)
from nasir.passes.highways import highway_sums
from nasir.passes.memory import MemoryLevel, call_cells, recompute
from nasir.passes.rewriting import (
    GraphPass,
    canonicalise,
    cse,
    dead_code,
    depthwise_convs,
    draws_given,
    early_strides,
    evaluation,
    expand,
    fold_batch_norm,
    freeze_noise,
    idle_code,
    infer_types,
    validate,
)
from nasir.table import Table


@dataclass(frozen=True, slots=True)
class Pass:
    """A function from graph to graph, under its name on the command line.

    `exact`: it only removes or shares nodes, so float64 results are bitwise equal.
    """

    name: str
    summary: str
    run: GraphPass
    exact: bool = True


@dataclass(frozen=True, slots=True)
class PassRecord:
    """The record of a pass: nodes before and after, whether the graph changed, wall time."""

    name: str
    before: int
    after: int
    changed: bool
    seconds: float


PASSES: Table[Pass] = Table(
    Pass("validate", "checks names, keys and cells", validate),
    Pass("infer-types", "infers every type anew", infer_types),
    Pass("expand", "macros become primitives", expand),
    Pass("canonicalise", "drops zeros, single sums and joins, repeated ReLUs", canonicalise),
    Pass("dead-code", "removes what no output needs", dead_code),
    Pass("idle-code", "removes what neither outputs nor statistics need", idle_code),
    Pass("draws-given", "what random ops draw becomes inputs", draws_given, False),
    Pass("cse", "computes equal values once", cse),
    Pass("late-joins", "sums come before joins and shuffles", late_joins, False),
    Pass("mixed-sums", "mixtures and their chains become single nodes", mixed_sums, False),
    Pass("highway-sums", "sums of gated activations become single nodes", highway_sums, False),
    Pass("share-norms", "batch norms of one value become one", share_norms, False),
    Pass("early-strides", "strides before convolutions that skip pixels", early_strides, False),
    Pass("depthwise-convs", "large windows with a backward of their own", depthwise_convs, False),
    Pass("horizontal", "convolutions of one value become one", horizontal, False),
    Pass("mixed-norms", "coefficients become weights of norms", mixed_norms, False),
    Pass("keep-cells", "keeps what crosses cells for backward", partial(recompute, level="cells")),
    Pass("keep-states", "keeps states for backward", partial(recompute, level="states")),
    Pass("lean-sums", "mixed sums keep their inputs alone", lean_sums, False),
    Pass("call-cells", "cells become calls of one body for each kind", call_cells),
    Pass("evaluation", "removes what only training does", evaluation, False),
    Pass("fold-batch-norm", "batch norm into convolutions, for inference", fold_batch_norm, False),
    Pass("freeze-noise", "fresh noise becomes fixed noise", freeze_noise, False),
)

PLAIN: tuple[Pass, ...] = (PASSES["validate"], PASSES["expand"])
"""The papers' sequence of operations, nothing shared and nothing removed."""

TIDY: tuple[Pass, ...] = (PASSES["canonicalise"], PASSES["dead-code"])
"""Passes after `PLAIN` that remove idle nodes."""

TRAINED: tuple[Pass, ...] = (PASSES["dead-code"], PASSES["draws-given"])
"""Passes after `PLAIN` that every way to train runs first: equal draws, no dead nodes."""

SHARED: tuple[Pass, ...] = (PASSES["canonicalise"], PASSES["idle-code"])
"""Passes after `TRAINED` that remove idle nodes, except running statistics."""

DISCRETE: tuple[Pass, ...] = (*PLAIN, *TIDY, PASSES["cse"])
"""Passes to train and export a discrete network: bitwise the plain network's results."""

MEMORY: Mapping[MemoryLevel, tuple[Pass, ...]] = {
    "none": (),
    "cells": (PASSES["keep-cells"],),
    "states": (PASSES["keep-states"],),
}
"""Passes for a level of memory, between `TIDY` and `cse`."""

EVALUATION: tuple[Pass, ...] = (PASSES["evaluation"], PASSES["dead-code"])
"""Passes that remove nodes for training only."""

INFERENCE: tuple[Pass, ...] = (*DISCRETE, *EVALUATION, PASSES["fold-batch-norm"], EVALUATION[1])
"""Passes for inference only."""


def shared(memory: MemoryLevel = "none") -> tuple[Pass, ...]:
    """Passes after `PLAIN` and `TRAINED` to train a supernet with a library's own operations."""
    early = ("early-strides", "depthwise-convs", "cse", "share-norms")
    rest = (*early, "horizontal", "mixed-norms", "idle-code")
    sums = (PASSES["late-joins"], PASSES["highway-sums"])
    return (*SHARED, *sums, *MEMORY[memory], *(PASSES[name] for name in rest))


def summed(memory: MemoryLevel = "none") -> tuple[Pass, ...]:
    """Passes like `shared` for targets with a rule for mixed sums."""
    lean = (PASSES["lean-sums"],) if memory == "states" else ()
    rest = (*lean, PASSES["cse"], PASSES["horizontal"], PASSES["idle-code"])
    sums = (PASSES["late-joins"], PASSES["mixed-sums"], PASSES["highway-sums"])
    return (*SHARED, *sums, *MEMORY[memory], *rest)


@checked
def run_passes(graph: Graph, passes: Iterable[Pass | str]) -> tuple[Graph, tuple[PassRecord, ...]]:
    """The graph after all passes, and a record of each.

    Passes are objects or names. Raises an error for an unknown name, TypeError for other types.
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
    if not isinstance(name, str):
        raise TypeError(f"a pass must be a Pass or a name, not {type(name).__name__}")
    if name not in PASSES:
        raise NasirError("E201", f"unknown pass {quoted(name)}", hint=nearest(name, PASSES))
    return PASSES[name]

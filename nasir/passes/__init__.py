"""The passes, as one table, and the pipelines that the targets name."""

from collections.abc import Mapping
from functools import partial

from nasir.passes.canonicalise import canonicalise
from nasir.passes.cse import cse
from nasir.passes.dead_code import dead_code
from nasir.passes.evaluation import evaluation
from nasir.passes.expand import expand
from nasir.passes.fold_batch_norm import fold_batch_norm
from nasir.passes.freeze_noise import freeze_noise
from nasir.passes.infer_types import infer_types
from nasir.passes.recompute import MEMORY_LEVELS, MemoryLevel, recompute
from nasir.passes.record import GraphPass, Pass, Record, run_passes
from nasir.passes.validate import validate
from nasir.table import Table

PASSES: Table[Pass] = Table(
    Pass("validate", "checks names, keys and cells", validate),
    Pass("infer-types", "infers every type anew", infer_types),
    Pass("expand", "macros become primitives", expand),
    Pass("canonicalise", "drops zeros, single sums and joins, repeated ReLUs", canonicalise),
    Pass("dead-code", "removes what no output needs", dead_code),
    Pass("cse", "computes equal values once", cse),
    Pass("keep-cells", "keeps what crosses cells for backward", partial(recompute, level="cells")),
    Pass("keep-states", "keeps states for backward", partial(recompute, level="states")),
    Pass("evaluation", "removes what only training does", evaluation, False),
    Pass("fold-batch-norm", "batch norm into convolutions, for inference", fold_batch_norm, False),
    Pass("freeze-noise", "fresh noise becomes fixed noise", freeze_noise, False),
)

PLAIN: tuple[Pass, ...] = (PASSES["validate"], PASSES["expand"])
"""The papers' sequence of operations, nothing shared and nothing removed."""

DISCRETE: tuple[Pass, ...] = (
    PASSES["validate"],
    PASSES["expand"],
    PASSES["canonicalise"],
    PASSES["dead-code"],
    PASSES["cse"],
)
"""For training and exporting a discrete network: bitwise the plain network's results."""

TIDY: tuple[Pass, ...] = (PASSES["canonicalise"], PASSES["dead-code"])
"""Without what adds nothing, after `PLAIN`."""

EVALUATION: tuple[Pass, ...] = (PASSES["evaluation"], PASSES["dead-code"])
"""From the network to what of it evaluation computes."""

MEMORY: Mapping[MemoryLevel, tuple[Pass, ...]] = {
    "none": (),
    "cells": (PASSES["keep-cells"],),
    "states": (PASSES["keep-states"],),
}
"""What of the passes training needs for a level of memory, between `TIDY` and `cse`."""

INFERENCE: tuple[Pass, ...] = (*DISCRETE, *EVALUATION, PASSES["fold-batch-norm"], EVALUATION[1])
"""For inference only."""

__all__ = [
    "DISCRETE",
    "EVALUATION",
    "INFERENCE",
    "MEMORY",
    "MEMORY_LEVELS",
    "PASSES",
    "PLAIN",
    "TIDY",
    "GraphPass",
    "MemoryLevel",
    "Pass",
    "Record",
    "canonicalise",
    "cse",
    "dead_code",
    "evaluation",
    "expand",
    "fold_batch_norm",
    "freeze_noise",
    "infer_types",
    "recompute",
    "run_passes",
    "validate",
]

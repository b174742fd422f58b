"""The passes, as one table, and the pipelines that the targets name."""

from nasir.passes.canonicalise import canonicalise
from nasir.passes.cse import cse
from nasir.passes.dead_code import dead_code
from nasir.passes.edge_weights import edge_weights
from nasir.passes.evaluation import evaluation
from nasir.passes.expand import expand
from nasir.passes.fold_batch_norm import fold_batch_norm
from nasir.passes.freeze_noise import freeze_noise
from nasir.passes.infer_types import infer_types
from nasir.passes.partial_channels import partial_channels
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

EVALUATION: tuple[Pass, ...] = (PASSES["evaluation"], PASSES["dead-code"])
"""From the network to what of it evaluation computes."""

INFERENCE: tuple[Pass, ...] = (*DISCRETE, *EVALUATION, PASSES["fold-batch-norm"], EVALUATION[1])
"""For inference only."""

__all__ = [
    "DISCRETE",
    "EVALUATION",
    "INFERENCE",
    "PASSES",
    "PLAIN",
    "GraphPass",
    "Pass",
    "Record",
    "canonicalise",
    "cse",
    "dead_code",
    "edge_weights",
    "evaluation",
    "expand",
    "fold_batch_norm",
    "freeze_noise",
    "infer_types",
    "partial_channels",
    "run_passes",
    "validate",
]

"""The passes, as one table, and the pipelines that the targets name."""

from nasir.passes.canonicalise import canonicalise
from nasir.passes.cse import cse
from nasir.passes.dead_code import dead_code
from nasir.passes.evaluation import evaluation
from nasir.passes.expand import expand
from nasir.passes.fold_batch_norm import fold_batch_norm
from nasir.passes.freeze_noise import freeze_noise
from nasir.passes.highway_sums import highway_sums
from nasir.passes.infer_types import infer_types
from nasir.passes.mixed_sums import mixed_sums
from nasir.passes.record import GraphPass, Pass, Record, run_passes
from nasir.passes.share_norms import share_norms
from nasir.passes.validate import validate
from nasir.table import Table

PASSES: Table[Pass] = Table(
    Pass("validate", "checks names, keys and cells", validate),
    Pass("infer-types", "infers every type anew", infer_types),
    Pass("expand", "macros become primitives", expand),
    Pass("canonicalise", "drops zeros, single sums and joins, repeated ReLUs", canonicalise),
    Pass("dead-code", "removes what no output needs", dead_code),
    Pass("cse", "computes equal values once", cse),
    Pass("mixed-sums", "mixtures and their chains become single nodes", mixed_sums, False),
    Pass("highway-sums", "sums of gated activations become single nodes", highway_sums, False),
    Pass("share-norms", "batch norms of one value become one", share_norms, False),
    Pass("evaluation", "removes what only training does", evaluation, False),
    Pass("fold-batch-norm", "batch norm into convolutions, for inference", fold_batch_norm, False),
    Pass("freeze-noise", "fresh noise becomes fixed noise", freeze_noise, False),
)

PLAIN: tuple[Pass, ...] = (PASSES["validate"], PASSES["expand"])
"""The papers' sequence of operations, nothing shared and nothing removed."""

TIDY: tuple[Pass, ...] = (PASSES["canonicalise"], PASSES["dead-code"])
"""Without what adds nothing, after `PLAIN`."""

DISCRETE: tuple[Pass, ...] = (*PLAIN, *TIDY, PASSES["cse"])
"""For training and exporting a discrete network: bitwise the plain network's results."""

SHARED: tuple[Pass, ...] = (
    *PLAIN,
    *TIDY,
    PASSES["highway-sums"],
    PASSES["cse"],
    PASSES["share-norms"],
)
"""For training a supernet by the library's operations alone."""

SUPERNET: tuple[Pass, ...] = (
    *PLAIN,
    *TIDY,
    PASSES["mixed-sums"],
    PASSES["highway-sums"],
    PASSES["cse"],
)
"""For training a supernet where the target computes mixed sums itself."""

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
    "SHARED",
    "SUPERNET",
    "TIDY",
    "GraphPass",
    "Pass",
    "Record",
    "canonicalise",
    "cse",
    "dead_code",
    "evaluation",
    "expand",
    "fold_batch_norm",
    "freeze_noise",
    "highway_sums",
    "infer_types",
    "mixed_sums",
    "run_passes",
    "share_norms",
    "validate",
]

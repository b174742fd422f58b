"""Passes over graphs: every one of them, and the pipelines of them."""

from nasir.passes.expansion import GraphPass, expand, infer_types, validate
from nasir.passes.fusion import horizontal, share_norms
from nasir.passes.memory import MEMORY_LEVELS, MemoryLevel, call_cells, recompute
from nasir.passes.pipelines import (
    DISCRETE,
    EVALUATION,
    INFERENCE,
    MEMORY,
    PASSES,
    PLAIN,
    SHARED,
    TIDY,
    TRAINED,
    Pass,
    PassRecord,
    run_passes,
    shared,
    summed,
)
from nasir.passes.random_ops import draws_given, drop_path
from nasir.passes.simplify import (
    canonicalise,
    cse,
    dead_code,
    evaluation,
    fold_batch_norm,
    freeze_noise,
    idle_code,
)
from nasir.passes.sums import highway_sums, lean_sums, mixed_sums
from nasir.passes.supernet import edge_weights, partial_channels, restrict

__all__ = [
    "DISCRETE",
    "EVALUATION",
    "INFERENCE",
    "MEMORY",
    "MEMORY_LEVELS",
    "PASSES",
    "PLAIN",
    "SHARED",
    "TIDY",
    "TRAINED",
    "GraphPass",
    "MemoryLevel",
    "Pass",
    "PassRecord",
    "call_cells",
    "canonicalise",
    "cse",
    "dead_code",
    "draws_given",
    "drop_path",
    "edge_weights",
    "evaluation",
    "expand",
    "fold_batch_norm",
    "freeze_noise",
    "highway_sums",
    "horizontal",
    "idle_code",
    "infer_types",
    "lean_sums",
    "mixed_sums",
    "partial_channels",
    "recompute",
    "restrict",
    "run_passes",
    "share_norms",
    "shared",
    "summed",
    "validate",
]

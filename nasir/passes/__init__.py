"""Passes over graphs: the room's one door."""

from nasir.passes.draws import draws_given
from nasir.passes.dropping import drop_path
from nasir.passes.fusion import horizontal, share_norms
from nasir.passes.highways import highway_sums
from nasir.passes.inference import fold_batch_norm, freeze_noise
from nasir.passes.partial import partial_channels
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
    run_passes,
    shared,
    summed,
)
from nasir.passes.primitives import expand, infer_types, validate
from nasir.passes.record import GraphPass, Pass, PassRecord
from nasir.passes.resolve import restrict
from nasir.passes.simplify import canonicalise, cse, dead_code, evaluation, idle_code
from nasir.passes.slices import MEMORY_LEVELS, MemoryLevel, call_cells, recompute
from nasir.passes.sums import lean_sums, mixed_sums
from nasir.passes.weighing import edge_weights

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

"""Passes over graphs: the room's one door."""

from nasir.passes.call_cells import call_cells
from nasir.passes.canonicalise import canonicalise
from nasir.passes.cse import cse
from nasir.passes.dead_code import dead_code
from nasir.passes.drop_path import drop_path
from nasir.passes.edge_weights import edge_weights
from nasir.passes.evaluation import evaluation
from nasir.passes.expand import expand
from nasir.passes.fold_batch_norm import fold_batch_norm
from nasir.passes.freeze_noise import freeze_noise
from nasir.passes.highway_sums import highway_sums
from nasir.passes.horizontal import horizontal
from nasir.passes.infer_types import infer_types
from nasir.passes.mixed_sums import lean_sums, mixed_sums
from nasir.passes.partial_channels import partial_channels
from nasir.passes.pipelines import (
    DISCRETE,
    EVALUATION,
    INFERENCE,
    MEMORY,
    PASSES,
    PLAIN,
    TIDY,
    shared,
    summed,
)
from nasir.passes.recompute import MEMORY_LEVELS, MemoryLevel, recompute
from nasir.passes.record import GraphPass, Pass, Record, run_passes
from nasir.passes.resolve import restrict
from nasir.passes.share_norms import share_norms
from nasir.passes.validate import validate

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
    "call_cells",
    "canonicalise",
    "cse",
    "dead_code",
    "drop_path",
    "edge_weights",
    "evaluation",
    "expand",
    "fold_batch_norm",
    "freeze_noise",
    "highway_sums",
    "horizontal",
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

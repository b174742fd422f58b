"""Passes over graphs, and the pipelines of them."""

from nasir.passes.memory import MEMORY_LEVELS, MemoryLevel, recompute
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
from nasir.passes.rewriting import cse, dead_code, expand, freeze_noise, validate
from nasir.passes.supernet import drop_path, edge_weights, partial_channels, restrict

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
    "MemoryLevel",
    "Pass",
    "PassRecord",
    "cse",
    "dead_code",
    "drop_path",
    "edge_weights",
    "expand",
    "freeze_noise",
    "partial_channels",
    "recompute",
    "restrict",
    "run_passes",
    "shared",
    "summed",
    "validate",
]

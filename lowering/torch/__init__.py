"""Lowers graphs to torch."""

from lowering.torch.compiled import (
    CompileWarning,
    compile,
    prepare_training,
    to_inference,
    training_policy,
)
from lowering.torch.memory import SavedBytes, saved_bytes
from lowering.torch.network import Network, to_torch
from lowering.torch.policies import Policy, compiler_missing, policy
from lowering.torch.program import RULES
from lowering.torch.ranks import BatchPart, apart
from lowering.torch.sampled import Mixture
from lowering.torch.store import Store, generator, load_weights, save_weights
from lowering.torch.unrolled import Unrolled, first_order, second_order
from lowering.torch.widening import Widened, widen

__all__ = [
    "RULES",
    "BatchPart",
    "CompileWarning",
    "Mixture",
    "Network",
    "Policy",
    "SavedBytes",
    "Store",
    "Unrolled",
    "Widened",
    "apart",
    "compile",
    "compiler_missing",
    "first_order",
    "generator",
    "load_weights",
    "policy",
    "prepare_training",
    "save_weights",
    "saved_bytes",
    "second_order",
    "to_inference",
    "to_torch",
    "training_policy",
    "widen",
]

"""From a graph to torch: the room's one door."""

from lowering.to_torch.compile import CompileWarning, compile
from lowering.to_torch.compiler import compiler_missing
from lowering.to_torch.network import Network, to_inference, to_torch
from lowering.to_torch.policy import Decision, Policy, policy
from lowering.to_torch.program import RULES
from lowering.to_torch.sampled import Mixture
from lowering.to_torch.saved import SavedBytes, saved_bytes
from lowering.to_torch.second_order import Unrolled, first_order, second_order
from lowering.to_torch.store import Store, generator, initial, resolve
from lowering.to_torch.training import prepare_training, training_policy
from lowering.to_torch.weights import load_weights, pack, save_weights
from lowering.to_torch.widen import Widened, widen

__all__ = [
    "RULES",
    "CompileWarning",
    "Decision",
    "Mixture",
    "Network",
    "Policy",
    "SavedBytes",
    "Store",
    "Unrolled",
    "Widened",
    "compile",
    "compiler_missing",
    "first_order",
    "generator",
    "initial",
    "load_weights",
    "pack",
    "policy",
    "prepare_training",
    "resolve",
    "save_weights",
    "saved_bytes",
    "second_order",
    "to_inference",
    "to_torch",
    "training_policy",
    "widen",
]

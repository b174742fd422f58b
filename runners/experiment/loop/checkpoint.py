"""A learner as tensors and plain data, and back, to the bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from runners.experiment.learner import Learner
from runners.experiment.loop.supernets import momentum, set_momentum
from runners.folder.tensors import below, optimiser_tensors, restore_optimiser, under


@dataclass(frozen=True, slots=True)
class Saved:
    """Tensors by name, and facts that fit in JSON."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def saved(learner: Learner) -> Saved:
    """All that a learner is, at the end of an epoch."""
    tensors: dict[str, Tensor] = {}
    tensors |= under("weights", dict(learner.module.state_dict()))
    tensors |= under("momentum", momentum(learner))
    tensors |= under("logits", {name: row.detach() for name, row in learner.logits.items()})
    tensors |= under("adam", optimiser_tensors(learner.logit_optimiser, tuple(learner.logits)))
    tensors |= under("task", learner.task.state())
    if learner.controller is not None and learner.controller_optimiser is not None:
        names = tuple(name for name, _ in learner.controller.named_parameters())
        tensors |= under("controller", dict(learner.controller.state_dict()))
        tensors |= under("controller-adam", optimiser_tensors(learner.controller_optimiser, names))
    facts: dict[str, Any] = {
        "kept": {name: list(options) for name, options in learner.decided.kept.items()},
        "fixed": dict(learner.decided.fixed),
        "dropped": {name: list(options) for name, options in learner.decided.dropped.items()},
        "baseline": learner.baseline,
    }
    return Saved(tensors, facts)


def restore(learner: Learner, found: Saved) -> None:
    """Brings a learner that was lowered for the same stage back to where it was."""
    tensors, facts = found.tensors, found.facts
    learner.module.load_state_dict(below("weights", tensors))
    set_momentum(learner, below("momentum", tensors))
    for name, value in below("logits", tensors).items():
        learner.logits[name].data.copy_(value)
    restore_optimiser(learner.logit_optimiser, tuple(learner.logits), below("adam", tensors))
    learner.task.restore(below("task", tensors))
    if learner.controller is not None and learner.controller_optimiser is not None:
        names = tuple(name for name, _ in learner.controller.named_parameters())
        learner.controller.load_state_dict(below("controller", tensors))
        restore_optimiser(learner.controller_optimiser, names, below("controller-adam", tensors))
    learner.decided.kept = kept_of(facts)
    learner.decided.fixed = dict(facts["fixed"])
    learner.decided.dropped = {name: tuple(options) for name, options in facts["dropped"].items()}
    learner.baseline = float(facts["baseline"])


def kept_of(facts: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The options that pruned choices had kept."""
    return {name: tuple(options) for name, options in facts["kept"].items()}

"""A learner as state dicts and plain data, and back, to the bit."""

from collections.abc import Mapping
from typing import Any

from runners.experiment.learner import Learner


def saved(learner: Learner) -> dict[str, Any]:
    """All that a learner is, at the end of an epoch, by part."""
    state: dict[str, Any] = {
        "weights": learner.module.state_dict(),
        "optimiser": learner.optimiser.state_dict(),
        "logits": learner.logits,
        "adam": learner.logit_optimiser.state_dict(),
        "task": learner.task.state(),
        "kept": {name: list(options) for name, options in learner.decided.kept.items()},
        "fixed": learner.decided.fixed,
        "dropped": {name: list(options) for name, options in learner.decided.dropped.items()},
        "baseline": learner.baseline,
    }
    if learner.controller is not None and learner.controller_optimiser is not None:
        state["controller"] = learner.controller.state_dict()
        state["controller-adam"] = learner.controller_optimiser.state_dict()
    return state


def restore(learner: Learner, state: Mapping[str, Any]) -> None:
    """Brings a learner that was lowered for the same stage back to where it was."""
    learner.module.load_state_dict(state["weights"])
    learner.optimiser.load_state_dict(state["optimiser"])
    for name, value in state["logits"].items():
        learner.logits[name].data.copy_(value)
    learner.logit_optimiser.load_state_dict(state["adam"])
    learner.task.restore(state["task"])
    if learner.controller is not None and learner.controller_optimiser is not None:
        learner.controller.load_state_dict(state["controller"])
        learner.controller_optimiser.load_state_dict(state["controller-adam"])
    learner.decided.kept = kept_of(state)
    learner.decided.fixed = dict(state["fixed"])
    learner.decided.dropped = {name: tuple(options) for name, options in state["dropped"].items()}
    learner.baseline = float(state["baseline"])


def kept_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The options that pruned choices had kept."""
    return {name: tuple(options) for name, options in state["kept"].items()}

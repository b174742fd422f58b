"""A learner as tensors and plain data, and back, to the bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from runners.learner import Learner
from runners.loop.supernets import momentum, set_momentum


@dataclass(frozen=True, slots=True)
class Saved:
    """Tensors by name, and facts that fit in JSON."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def saved(learner: Learner) -> Saved:
    """All that a learner is, at the end of an epoch."""
    tensors: dict[str, Tensor] = {}
    tensors |= _under("weights", dict(learner.module.state_dict()))
    tensors |= _under("momentum", momentum(learner))
    tensors |= _under("logits", {name: row.detach() for name, row in learner.logits.items()})
    tensors |= _under("adam", _adam(learner.logit_optimiser, tuple(learner.logits)))
    tensors |= _under("task", learner.task.state())
    if learner.controller is not None and learner.controller_optimiser is not None:
        names = tuple(name for name, _ in learner.controller.named_parameters())
        tensors |= _under("controller", dict(learner.controller.state_dict()))
        tensors |= _under("controller-adam", _adam(learner.controller_optimiser, names))
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
    learner.module.load_state_dict(_below("weights", tensors))
    set_momentum(learner, _below("momentum", tensors))
    for name, value in _below("logits", tensors).items():
        learner.logits[name].data.copy_(value)
    _set_adam(learner.logit_optimiser, tuple(learner.logits), _below("adam", tensors))
    learner.task.restore(_below("task", tensors))
    if learner.controller is not None and learner.controller_optimiser is not None:
        names = tuple(name for name, _ in learner.controller.named_parameters())
        learner.controller.load_state_dict(_below("controller", tensors))
        _set_adam(learner.controller_optimiser, names, _below("controller-adam", tensors))
    learner.decided.kept = kept_of(facts)
    learner.decided.fixed = dict(facts["fixed"])
    learner.decided.dropped = {name: tuple(options) for name, options in facts["dropped"].items()}
    learner.baseline = float(facts["baseline"])


def kept_of(facts: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The options that pruned choices had kept."""
    return {name: tuple(options) for name, options in facts["kept"].items()}


def _under(part: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}:{name}": value for name, value in values.items()}


def _below(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{part}:"
    return {name.removeprefix(start): x for name, x in tensors.items() if name.startswith(start)}


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [
        value for group in optimiser.param_groups for value in cast("list[Tensor]", group["params"])
    ]


def _adam(optimiser: torch.optim.Optimizer, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Adam's moments and steps by parameter: `exp_avg/name`, …"""
    found: dict[str, Tensor] = {}
    for name, value in zip(names, _parameters(optimiser), strict=False):
        for field, state in optimiser.state.get(value, {}).items():
            found[f"{field}/{name}"] = torch.as_tensor(state)
    return found


def _set_adam(
    optimiser: torch.optim.Optimizer, names: tuple[str, ...], found: Mapping[str, Tensor]
) -> None:
    places = dict(zip(names, _parameters(optimiser), strict=False))
    for key, value in found.items():
        field, _, name = key.partition("/")
        kept = value.clone() if field == "step" else value.to(places[name]).clone()
        optimiser.state[places[name]][field] = kept

"""Tensors of a checkpoint by part and name, and optimisers as tensors."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor


def under(part: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as `part:name`."""
    return {f"{part}:{name}": value for name, value in values.items()}


def below(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that `under` put below that part, by their names."""
    start = f"{part}:"
    return {name.removeprefix(start): x for name, x in tensors.items() if name.startswith(start)}


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: Sequence[str]) -> dict[str, Tensor]:
    """What an optimiser keeps by parameter: `momentum_buffer/name`, `exp_avg/name`, …"""
    found: dict[str, Tensor] = {}
    for name, value in zip(names, _parameters(optimiser), strict=False):
        for field, state in optimiser.state.get(value, {}).items():
            if state is not None:
                found[f"{field}/{name}"] = torch.as_tensor(state)
    return found


def restore_optimiser(
    optimiser: torch.optim.Optimizer, names: Sequence[str], found: Mapping[str, Tensor]
) -> None:
    """Puts what `optimiser_tensors` gave back in its places."""
    places = dict(zip(names, _parameters(optimiser), strict=False))
    for key, value in found.items():
        field, _, name = key.partition("/")
        kept = value.clone() if field == "step" else value.to(places[name]).clone()
        optimiser.state[places[name]][field] = kept


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [
        value for group in optimiser.param_groups for value in cast("list[Tensor]", group["params"])
    ]

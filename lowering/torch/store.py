"""Weights under their stable keys. A store is the one mutable thing: it says so."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from nasir import NasirError
from nasir.ops import ParamRef
from nasir.wanted import checked


def initial(ref: ParamRef, seed: int) -> Tensor:
    """A fresh float32 value, which depends on the seed and the key alone."""
    match ref.init.kind:
        case "constant":
            return torch.full(ref.shape, ref.init.value)
        case "uniform":
            bound = ref.init.value
            return torch.empty(ref.shape).uniform_(
                -bound, bound, generator=generator(seed, ref.key)
            )
        case "normal":
            return torch.empty(ref.shape).normal_(
                0.0, ref.init.value, generator=generator(seed, ref.key)
            )
        case _:
            return resolve(ref, {part.key: initial(part, seed) for _, part in ref.parts})


def resolve(ref: ParamRef, weights: Mapping[str, Tensor]) -> Tensor:
    """The weight of that key, or, if it is derived, its value from its parts. Raises E503."""
    if ref.key in weights:
        return weights[ref.key]
    if not ref.parts:
        raise NasirError("E503", f"the weights have no '{ref.key}'")
    parts = {role: resolve(part, weights) for role, part in ref.parts}
    scale, shift = _affine(parts, ref.init.value)
    if ref.init.kind == "fold_weight":
        weight = parts["weight"]
        return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
    return shift + scale * parts["bias"] if "bias" in parts else shift


def _affine(parts: Mapping[str, Tensor], eps: float) -> tuple[Tensor, Tensor]:
    """A batch norm in inference as y = scale * x + shift, computed in float64."""
    mean, variance = parts["norm_running_mean"], parts["norm_running_var"]
    scale = torch.rsqrt(variance.double() + eps)
    if "norm_weight" in parts:
        scale = scale * parts["norm_weight"].double()
    shift = -mean.double() * scale
    if "norm_bias" in parts:
        shift = shift + parts["norm_bias"].double()
    return scale.to(mean.dtype), shift.to(mean.dtype)


@checked
def generator(seed: int, key: str) -> torch.Generator:
    """A source of random numbers that depends on the seed and the key alone."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Store(Mapping[str, Tensor]):
    """Weights of a graph by key, in the graph's order; `adopt` overwrites them."""

    def __init__(self, refs: Iterable[ParamRef], seed: int = 0) -> None:
        self.refs = {ref.key: ref for ref in refs}
        self._values = {key: initial(ref, seed) for key, ref in self.refs.items()}

    def __getitem__(self, key: str) -> Tensor:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def adopt(self, weights: Mapping[str, Tensor]) -> "Store":
        """Takes over every weight whose key both have (derived ones from their parts)."""
        for key, ref in self.refs.items():
            if key in weights or (ref.parts and all(part.key in weights for _, part in ref.parts)):
                value = resolve(ref, weights)
                if tuple(value.shape) != ref.shape:
                    raise NasirError(
                        "E503",
                        f"'{key}' has shape {list(value.shape)}, not {list(ref.shape)}",
                    )
                self._values[key] = value.detach().clone()
        return self

"""Weights under their stable keys: initial values, stores and safetensors files."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from nasir import NasirError, Where
from nasir.arguments import checked
from nasir.errors import quoted
from nasir.files import is_there, write_atomically
from nasir.ops import ParamRef


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
    """The weight of that key, or, if it is derived, its value from its parts."""
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


def register(root: nn.Module, store: Store) -> None:
    """Puts every weight below plain modules, so that its path is its key."""
    modules: dict[str, nn.Module] = {"": root}
    for key, value in store.items():
        path, _, name = key.rpartition(".")
        module = _descend(modules, path, key)
        _check_free(module, name, key)
        if store.refs[key].buffer:
            module.register_buffer(name, value)
        else:
            module.register_parameter(name, nn.Parameter(value))


def _descend(modules: dict[str, nn.Module], path: str, key: str) -> nn.Module:
    """The module at that path, made if it is not there yet."""
    if path not in modules:
        above, _, part = path.rpartition(".")
        parent = _descend(modules, above, key)
        _check_free(parent, part, key)
        modules[path] = nn.Module()
        parent.add_module(part, modules[path])
    return modules[path]


def _check_free(module: nn.Module, part: str, key: str) -> None:
    if hasattr(module, part):
        raise NasirError(
            "E401",
            f"the weight '{key}' cannot be stored: torch modules have an attribute '{part}'",
            hint="give the node another name",
        )


class FlatWeights:
    """Weights of a module, or running statistics, that lie in one tensor, one after the other.

    The module's own share its memory. `value` requires a gradient if one of them does. `key` is
    that of the first.
    """

    def __init__(self, owners: Mapping[str, tuple[nn.Module, str]]) -> None:
        self.owners = tuple(owners.values())
        self.keys = tuple(owners)
        self.key = next(iter(owners), "")
        self.shapes = tuple(tuple(each.shape) for each in self._own())
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.value = torch.empty(0)
        self.gather()
        self.follow()

    def pieces(self, value: Tensor) -> list[Tensor]:
        """The parts of a tensor that is laid out like `value`, in the shapes of the weights."""
        parts = torch.split(value, self.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def gather(self) -> None:
        """Brings the weights into one tensor again, after the module has moved them."""
        own = self._own()
        if own:
            self.value.data = torch.cat([each.detach().reshape(-1) for each in own])
        for each, piece in zip(own, self.pieces(self.value.detach()), strict=True):
            each.data = piece

    def follow(self) -> None:
        """Requires a gradient if a weight does."""
        self.value.requires_grad_(any(each.requires_grad for each in self._own()))

    @property
    def apart(self) -> bool:
        """True if the module has other weights now, as after `load_state_dict(assign=True)`."""
        if not self.owners:
            return False
        module, name = self.owners[0]
        return getattr(module, name).data_ptr() != self.value.data_ptr()

    def _own(self) -> list[Tensor]:
        return [getattr(module, name) for module, name in self.owners]


@checked
def save_weights(
    module: nn.Module, path: str | Path, about: Mapping[str, str] | None = None
) -> Path:
    """Writes the module's state, `about` with it as in `pack`."""
    return write_atomically(Path(path), pack(module.state_dict(), about or {}))


def pack(weights: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """Weights as the content of a safetensors file, the same bytes every time.

    `about` stands in the metadata as JSON under one key, `nasir`: the package writes several keys
    in random order.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    return save(state, {"nasir": json.dumps(dict(about))} if about else None)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file."""
    path = Path(path)
    where = Where(str(path))
    if not is_there(str(path)):
        raise NasirError("E101", "the weights file does not exist", where)
    if not path.is_file():
        raise NasirError("E101", "the weights path is not a regular file", where)
    try:
        return load(path.read_bytes())
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise NasirError(
            "E104",
            f"the weights file cannot be read: {quoted(str(error), 200)}",
            where,
            hint="nasir reads safetensors files whose keys are its stable keys",
        ) from None


@checked
def load_weights(module: nn.Module, path: str | Path, *, head: bool = True) -> None:
    """Overwrites the module's whole state from a safetensors file; on an error nothing changes.

    Without `head` the last linear layers, which depend on the classes, keep their values, and the
    heads may be in the file alone or in the module alone; without a head in the module (features),
    the file's is left out anyway. Raises an error naming a missing, an unexpected, or a misshapen
    key, and what reading raises.
    """
    weights = read_weights(path)
    where = Where(str(path))
    state = module.state_dict()
    if not any(map(_HEAD.match, state)):  # no head, no head's weights
        weights = {key: value for key, value in weights.items() if not _HEAD.match(key)}
    missing = [key for key in state if key not in weights and (head or not _HEAD.match(key))]
    unexpected = [key for key in weights if key not in state and (head or not _HEAD.match(key))]
    if missing or unexpected:
        first = f"'{missing[0]}' is missing" if missing else f"'{unexpected[0]}' is unexpected"
        raise NasirError(
            "E503",
            f"the weights do not fit: {first} ({len(missing)} missing, "
            f"{len(unexpected)} unexpected of {len(state)})",
            where,
            hint="compile with the genotype, skeleton and auxiliary head they were saved with",
        )
    taken = {
        key: value
        for key, value in weights.items()
        if key in state and (head or not _CLASSIFIER.match(key))
    }
    wrong = [key for key, value in taken.items() if value.shape != state[key].shape]
    if wrong:
        key, hint = wrong[0], "compile with the channels and classes they were saved with"
        if all(map(_CLASSIFIER.match, wrong)):
            hint += ", or leave the head out: --without-head, or head=False in Python"
        shapes = f"{list(weights[key].shape)}, the network's is {list(state[key].shape)}"
        raise NasirError("E503", f"'{key}' has shape {shapes}", where, hint)
    with torch.no_grad():
        for key, value in taken.items():
            state[key].copy_(value)


_HEAD = re.compile(r"(head|aux)[/.]")
_CLASSIFIER = re.compile(r"(head|aux)/linear\.")
"""Keys of the skeletons' heads, and of the layers in them whose shape depends on the classes."""

"""The original implementations that weights are imported from: a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nasir import Graph, NasirError
from nasir.errors import quoted
from runners.originals import autodl, quark0, recurrent
from runners.originals.unit import TensorGroup

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Family:
    """Networks of one code. `marks` are starts of tensors' names that all of them have.

    `size` reads a network's size from its state, and raises E762 where it cannot. `tied` are
    tensors that equal other ones, by name; `optional` are starts of names of tensors that a network
    may have and nasir's need not. A `supernet` belongs to a space, other networks to a genotype.
    """

    name: str
    marks: tuple[str, ...]
    size: Callable[[State], dict[str, Any]]
    units: Callable[
        [Any, Graph], tuple[TensorGroup, ...]
    ]  # of a genotype, or of a supernet's space
    tied: Mapping[str, str] = field(default_factory=dict[str, str])
    optional: tuple[str, ...] = ()
    supernet: bool = False


def family_of(state: State) -> Family:
    """The family of a state. Raises E761 for one that is of none."""
    for family in FAMILIES:
        if all(any(name.startswith(mark) for name in state) for mark in family.marks):
            return family
    names = ", ".join(quoted(name) for name in list(state)[:4])
    known = "; ".join(family.name for family in FAMILIES)
    message = f"the weights are of no network known: {names}, …"
    raise NasirError("E761", message, hint=f"known are {known}")


def _length(state: State, *names: str) -> int:
    """The first dimension of the first of these tensors that is there. Raises E762."""
    for name in names:
        if name in state:
            if state[name].dim():
                return len(state[name])
            raise _unsized(f"{quoted(name)} is a single number")
    raise _unsized(f"there is no tensor '{names[0]}'")


def _cells(state: State) -> int:
    """How many cells there are. Raises E762 unless they are numbered 0, 1, 2, …"""
    found = {name.split(".")[1] for name in state if name.startswith("cells.")}
    if found != {str(number) for number in range(len(found))}:
        raise _unsized(f"its cells are {', '.join(quoted(each) for each in sorted(found)[:4])}, …")
    return len(found)


def _unsized(what: str) -> NasirError:
    message = f"the size of the network cannot be read from the weights: {what}"
    return NasirError("E762", message, hint="the whole state dict of one network is needed")


def _darts(state: State) -> dict[str, Any]:
    """A head in which a batch norm follows the last convolution is not that of nasir's ImageNet
    networks, which lack it as published (AutoDL's has one)."""
    stem = _stem(state)
    head = any(name.startswith("auxiliary_head.") for name in state)
    foreign = stem["skeleton"] == "imagenet" and "auxiliary_head.features.6.weight" in state
    return stem | {
        "layers": _cells(state),
        "classes": _length(state, "classifier.weight"),
        "auxiliary": head and not foreign,
    }


def _stem(state: State) -> dict[str, Any]:
    if any(name.startswith("stem0.") for name in state):
        channels = _length(state, "stem0.3.weight", "stem0.conv2.weight")
        read = _read_channels(state, "stem0.0.weight", "stem0.conv1.weight")
        return {"skeleton": "imagenet", "channels": channels, **read}
    return {
        "skeleton": "cifar",
        "channels": _length(state, "stem.0.weight", "stem.conv.weight") // 3,
        **_read_channels(state, "stem.0.weight", "stem.conv.weight"),
    }


def _read_channels(state: State, *names: str) -> dict[str, int]:
    """The channels of an image, which the first convolution reads; nothing where it is not one."""
    shapes = [tuple(state[name].shape) for name in names if name in state]
    return {"in_channels": shapes[0][1]} if shapes and len(shapes[0]) == 4 else {}


def _supernet(state: State) -> dict[str, Any]:
    """`parts`: of how many equal parts of the channels the ops see one."""
    below = "cells.0._ops.0._ops."
    kernels = [name for name in state if name.startswith(below) and name.endswith(".op.1.weight")]
    seen = _length(state, *kernels, f"{below}4.op.1.weight")
    size = _stem(state) | {"layers": _cells(state), "classes": _length(state, "classifier.weight")}
    if size["skeleton"] == "imagenet":
        size["skeleton"] = "imagenet_search"
    width = _length(state, "cells.0.preprocess1.op.1.weight")
    return size | {"parts": max(1, width // max(1, seen))}


def _nasbench201(state: State) -> dict[str, Any]:
    return {
        "skeleton": "nasbench201",
        "channels": _length(state, "stem.0.weight"),
        "layers": (_cells(state) - 2) // 3,
        "classes": _length(state, "classifier.weight"),
        **_read_channels(state, "stem.0.weight"),
    }


def _recurrent(state: State) -> dict[str, Any]:
    encoder = state.get("encoder.weight")
    if encoder is None or encoder.dim() != 2:
        raise _unsized("'encoder.weight' is no matrix")
    vocabulary, hidden = encoder.shape
    return {"skeleton": "rnn", "vocabulary": vocabulary, "hidden": hidden}


FAMILIES = (
    Family(
        "language models of DARTS",
        ("encoder.weight", "rnns.0._W0"),
        _recurrent,
        recurrent.units,
        recurrent.TIED,
    ),
    Family(
        "NAS-Bench-201's TinyNetwork",
        ("stem.0.weight", "lastact.", "cells.", "classifier.weight"),
        _nasbench201,
        autodl.units,
    ),
    Family(
        "supernets of DARTS",
        ("stem", "cells.0.preprocess0.", "cells.0._ops.0._ops.", "classifier.weight"),
        _supernet,
        quark0.supernet_units,
        optional=quark0.LOGITS,
        supernet=True,
    ),
    Family(
        "NetworkCIFAR and NetworkImageNet of DARTS and AutoDL",
        ("stem", "cells.0.preprocess0.", "classifier.weight"),
        _darts,
        quark0.units,
        optional=("auxiliary_head.",),
    ),
)

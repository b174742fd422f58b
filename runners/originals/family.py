"""The original implementations that weights are imported from: a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nasir import Genotype, Graph, NasirError
from runners.originals import autodl, quark0, recurrent
from runners.originals.unit import Unit

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Family:
    """Networks of one code. `mark` is a tensor that all of them have.

    `size` says of which size a network is by its state; `tied` are tensors that are other ones;
    `optional` are starts of names that a network may have and nasir's need not.
    """

    name: str
    mark: tuple[str, ...]
    size: Callable[[State], dict[str, Any]]
    units: Callable[[Genotype, Graph], tuple[Unit, ...]]
    tied: Mapping[str, str] = field(default_factory=dict[str, str])
    optional: tuple[str, ...] = ()


def family_of(state: State) -> Family:
    """The family of a state. Raises E761 for one that is of none."""
    for family in FAMILIES:
        if all(any(name.startswith(mark) for name in state) for mark in family.mark):
            return family
    names = ", ".join(list(state)[:4])
    known = ", ".join(family.name for family in FAMILIES)
    raise NasirError("E761", f"the weights are of no network known: {names}, …", hint=known)


def _cells(state: State) -> int:
    return 1 + max(int(name.split(".")[1]) for name in state if name.startswith("cells."))


def _quark0(state: State) -> dict[str, Any]:
    size: dict[str, Any] = {
        "layers": _cells(state),
        "classes": len(state["classifier.weight"]),
        "auxiliary": any(name.startswith("auxiliary_head.") for name in state),
    }
    if "stem0.3.weight" in state:
        return {**size, "skeleton": "imagenet", "channels": len(state["stem0.3.weight"])}
    return {**size, "skeleton": "cifar", "channels": len(state["stem.0.weight"]) // 3}


def _autodl(state: State) -> dict[str, Any]:
    return {
        "skeleton": "nasbench201",
        "channels": len(state["stem.0.weight"]),
        "layers": (_cells(state) - 2) // 3,
        "classes": len(state["classifier.weight"]),
    }


def _recurrent(state: State) -> dict[str, Any]:
    vocabulary, hidden = state["encoder.weight"].shape
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
        ("stem.0.weight", "lastact.", "classifier.weight"),
        _autodl,
        autodl.units,
    ),
    Family(
        "NetworkCIFAR and NetworkImageNet of DARTS",
        ("stem", "cells.0.preprocess0.", "classifier.weight"),
        _quark0,
        quark0.units,
        optional=("auxiliary_head.",),
    ),
)

"""torchvision, also where its build does not match torch's."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

_OPS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""What torchvision describes on its import whether or not its compiled part is loaded."""

_declared: list[torch.library.Library] = []
"""Declarations last as long as these."""


def import_torchvision() -> ModuleType:
    """The package, whose data sets and transforms work whatever its build.

    The build for CUDA cannot load its compiled part beside a torch for the CPU, and its import
    then fails on describing ops that nobody has declared. Where that happens they are declared, and
    calling one is an error. Raises ImportError where torchvision is missing, and whatever else its
    import raises.
    """
    try:
        return import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declare()
    return import_module("torchvision")


def declared() -> bool:
    """Whether its compiled part was missing, so that its ops had to be declared."""
    return bool(_declared)


def _declare() -> None:
    library: Any = torch.library.Library("torchvision", "FRAGMENT")
    _declared.append(library)
    for schema in _OPS:
        name = schema.partition("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)

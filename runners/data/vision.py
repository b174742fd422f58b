"""torchvision, also where its build does not match torch's."""

import sys
from importlib import import_module
from typing import Any

import torch

from nasir import NasirError

_OPS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""What torchvision describes on its import whether or not its compiled part is loaded."""

_declared: list[torch.library.Library] = []
"""Declarations last as long as these."""


def import_torchvision(module: str = "torchvision") -> Any:
    """One of its modules: data sets and transforms work whatever its build. It has few types.

    The build for CUDA cannot load its compiled part beside a torch for the CPU, and its import
    then fails because it describes ops that are not declared. Then they are declared here, and
    calling one is an error. Raises E501 where torchvision is missing or its import fails otherwise.
    """
    try:
        return import_module(module)
    except Exception as error:  # a broken installation may raise anything
        reason = error
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    if "operator torchvision::" in str(reason):
        _declare()
        return import_module(module)
    hint = f"pip install torchvision, the release that requires torch {torch.__version__}"
    raise NasirError("E501", f"torchvision cannot be imported: {reason}", hint=hint) from reason


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

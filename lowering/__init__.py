"""Lowers nasir's graphs to torch, ONNX and plain Python.

A name is imported at its first use, from where `__init__.pyi` says.
"""

from typing import TYPE_CHECKING

import lazy_loader

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

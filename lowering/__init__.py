"""Lowers nasir's graphs to torch, ONNX and plain Python.

A name is imported at its first use, from where `__init__.pyi` says.
"""

from typing import TYPE_CHECKING

from nasir.lazy import attach

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attach(__name__)

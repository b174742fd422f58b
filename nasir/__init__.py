"""nasir compiles cell architectures: spaces and genotypes as files, one typed graph, passes.

This package never imports torch; `lowering` turns a graph into torch, ONNX or plain Python. A name
is imported at its first use, from where `__init__.pyi` says.
"""

from typing import TYPE_CHECKING

import lazy_loader

__version__ = "0.1.0"

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""nasir compiles cell architectures: spaces and genotypes as files, one typed graph, passes.

A name is imported at its first use, from where `__init__.pyi` says. The names of `lowering` (torch,
ONNX, plain Python) and `runners` (searches, trainings) are names of this package, too, whose files
never import torch.
"""

from typing import TYPE_CHECKING

from nasir.lazy import attach

__version__ = "0.1.0"

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attach(__name__)

"""Compiling genotypes end to end, searching, training, and the command line.

A name is imported at its first use, from the module in `__init__.pyi`: the command line must not
load torch.
"""

from typing import TYPE_CHECKING

from nasir.lazy import attach, import_beside

import_beside("lowering")

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attach(__name__)

"""Arithmetic on lists of tensors in one call: torch's own, which have no public names."""

from typing import Any

import torch

_torch: Any = torch

lerp_ = _torch._foreach_lerp_
"""lerp_(values, others, weight): moves each value towards the other by that share of the way."""

mul = _torch._foreach_mul
"""mul(values, factors): each value times its factor, or times the one number."""

__all__ = ["lerp_", "mul"]

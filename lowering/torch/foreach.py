"""Arithmetic on lists of tensors in one call: torch's own, which have no public names."""

from typing import Any

import torch

_torch: Any = torch

lerp_ = _torch._foreach_lerp_
"""lerp_(values, others, weight): moves each value towards the other by that share of the way."""

mul = _torch._foreach_mul
"""mul(values, factors): each value times its factor, or times the one number."""

add = _torch._foreach_add
"""add(values, others, alpha=1): each value plus alpha times the other."""

norm = _torch._foreach_norm
"""norm(values): the Euclidean norm of each value."""

__all__ = ["add", "lerp_", "mul", "norm"]

"""Vectors in torch."""

import operator

import torch
import torch.nn.functional as F
from torch import fx

from lowering.torch.rule import TorchEmitter, TorchRule
from nasir.ops import NoAttrs
from nasir.ops.linear import (
    CHUNK,
    FLATTEN,
    LINEAR,
    PROJECT,
    ChunkAttrs,
    LinearAttrs,
    ProjectAttrs,
)

Values = tuple[fx.Node, ...]


def _flatten(e: TorchEmitter, a: NoAttrs, inputs: Values, weights: Values) -> fx.Node:
    del a, weights
    return e.call(torch.flatten, inputs[0], 1)


def _linear(e: TorchEmitter, a: LinearAttrs, inputs: Values, weights: Values) -> fx.Node:
    return e.call(F.linear, inputs[0], weights[0], weights[1] if a.bias else None)


def _project(e: TorchEmitter, a: ProjectAttrs, inputs: Values, weights: Values) -> fx.Node:
    del a
    return e.call(torch.matmul, inputs[0], weights[0])


def _chunk(e: TorchEmitter, a: ChunkAttrs, inputs: Values, weights: Values) -> fx.Node:
    """Parts of one vector are cut once."""
    del weights
    parts = e.once(torch.chunk, inputs[0], a.of, -1)
    return e.call(operator.getitem, parts, a.part)


RULES = (
    TorchRule(FLATTEN, _flatten),
    TorchRule(LINEAR, _linear),
    TorchRule(PROJECT, _project),
    TorchRule(CHUNK, _chunk),
)

"""Functions of each scalar as Python."""

from functools import partial

from lowering.python.code import Code, call
from lowering.python.rule import Rule, Site
from nasir.ops.pointwise import HARDSIGMOID, HARDSWISH, RELU, SIGMOID, SILU, TANH


def _pointwise(site: Site, inputs: tuple[str, ...], function: str) -> Code:
    del site
    return call(function, inputs[0])


RULES = (
    Rule(RELU, forward=partial(_pointwise, function="F.relu")),
    Rule(SIGMOID, forward=partial(_pointwise, function="torch.sigmoid")),
    Rule(TANH, forward=partial(_pointwise, function="torch.tanh")),
    Rule(SILU, forward=partial(_pointwise, function="F.silu")),
    Rule(HARDSIGMOID, forward=partial(_pointwise, function="F.hardsigmoid")),
    Rule(HARDSWISH, forward=partial(_pointwise, function="F.hardswish")),
)

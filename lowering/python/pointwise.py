"""Functions of each scalar as Python."""

from functools import partial

from lowering.python.code import Code, call
from lowering.python.rule import PythonRule, Site
from nasir.ops.pointwise import HARDSIGMOID, HARDSWISH, RELU, SIGMOID, SILU, TANH


def _pointwise(site: Site, inputs: tuple[str, ...], function: str) -> Code:
    del site
    return call(function, inputs[0])


RULES = (
    PythonRule(RELU, forward=partial(_pointwise, function="F.relu")),
    PythonRule(SIGMOID, forward=partial(_pointwise, function="torch.sigmoid")),
    PythonRule(TANH, forward=partial(_pointwise, function="torch.tanh")),
    PythonRule(SILU, forward=partial(_pointwise, function="F.silu")),
    PythonRule(HARDSIGMOID, forward=partial(_pointwise, function="F.hardsigmoid")),
    PythonRule(HARDSWISH, forward=partial(_pointwise, function="F.hardswish")),
)

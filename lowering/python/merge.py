"""Sums, products and joins as Python."""

from lowering.python.code import Code, call, operation
from lowering.python.rule import PythonRule, Site
from nasir.ops.merge import ADD, CONCAT, MEAN, MUL, SUB

_MEAN = '''\
class Mean(nn.Module):
    """The mean of values, added from left to right."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        return sum(others, start=first) / (1 + len(others))
'''


def _add(site: Site, inputs: tuple[str, ...]) -> Code:
    """From left to right, so that rounding is the same everywhere."""
    del site
    return operation("+", inputs)


def _mean(site: Site) -> Code:
    del site
    return call("Mean")


def _mul(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return operation("*", inputs)


def _concat(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return call("torch.cat", f"[{', '.join(inputs)}]", "dim=1")


def _sub(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return operation("-", inputs)


RULES = (
    PythonRule(ADD, forward=_add),
    PythonRule(MUL, forward=_mul),
    PythonRule(CONCAT, forward=_concat),
    PythonRule(SUB, forward=_sub),
    PythonRule(MEAN, layer=_mean, helper=_MEAN),
)

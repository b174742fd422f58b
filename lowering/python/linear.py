"""Vectors as Python."""

from lowering.python.code import Code, call, text
from lowering.python.rule import PythonRule, Site, option
from nasir.ops.linear import CHUNK, FLATTEN, LINEAR, PROJECT

_PROJECT = '''\
class Project(nn.Module):
    """The product with a weight that is kept as (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int, bound: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight
'''


def _flatten(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return call("torch.flatten", inputs[0], "1")


def _linear(site: Site) -> Code:
    bias = option("bias", str(site.attr("bias")), "True")
    return call("nn.Linear", site.channels(), site.width("out"), bias)


def _project(site: Site) -> Code:
    return call("Project", site.channels(), site.width("out"), repr(site.attr("init")))


def _chunk(site: Site, inputs: tuple[str, ...]) -> Code:
    return text(f"{inputs[0]}.chunk({site.integer('of')}, dim=-1)[{site.integer('part')}]")


RULES = (
    PythonRule(FLATTEN, forward=_flatten),
    PythonRule(LINEAR, layer=_linear),
    PythonRule(PROJECT, layer=_project, helper=_PROJECT),
    PythonRule(CHUNK, forward=_chunk),
)

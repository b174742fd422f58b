"""Mixtures, zeros and noise as Python."""

from lowering.python.code import Code, call, operation
from lowering.python.rule import PythonRule, Site
from nasir.ops.choice import DROP_PATH, FROZEN_GAUSSIAN, GAUSSIAN, MIX, ZERO

_FROZEN = '''\
class FrozenNoise(nn.Module):
    """One draw from N(0, 1), the same for every example."""

    value: Tensor

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("value", torch.randn(1, channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand(x.shape[0], -1, -1, -1)
'''


_DROP_PATH = '''\
class DropPath(nn.Module):
    """In training, some examples are zero, and others are divided by the share that is kept.

    The network draws the masks of all paths at once; `row` is the number of this one.
    """

    row = 0

    def forward(self, x: Tensor, masks: Tensor) -> Tensor:
        return x * masks[self.row].to(x.dtype).view(-1, 1, 1, 1) if self.training else x


def path_masks(count: int, x: Tensor, probability: float) -> Tensor:
    """For each path and example 0, or 1 / (1 - probability)."""
    kept = torch.rand(count, len(x), device=x.device) < 1 - probability
    return kept.to(x.dtype) / (1 - probability)
'''


def _strided(site: Site, x: str) -> str:
    """Vectors have no rows to leave out."""
    height, width = site.axes("stride")
    return x if height == width == "1" else f"{x}[:, :, ::{height}, ::{width}]"


def _zero(site: Site, inputs: tuple[str, ...]) -> Code:
    """Plain zeros: a NaN in the input does not pass, unlike 0 * x."""
    return call("torch.zeros_like", _strided(site, inputs[0]))


def _gaussian(site: Site, inputs: tuple[str, ...]) -> Code:
    return call("torch.randn_like", _strided(site, inputs[0]))


def _frozen(site: Site) -> Code:
    return call("FrozenNoise", site.channels(), site.size(1, "size"), site.size(2, "size"))


def _mix(site: Site, inputs: tuple[str, ...]) -> Code:
    values = zip(inputs[1:], site.attr("options"), strict=True)
    return operation("+", tuple(f"{inputs[0]}[{option}] * {value}" for value, option in values))


def _drop_path(site: Site) -> Code:
    del site
    return call("DropPath")


RULES = (
    PythonRule(MIX, forward=_mix),
    PythonRule(ZERO, forward=_zero),
    PythonRule(GAUSSIAN, forward=_gaussian),
    PythonRule(DROP_PATH, layer=_drop_path, helper=_DROP_PATH),
    PythonRule(FROZEN_GAUSSIAN, layer=_frozen, helper=_FROZEN),
)

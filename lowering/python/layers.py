"""Convolutions, norms, pools, functions, sums and linear maps as Python."""

from lowering.python.code import Code, call, operation, text
from lowering.python.rule import PythonRule, Site, option
from nasir import VectorType
from nasir.ops import OpSpec
from nasir.ops.conv import CHANNEL_SHUFFLE, CHANNELS, CONV2D, CROP, PAD
from nasir.ops.linear import CHUNK, FLATTEN, LINEAR, PROJECT
from nasir.ops.merge import ADD, CONCAT, MEAN, MUL, SUB
from nasir.ops.norm import BATCH_NORM
from nasir.ops.pointwise import HARDSIGMOID, HARDSWISH, RELU, SIGMOID, SILU, TANH
from nasir.ops.pool import AVG_POOL, GLOBAL_POOL, MAX_POOL


def _conv2d(site: Site) -> Code:
    return call(
        "nn.Conv2d",
        site.channels(),
        site.width("out"),
        site.pair("kernel"),
        option("stride", site.pair("stride"), "1"),
        option("padding", site.pair("margins", "padding"), "0"),
        option("dilation", site.pair("dilation"), "1"),
        option("groups", site.width("groups"), "1"),
        option("bias", str(site.attr("bias")), "True"),
    )


def _crop(site: Site, inputs: tuple[str, ...]) -> Code:
    return text(f"{inputs[0]}[:, :, {site.integer('top')}:, {site.integer('left')}:]")


def _pad(site: Site, inputs: tuple[str, ...]) -> Code:
    return call("F.pad", inputs[0], f"(0, {site.integer('right')}, 0, {site.integer('bottom')})")


def _channels(site: Site, inputs: tuple[str, ...]) -> Code:
    """A slice without the bounds of the image; expressions stand off from the colon."""
    starts = site.values("start")
    ends = tuple(map(sum, zip(starts, site.values("count"), strict=True)))
    start = site.count(starts) if any(starts) else ""
    end = "" if start and ends == site.read else site.count(ends)
    colon = ":" if f"{start}{end}".isalnum() else " : "
    return text(f"{inputs[0]}[:, {f'{start}{colon}{end}'.strip()}]")


def _shuffle(site: Site, inputs: tuple[str, ...]) -> Code:
    return call("F.channel_shuffle", inputs[0], site.width("groups"))


def _batch_norm(site: Site) -> Code:
    vectors = isinstance(site.types[site.nodes[0].inputs[0]], VectorType)
    return call(
        "nn.BatchNorm1d" if vectors else "nn.BatchNorm2d",
        site.channels(),
        option("eps", repr(site.attr("eps")), "1e-05"),
        option("momentum", repr(site.attr("momentum")), "0.1"),
        option("affine", str(site.attr("affine")), "True"),
    )


def _window(site: Site) -> tuple[str, ...]:
    kernel, stride = site.pair("kernel"), site.pair("stride")
    # torch's default stride is the kernel, so it is always written.
    return (kernel, f"stride={stride}", option("padding", site.pair("padding"), "0"))


def _max_pool(site: Site, inputs: tuple[str, ...]) -> Code:
    return call("F.max_pool2d", inputs[0], *_window(site))


def _avg_pool(site: Site, inputs: tuple[str, ...]) -> Code:
    padded = site.pair("padding") != "0"
    counted = option("count_include_pad", str(site.attr("count_padding")), "True") if padded else ""
    return call("F.avg_pool2d", inputs[0], *_window(site), counted)


_MEAN = '''\
class Mean(nn.Module):
    """The mean of values, added from left to right."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        return sum(others, start=first) / (1 + len(others))
'''


def _mean(site: Site) -> Code:
    del site
    return call("Mean")


def _concat(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return call("torch.cat", f"[{', '.join(inputs)}]", "dim=1")


_PROJECT = '''\
class Project(nn.Module):
    """The product with a weight that is kept as (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int, bound: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight
'''


def _linear(site: Site) -> Code:
    bias = option("bias", str(site.attr("bias")), "True")
    return call("nn.Linear", site.channels(), site.width("out"), bias)


def _project(site: Site) -> Code:
    return call("Project", site.channels(), site.width("out"), repr(site.attr("init")))


def _chunk(site: Site, inputs: tuple[str, ...]) -> Code:
    return text(f"{inputs[0]}.chunk({site.integer('of')}, dim=-1)[{site.integer('part')}]")


def _calls(op: OpSpec, function: str, *more: str) -> PythonRule:
    """A function of the inputs and then of `more`."""
    return PythonRule(op, forward=lambda _, inputs: call(function, *inputs, *more))


def _between(op: OpSpec, operator: str) -> PythonRule:
    """From left to right, so that rounding is the same everywhere."""
    return PythonRule(op, forward=lambda _, inputs: operation(operator, inputs))


RULES = (
    PythonRule(CONV2D, layer=_conv2d),
    PythonRule(CROP, forward=_crop),
    PythonRule(PAD, forward=_pad),
    PythonRule(CHANNELS, forward=_channels),
    PythonRule(CHANNEL_SHUFFLE, forward=_shuffle),
    PythonRule(BATCH_NORM, layer=_batch_norm),
    PythonRule(MAX_POOL, forward=_max_pool),
    PythonRule(AVG_POOL, forward=_avg_pool),
    _calls(GLOBAL_POOL, "F.adaptive_avg_pool2d", "1"),
    _calls(RELU, "F.relu"),
    _calls(SIGMOID, "torch.sigmoid"),
    _calls(TANH, "torch.tanh"),
    _calls(SILU, "F.silu"),
    _calls(HARDSIGMOID, "F.hardsigmoid"),
    _calls(HARDSWISH, "F.hardswish"),
    _between(ADD, "+"),
    _between(MUL, "*"),
    PythonRule(CONCAT, forward=_concat),
    _between(SUB, "-"),
    PythonRule(MEAN, layer=_mean, helper=_MEAN),
    _calls(FLATTEN, "torch.flatten", "1"),
    PythonRule(LINEAR, layer=_linear),
    PythonRule(PROJECT, layer=_project, helper=_PROJECT),
    PythonRule(CHUNK, forward=_chunk),
)

"""Rules that write each primitive: the layer that a class makes, or the code in `forward`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lowering.python.numbers import Numbers
from nasir import ImageType, NasirError, Node, TokenType, Type
from nasir.node import is_list
from nasir.table import Table


@dataclass(frozen=True)
class Site:
    """A node in all instances of a class; `inputs` is their code, in `forward` alone.

    There, arguments of the class are attributes.
    """

    nodes: tuple[Node, ...]
    types: Mapping[str, Type]
    numbers: Numbers
    inputs: tuple[str, ...] = ()

    @property
    def x(self) -> str:
        """The code of the first input."""
        return self.inputs[0]

    @property
    def read(self) -> tuple[Type, ...]:
        """The type of the first input, in each instance."""
        return tuple(self.types[node.inputs[0]] for node in self.nodes)

    def attr(self, name: str) -> Any:
        """An attribute that is no number (`fixed`): the same in all instances of a class."""
        found = dict(fixed(self.nodes[0]))
        assert name in found, f"'{name}' may differ between the instances of a class"
        return found[name]

    def width(self, name: str) -> str:
        """An attribute that counts channels."""
        label = "out_channels" if name == "out" else name
        return self.numbers.width(self.values(name), label, held=bool(self.inputs))

    def channels(self, values: tuple[int, ...] = ()) -> str:
        """These numbers of channels, or those (or the length) of the first input."""
        values = values or tuple(type_.shape[0] for type_ in self.read)
        return self.numbers.width(values, "channels", held=bool(self.inputs))

    def number(self, name: str, values: tuple[int, ...] = ()) -> str:
        """A number that is no width: these values, or an attribute."""
        return self.numbers.geometry(values or self.values(name), name, held=bool(self.inputs))

    def axes(self, name: str, label: str = "") -> tuple[str, str]:
        """A (height, width) attribute."""
        heights, widths = zip(*self.values(name), strict=True)
        return self.number(label or name, heights), self.number(label or name, widths)

    def pair(self, name: str, label: str = "") -> str:
        """A (height, width) attribute; one number where both are the same."""
        height, width = self.axes(name, label)
        return height if height == width else f"({height}, {width})"

    def values(self, name: str) -> tuple[Any, ...]:
        """An attribute in each instance."""
        return tuple(getattr(node.attrs, name) for node in self.nodes)


Rule = Callable[[Site], str]


def call(function: str, *arguments: str) -> str:
    """A call; empty arguments are left out."""
    return f"{function}({', '.join(filter(None, arguments))})"


def option(name: str, value: object, default: object) -> str:
    """A keyword argument, or nothing where it has its default."""
    return "" if value == default else f"{name}={value}"


def fixed(node: Node) -> tuple[tuple[str, Any], ...]:
    """The attributes that are no numbers; nodes that differ in them are of different classes.

    Numbers, which are written by instance, are integers and pairs (height, width).
    """
    fields = type(node.attrs).model_fields
    return tuple(
        (name, value)
        for name, value in node.attrs
        if isinstance(value, bool) or is_list(fields[name]) or not isinstance(value, (int, tuple))
    )


def check_rules(nodes: Iterable[Node]) -> None:
    """Raises an error for a primitive without a rule."""
    for node in nodes:
        if node.op.name not in LAYERS and node.op.name not in CODES:
            raise NasirError("E306", f"Python has no rule for the op '{node.op.name}'")


def _convolution(s: Site, layer: str, *more: str) -> str:
    return call(
        layer,
        s.channels(),
        s.width("out"),
        s.pair("kernel"),
        option("stride", s.pair("stride"), "1"),
        option("padding", s.pair("margins", "padding"), "0"),
        *more,
        option("dilation", s.pair("dilation"), "1"),
        option("groups", s.width("groups"), "1"),
        option("bias", s.attr("bias"), True),
    )


def _batch_norm(s: Site) -> str:
    return call(
        f"nn.BatchNorm{'2d' if isinstance(s.read[0], ImageType) else '1d'}",
        s.channels(),
        option("eps", s.attr("eps"), 1e-05),
        option("momentum", s.attr("momentum"), 0.1),
        option("affine", s.attr("affine"), True),
    )


def _group_norm(s: Site) -> str:
    return call(
        "nn.GroupNorm",
        s.width("groups"),
        s.channels(),
        option("eps", s.attr("eps"), 1e-05),
        option("affine", s.attr("affine"), True),
    )


def _pool(s: Site, layer: str, *more: str) -> str:
    """torch's default stride is the kernel, so it is always written."""
    padding = s.pair("padding")
    stride = f"stride={s.pair('stride')}"
    more = more if padding != "0" else ()
    return call(layer, s.pair("kernel"), stride, option("padding", padding, "0"), *more)


def _avg_pool(s: Site) -> str:
    return _pool(s, "nn.AvgPool2d", option("count_include_pad", s.attr("count_padding"), True))


def _embedding(s: Site) -> str:
    words = tuple(type_.vocabulary for type_ in s.read if isinstance(type_, TokenType))
    return call("nn.Embedding", s.number("vocabulary", words), s.width("out"))


def _frozen(s: Site) -> str:
    _, heights, widths = zip(*(s.types[node.name].shape for node in s.nodes), strict=True)
    return call("FrozenNoise", s.channels(), s.number("size", heights), s.number("size", widths))


def _strided(s: Site) -> str:
    """Vectors have no rows to leave out."""
    height, width = s.axes("stride")
    rows = f"{_upto('::', height)}, {_upto('::', width)}"
    return s.x if height == width == "1" else f"{s.x}[:, :, {rows}]"


def _slice(s: Site) -> str:
    starts = s.values("start")
    ends = tuple(map(sum, zip(starts, s.values("count"), strict=True)))
    start = s.channels(starts) if any(starts) else ""
    end = "" if start and ends == tuple(type_.shape[0] for type_ in s.read) else s.channels(ends)
    colon = ":" if f"{start}{end}".isalnum() else " : "
    return f"{s.x}[:, {f'{start}{colon}{end}'.strip()}]"


def _from(bound: str) -> str:
    """The slice from a bound on, with spaces around the colon of an expression."""
    return f"{bound}:" if bound.isalnum() else f"{bound} :"


def _upto(mark: str, bound: str) -> str:
    return f"{mark}{bound}" if bound.isalnum() else f"{mark} {bound}"


def _mix(s: Site) -> str:
    weights, *values = s.inputs
    options = zip(s.attr("options"), values, strict=True)
    return " + ".join(f"{weights}[{option}] * {value}" for option, value in options)


def _conv_transpose2d(s: Site) -> str:
    return _convolution(s, "nn.ConvTranspose2d", option("output_padding", s.pair("extra"), "0"))


def _layer_norm(s: Site) -> str:
    return call(
        "LayerNorm",
        s.channels(),
        s.number("axis"),
        option("eps", s.attr("eps"), 1e-05),
        option("elementwise_affine", s.attr("affine"), True),
    )


def _matmul(s: Site) -> str:
    first, second = s.inputs
    terms = f"{first}.shape[{-2 if s.attr('transpose_first') else -1}]"
    first = f"{first}{'.mT' * s.attr('transpose_first')}"
    first = f"{first} / {terms} ** 0.5" if s.attr("scaled") else first
    return call("torch.matmul", first, f"{second}{'.mT' * s.attr('transpose_second')}")


def _reshape(s: Site) -> str:
    if len(s.inputs) > 1:
        return f"{s.x}.reshape_as({s.inputs[1]})"
    sizes = ", ".join(map(s.width, ("channels", "height", "width")))
    return f"{s.x}.reshape(len({s.x}), {sizes})"


def _resize(s: Site, mode: str) -> str:
    if len(s.inputs) > 1:
        size = f"{s.inputs[1]}.shape[-2:]"
        return f'F.interpolate({s.x}, {size}, mode="{mode}")'
    factor = f"({', '.join(s.axes('factor'))})"
    return f'F.interpolate({s.x}, scale_factor={factor}, mode="{mode}")'


LAYERS: Table[Rule] = Table.of(
    {
        "conv2d": lambda s: _convolution(s, "nn.Conv2d"),
        "conv_transpose2d": _conv_transpose2d,
        "batch_norm": _batch_norm,
        "group_norm": _group_norm,
        "layer_norm": _layer_norm,
        "max_pool": lambda s: _pool(s, "nn.MaxPool2d"),
        "avg_pool": _avg_pool,
        "mean": lambda s: "Mean()",
        "linear": lambda s: call(
            "nn.Linear", s.channels(), s.width("out"), option("bias", s.attr("bias"), True)
        ),
        "project": lambda s: call("Project", s.channels(), s.width("out"), f"{s.attr('init')}"),
        "drop_path": lambda s: "DropPath()",
        "frozen_gaussian": _frozen,
        "embedding": _embedding,
        "word_dropout": lambda s: call("WordDropout", s.number("vocabulary"), f"{s.attr('rate')}"),
        "dropout_mask": lambda s: call("DropoutMask", f"{s.attr('rate')}"),
        "decoder": lambda s: call("nn.Linear", s.channels(), s.width("out")),
    },
    "python layer",
)
"""Layers, which `forward` calls with the inputs."""

SIGNS: Mapping[str, Rule] = {
    # From left to right, so that rounding is the same everywhere.
    "add": lambda s: " + ".join(s.inputs),
    "sub": lambda s: " - ".join(s.inputs),
    "mul": lambda s: " * ".join(s.inputs),
    "masked": lambda s: " * ".join(s.inputs),
    "mix": _mix,
}
"""Chains of operators."""

HOLDING = frozenset({*SIGNS, "drop_path"})
"""Ops in whose code calls may stand that nothing else reads."""

CODES: Table[Rule] = Table.of(
    {
        **SIGNS,
        "crop": lambda s: f"{s.x}[:, :, {_from(s.number('top'))}, {_from(s.number('left'))}]",
        "pad": lambda s: f"F.pad({s.x}, (0, {s.number('right')}, 0, {s.number('bottom')}))",
        "channels": _slice,
        "channel_shuffle": lambda s: f"F.channel_shuffle({s.x}, {s.width('groups')})",
        "space_to_depth": lambda s: f"F.pixel_unshuffle({s.x}, {s.number('block')})",
        "depth_to_space": lambda s: f"F.pixel_shuffle({s.x}, {s.number('block')})",
        "global_pool": lambda s: f"F.adaptive_avg_pool2d({s.x}, 1)",
        "relu": lambda s: f"F.relu({s.x})",
        "sigmoid": lambda s: f"torch.sigmoid({s.x})",
        "tanh": lambda s: f"torch.tanh({s.x})",
        "silu": lambda s: f"F.silu({s.x})",
        "hardsigmoid": lambda s: f"F.hardsigmoid({s.x})",
        "hardswish": lambda s: f"F.hardswish({s.x})",
        "gelu": lambda s: f"F.gelu({s.x})",
        "matmul": _matmul,
        "softmax": lambda s: f"F.softmax({s.x}, dim={s.number('axis')})",
        "reshape": _reshape,
        "transpose": lambda s: f"{s.x}.transpose({s.number('first')}, {s.number('second')})",
        "resize_nearest": lambda s: _resize(s, "nearest"),
        "resize_bilinear": lambda s: _resize(s, "bilinear"),
        "concat": lambda s: f"torch.cat([{', '.join(s.inputs)}], dim=1)",
        "flatten": lambda s: f"torch.flatten({s.x}, 1)",
        "chunk": lambda s: f"{s.x}.chunk({s.number('of')}, dim=-1)[{s.number('part')}]",
        # Plain zeros: a NaN in the input does not pass, unlike 0 * x.
        "zero": lambda s: f"torch.zeros_like({_strided(s)})",
        "gaussian": lambda s: f"torch.randn_like({_strided(s)})",
        "last": lambda s: f"{s.x}[-1]",
        "log_softmax": lambda s: f"F.log_softmax({s.x}, dim=-1)",
    },
    "python code",
)
"""The code of what has no layer."""

LOOPS = frozenset({"scan"})
"""Ops whose body becomes a class that loops over time."""

"""How a primitive is written in a stand-alone file: a layer made once, and its use in `forward`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from lowering.python.code import Code, call
from lowering.python.numbers import Numbers
from lowering.python_text import Names
from nasir import Node, Type
from nasir.ops import OpSpec
from nasir.text import is_list


@dataclass(frozen=True)
class Site:
    """The same node in every instance of a class.

    `held`: whether the code stands in `forward`, where arguments of the class are attributes.
    """

    nodes: tuple[Node, ...]
    types: Mapping[str, Type]
    numbers: Numbers
    held: bool = False

    def attr(self, name: str) -> Any:
        """An attribute that is no number (`fixed`): the same in all instances of a class."""
        found = dict(fixed(self.nodes[0]))
        assert name in found, f"'{name}' may differ between the instances of a class"
        return found[name]

    def width(self, name: str) -> str:
        """An attribute that counts channels."""
        return self.count(self.values(name), "out_channels" if name == "out" else name)

    def size(self, axis: int, name: str) -> str:
        """A size of the result, in pixels."""
        return self.number(tuple(self.types[node.name].shape[axis] for node in self.nodes), name)

    def channels(self) -> str:
        """The channels (or the length) of the first input."""
        return self.count(self.read)

    @property
    def read(self) -> tuple[int, ...]:
        """The channels of the first input, in each instance."""
        return tuple(self.types[node.inputs[0]].shape[0] for node in self.nodes)

    def count(self, values: tuple[int, ...], name: str = "channels") -> str:
        """A number of channels, of each instance."""
        return self.numbers.width(values, name, held=self.held)

    def integer(self, name: str) -> str:
        """An attribute that counts something other than channels."""
        return self.number(self.values(name), name)

    def values(self, name: str) -> tuple[int, ...]:
        """An attribute that is an integer, in each instance."""
        return tuple(int(getattr(node.attrs, name)) for node in self.nodes)

    def number(self, values: tuple[int, ...], name: str) -> str:
        """A number that is no width, of each instance."""
        return self.numbers.geometry(values, name, held=self.held)

    def axes(self, name: str, label: str = "") -> tuple[str, str]:
        """A (height, width) attribute."""
        rows: list[tuple[int, int]] = [getattr(node.attrs, name) for node in self.nodes]
        heights, widths = zip(*rows, strict=True)
        label = label or name
        return self.number(heights, label), self.number(widths, label)

    def pair(self, name: str, label: str = "") -> str:
        """A (height, width) attribute; one number where both are the same."""
        height, width = self.axes(name, label)
        return height if height == width else f"({height}, {width})"


@dataclass(frozen=True, slots=True)
class PythonRule:
    """A row of the table. `forward` gets the inputs as code; without it, the layer is called.

    `helper` is the source of a class that the layer needs, perhaps one for each node.
    """

    op: OpSpec
    layer: Callable[[Site], Code] | None = None
    forward: Callable[[Site, tuple[str, ...]], Code] | None = None
    helper: str | Callable[[Node], str] = ""

    @property
    def name(self) -> str:
        """The primitive's name."""
        return self.op.name

    def source(self, node: Node) -> str:
        """The source of the class that the node's layer needs; empty if it needs none."""
        return self.helper if isinstance(self.helper, str) else self.helper(node)

    def use(self, site: Site, inputs: tuple[str, ...], attribute: str) -> Code:
        """The expression in `forward`; `attribute` is the layer's name."""
        if self.forward is not None:
            return self.forward(site, inputs)
        return call(f"self.{attribute}", *inputs)


def option(name: str, value: str, default: str) -> str:
    """A keyword argument, or nothing where it has its default."""
    return "" if value == default else f"{name}={value}"


def class_of(source: str) -> str:
    """The name of the class whose source it is; empty for no source."""
    return source.partition("(")[0].removeprefix("class ")


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


def attributes(*more: str) -> Names:
    """For the attributes of a module: none that `nn.Module` has itself, and none of `more`."""
    return Names({*dir(nn.Module()), *more})

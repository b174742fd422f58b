"""Finds the classes of parts, the names of their attributes, and the paths of weights."""

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from lowering.python.numbers import Numbers
from lowering.python.parts import Part, outputs_of
from lowering.python.rules import LAYERS, fixed
from lowering.python.template import HELPERS
from lowering.python_text import CLASSES, Names, class_name, identifier
from nasir import Node, Type
from nasir.node import inside
from nasir.ops import ParamRef
from nasir.template import meaning

METHODS = ("step", "drop_path", "forward_features", "reset_classifier")
"""Names that a class of the file may have besides those of all modules."""


@dataclass(frozen=True, eq=False)
class Class:
    """A class of the file, and every instance of it, which differ in numbers only.

    `attributes` are those of the layers and parts that the items are, or "".
    """

    name: str
    parts: list[Part]
    attributes: list[str]
    numbers: Numbers

    @property
    def first(self) -> Part:
        """The instance that stands for all."""
        return self.parts[0]

    @property
    def rows(self) -> Iterator[tuple[str, "tuple[Node | Part, ...]"]]:
        """For each item its attribute, and it in every instance."""
        items = zip(*(part.items for part in self.parts), strict=True)
        return zip(self.attributes, items, strict=True)


@dataclass(frozen=True, slots=True)
class WeightPath:
    """A weight's path in the modules (`c03.pre0.bn.weight`), and its key in the file.

    The key is the stable one; a derived weight stands under the name of its node.
    """

    path: str
    key: str
    ref: ParamRef


def find_classes(network: Part, types: Mapping[str, Type]) -> Mapping[Part, Class]:
    """The class of each part, inner parts first. The network's is `Network`."""
    names = Names(
        CLASSES | {source.partition("(")[0][len("class ") :] for source in HELPERS.values()}
    )
    found: dict[Hashable, Class] = {}
    by_part: dict[Part, Class] = {}
    for part in network.parts:
        key = _signature(part, types, by_part)
        if key not in found:
            mark = "" if part.role == "cell" else "Variant"
            name = "Network" if part is network else names.fresh(class_name(part.kind), mark)
            taken = Names({*dir(nn.Module()), *METHODS})
            found[key] = Class(name, [], _attributes(part, taken), Numbers(taken))
        by_part[part] = found[key]
        found[key].parts.append(part)
    return by_part


def weight_paths(
    part: Part, classes: Mapping[Part, Class], types: Mapping[str, Type], path: str = ""
) -> Iterator[WeightPath]:
    """Every weight of every layer, in order."""
    for attribute, item in zip(classes[part].attributes, part.items, strict=True):
        if isinstance(item, Part):
            yield from weight_paths(item, classes, types, f"{path}{attribute}.")
            continue
        specs = meaning(item.op, item.attrs, tuple(types[x] for x in item.inputs)).params
        for spec, ref in zip(specs, item.params, strict=True):
            key = f"{item.name}.{spec.name}" if ref.parts else ref.key
            yield WeightPath(f"{path}{attribute}.{spec.name}", key, ref)


def shared(found: tuple[WeightPath, ...]) -> dict[str, str]:
    """For each path whose weight an earlier path has too, that path."""
    first: dict[str, str] = {}
    return {p.path: first[p.key] for p in found if first.setdefault(p.key, p.path) != p.path}


def irregular(found: tuple[WeightPath, ...]) -> dict[str, str]:
    """The keys of the paths from which they do not follow by `_plain`."""
    counts = Counter(_plain(key) for key in {place.key for place in found})
    return {
        place.path: place.key
        for place in found
        if _plain(place.path) != _plain(place.key) or counts[_plain(place.key)] > 1
    }


def _plain(name: str) -> str:
    """Returns the common form of a path and its key, as the file's own `_plain` computes it."""
    return re.sub(r"\W", "_", name)


def _signature(
    part: Part, types: Mapping[str, Type], classes: Mapping[Part, Class]
) -> tuple[Hashable, ...]:
    """Equal for parts that differ only in numbers, which become arguments where they differ."""
    places: dict[str, Hashable] = {name: place for place, name in enumerate(part.reads)}
    for place, item in enumerate(part.items):
        places |= {name: (place, number) for number, name in enumerate(outputs_of(item))}

    def local(names: tuple[str, ...]) -> tuple[Hashable, ...]:
        return tuple(places[name] for name in names)

    rows: list[Hashable] = [part.role, part.kind, local(part.returns), *_attributes(part, Names())]
    for item in part.items:
        if isinstance(item, Part):
            inner = "" if item in part.given else classes[item].name
            rows.append((inner, local(item.inputs), local(item.outputs)))
        else:
            kinds = tuple(type(types[name]) for name in item.inputs)
            rows.append((item.op, local(item.inputs), kinds, fixed(item)))
    return tuple(rows)


def _attributes(part: Part, names: Names) -> list[str]:
    """The attribute of each item that has one, else "".

    In a loop, layers are called as their own weights are, and those that share all weights are one.
    """
    found: dict[Hashable, str] = {}
    attributes: list[str] = []
    for item in part.items:
        if isinstance(item, Node) and item.op.name not in LAYERS:
            attributes.append("")
            continue
        key: Hashable = id(item)
        name = part.local(item.name)
        if isinstance(item, Node) and item.params and part.role == "loop":
            key = (item.op, tuple(ref.key for ref in item.params))
            name = inside(item.params[0].owner, part.name) or name
        found[key] = found.get(key) or names.fresh(identifier(name))
        attributes.append(found[key])
    return attributes

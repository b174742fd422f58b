"""Which parts are instances of one class."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from lowering.python.numbers import Numbers
from lowering.python.outline import Part
from lowering.python.rule import attributes, fixed
from lowering.python.rules import rule
from lowering.python_text import CLASSES, Names, class_name, identifier
from nasir import Node, Type


@dataclass
class Class:
    """A class of the file, and every instance of it. `attributes` names its items' layers."""

    name: str
    parts: list[Part]
    attributes: dict[str, str]
    numbers: Numbers
    positions: dict[tuple[str, ...], int] = field(default_factory=dict[tuple[str, ...], int])

    @property
    def first(self) -> Part:
        """The instance that stands for all: they differ in numbers only."""
        return self.parts[0]

    def attribute(self, item: Node | Part) -> str:
        """The attribute that holds the layer of an item of the first instance."""
        return self.attributes[item.name if isinstance(item, Node) else item.outputs[0]]


@dataclass(frozen=True)
class Classes:
    """All classes, inner ones first, and the class of each part (by its key)."""

    classes: tuple[Class, ...]
    by_part: dict[tuple[str, ...], Class]

    def of(self, part: Part) -> Class:
        """The class of a part."""
        return self.by_part[part.key]


def find_classes(network: Part, types: Mapping[str, Type], helpers: frozenset[str]) -> Classes:
    """The classes of a network; the last one is the network's own. `helpers`: names in use."""
    names = Names(CLASSES | helpers)
    found: dict[Hashable, Class] = {}
    by_part: dict[tuple[str, ...], Class] = {}
    for part in _inner_first(network):
        key = _signature(part, types, by_part)
        if key not in found:
            # The plan numbers the functions of a kind; blocks are numbered here.
            wanted = class_name(part.function or part.kind)
            name = names.fresh(wanted, "Variant") if part is not network else "Network"
            taken = attributes("drop_path" if part is network else "")
            found[key] = Class(name, [], _attributes(part, taken), Numbers(taken))
        by_part[part.key] = found[key]
        found[key].positions[part.key] = len(found[key].parts)
        found[key].parts.append(part)
    # Blocks come before cells, the network last: each class after those that it is made of.
    order = sorted(
        found.values(), key=lambda one: (one.name == "Network", bool(one.first.function))
    )
    return Classes(tuple(order), by_part)


def _inner_first(part: Part) -> Iterator[Part]:
    for _, given in part.given:
        yield from _inner_first(given)
    for item in part.items:
        if isinstance(item, Part):
            yield from _inner_first(item)
    yield part


def _signature(
    part: Part, types: Mapping[str, Type], by_part: Mapping[tuple[str, ...], Class]
) -> Hashable:
    """Equal for parts that differ only in numbers, which become arguments where they differ."""
    places: dict[str, Hashable] = {name: place for place, name in enumerate(part.inner)}
    for place, item in enumerate(part.items):
        made = item.outputs if isinstance(item, Part) else (item.name,)
        places |= {name: (place, number) for number, name in enumerate(made)}

    def local(names: tuple[str, ...]) -> tuple[Hashable, ...]:
        return tuple(places.get(name, name) for name in names)

    rows: list[Hashable] = [part.kind, part.function, local(part.outputs)]
    rows += [(slot, part.local(given.name)) for slot, given in part.given]
    for item in part.items:
        if isinstance(item, Part):
            inner = id(by_part[item.key])
            rows.append((part.local(item.name), inner, local(item.inputs), local(item.outputs)))
        else:
            kinds = tuple(type(types[name]) for name in item.inputs)
            rows.append((part.local(item.name), item.op, local(item.inputs), kinds, fixed(item)))
    return tuple(rows)


def _attributes(part: Part, names: Names) -> dict[str, str]:
    """Names of the layers and inner parts, by value."""
    found: dict[str, str] = {}
    for _, given in part.given:
        found[given.outputs[0]] = names.fresh(identifier(part.local(given.name)))
    for item in part.items:
        if isinstance(item, Part):
            found[item.outputs[0]] = names.fresh(identifier(part.local(item.name)))
        elif rule(item.op).layer is not None:
            found[item.name] = names.fresh(identifier(part.local(item.name)))
    return found

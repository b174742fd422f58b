"""Where each stable key goes in the modules of the file."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from lowering.python.classes import Classes
from lowering.python.outline import Part
from lowering.python.rules import layer_names
from nasir import Graph, Node
from nasir.ops import ParamRef
from nasir.template import meaning


@dataclass(frozen=True, slots=True)
class WeightPath:
    """A weight's path in the modules (`c03.pre0.bn.weight`), and its key in the file.

    The key is the stable one; a derived weight stands under the name of its node.
    """

    path: str
    key: str
    ref: ParamRef


def places(graph: Graph, network: Part, classes: Classes) -> tuple[WeightPath, ...]:
    """Every weight of every layer, in order."""
    return tuple(_places(graph, network, classes, ""))


def plain(name: str) -> str:
    """What a path and its key have in common, as the file's own `_plain` computes it."""
    return re.sub(r"\W", "_", name)


def shared(found: tuple[WeightPath, ...]) -> dict[str, str]:
    """For each path whose weight an earlier path has too, that path."""
    first: dict[str, str] = {}
    return {p.path: first[p.key] for p in found if first.setdefault(p.key, p.path) != p.path}


def irregular(found: tuple[WeightPath, ...]) -> dict[str, str]:
    """The keys of the paths from which they do not follow by `plain`."""
    counts = Counter(plain(key) for key in {place.key for place in found})
    return {
        place.path: place.key
        for place in found
        if plain(place.path) != plain(place.key) or counts[plain(place.key)] > 1
    }


def _places(graph: Graph, part: Part, classes: Classes, path: str) -> Iterator[WeightPath]:
    one = classes.of(part)
    first = one.first
    for (_, given), (_, model) in zip(part.given, first.given, strict=True):
        inner = f"{path}{one.attributes[model.outputs[0]]}."
        yield from _places(graph, given, classes, inner)
    for item, model in zip(part.items, first.items, strict=True):
        if isinstance(item, Part):
            yield from _places(graph, item, classes, f"{path}{one.attribute(model)}.")
        elif item.params:
            for name, ref in zip(_parameter_names(graph, item), item.params, strict=True):
                key = f"{item.name}.{name}" if ref.parts else ref.key
                yield WeightPath(f"{path}{one.attribute(model)}.{name}", key, ref)


def _parameter_names(graph: Graph, node: Node) -> list[str]:
    """The paths of a node's weights below its layer, in order."""
    if node.body is not None:
        return _body_paths(node.body)
    inputs = tuple(graph.types[name] for name in node.inputs)
    return [spec.name for spec in meaning(node.op, node.attrs, inputs).params]


def _body_paths(body: Graph) -> list[str]:
    """The same of a node that applies a graph: where its class has the weights of that graph."""
    layers = layer_names(body)
    found: dict[str, str] = {}
    for node in body:
        for name, ref in zip(_parameter_names(body, node), node.params, strict=True):
            found.setdefault(ref.key, f"{layers[node.name]}.{name}")
    return [found[ref.key] for ref in body.params]

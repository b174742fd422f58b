"""The text of a stand-alone file."""

from collections.abc import Iterable, Mapping, Sequence

import torch

from lowering.python.classes import Class, Classes, find_classes
from lowering.python.keys import WeightPath, irregular, places, shared
from lowering.python.module import helpers, write_class
from lowering.python.network import write_network
from lowering.python.outline import outline
from lowering.python.summary import write_docstring
from lowering.python.template import IMPORTS, LOAD, MAIN, READ
from lowering.python_text import literal
from nasir import Graph, SequenceType, Type
from nasir.ops import Macro
from nasir.passes.dropping import given_inputs
from nasir.types import TokenType


def write_file(
    graph: Graph, kinds: Mapping[str, Macro], stem: str, dtype: torch.dtype, dropped: Sequence[str]
) -> tuple[str, tuple[WeightPath, ...]]:
    """The text for a prepared graph, and where its weights go. `stem`: the file's name.

    `dropped` are the nodes of the plain graph that drop paths.
    """
    network = outline(graph, kinds)
    extra = helpers(graph)
    classes = find_classes(network, graph.types, frozenset(extra))
    found = places(graph, network, classes)
    renamed = irregular(found)
    parts = [
        write_docstring(graph, stem),
        IMPORTS,
        *([_renamed(renamed)] if renamed else []),
        *(f"\n{source}" for source in extra.values()),
        *(f"\n{text}" for text in _class_texts(graph, classes, found, dropped)),
        f"\n{READ}",
        f"\n{_load(renamed, dtype)}",
        f"\n{_main(graph)}",
    ]
    return "\n".join(parts), found


def _class_texts(
    graph: Graph, classes: Classes, found: tuple[WeightPath, ...], dropped: Sequence[str]
) -> Iterable[str]:
    *inner, network = classes.classes
    for one in inner:
        yield write_class(graph, one, classes)
    summary = _network_summary(graph, network)
    yield write_network(graph, network, classes, shared(found), summary, dropped)


def _network_summary(graph: Graph, network: Class) -> str:
    del network
    if graph.auxiliary:
        if graph.about.get("outputs"):
            return "The network; in training mode it returns its auxiliary outputs too."
        return "The network; in training mode it returns (logits, auxiliary logits)."
    name = graph.about.get("name", "")
    return f"The network {name}." if name.isidentifier() else "The network."


def _renamed(renamed: Mapping[str, str]) -> str:
    rows = "".join(f"    {literal(path)}: {literal(key)},\n" for path, key in renamed.items())
    lead = "# The weights whose key in the file does not follow from their path here."
    return f"{lead}\nKEYS = {{\n{rows}}}\n"


def _load(renamed: Mapping[str, str], dtype: torch.dtype) -> str:
    """Reading the weights; a network in another type than float32 is converted first."""
    key = "keys.get(_plain(name), name)"
    to = "" if dtype == torch.float32 else f".to({dtype})"
    text = LOAD.replace("@to@", to)
    return text.replace("@key@", f"KEYS.get(name) or {key}" if renamed else key)


def _example(type_: Type) -> str:
    """A batch of one; sequences have five steps."""
    if isinstance(type_, TokenType):
        return f"torch.randint({type_.vocabulary}, (5, 1))"
    steps = (5,) if isinstance(type_, SequenceType) else ()
    return f"torch.randn({', '.join(map(str, (*steps, 1, *type_.shape)))})"


def _main(graph: Graph) -> str:
    images = ", ".join(_example(type_) for _, type_ in given_inputs(graph))
    shape = "tuple(results.shape)"
    if len(graph.outputs) > 1:
        shape = "*(tuple(result.shape) for result in results)"
    return MAIN.replace("@images@", images).replace("@shape@", shape)

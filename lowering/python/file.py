"""The text of a stand-alone file."""

from collections.abc import Mapping

import torch

from lowering.python.classes import WeightPath, find_classes, irregular, shared, weight_paths
from lowering.python.forward import broken
from lowering.python.module import write_class, write_network
from lowering.python.parts import outline, prepare
from lowering.python.summary import write_docstring
from lowering.python.template import HELPERS, IMPORTS, LOAD, MAIN, READ
from lowering.python_text import literal
from nasir import Graph, SequenceType, Type, WeightsType, run_passes
from nasir.ops.arithmetic import DROP_PATH
from nasir.passes import PASSES, PLAIN
from nasir.passes.random_ops import given_inputs
from nasir.types import TokenType


def write_file(
    original: Graph, stem: str, dtype: torch.dtype
) -> tuple[str, tuple[WeightPath, ...]]:
    """The text for a graph, and where its weights go. `stem`: the file's name."""
    graph = prepare(original)
    network, types = outline(graph, original)
    classes = find_classes(network, types)
    found = tuple(weight_paths(network, classes, types))
    renamed = irregular(found)
    plain, _ = run_passes(original, (*PLAIN, PASSES["dead-code"]))
    dropped = [node.name for node in plain if node.op is DROP_PATH]
    used = {node.op.name for node in network.nodes}
    # Blocks and loops come before cells: each class after those that it is made of.
    order = sorted(dict.fromkeys(classes.values()), key=lambda one: one.first.role == "cell")
    parts = [
        write_docstring(graph, stem),
        IMPORTS,
        *([_renamed(renamed)] if renamed else []),
        *(f"\n{source}" for op, source in HELPERS.items() if op in used),
        *(f"\n{write_class(one, classes, types)}" for one in order if one.first is not network),
        f"\n{write_network(graph, classes[network], classes, types, shared(found), dropped)}",
        f"\n{READ}",
        f"\n{_load(renamed, dtype)}",
        f"\n{_main(graph)}",
    ]
    return "\n".join(parts), found


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
    """A batch of one; sequences have five steps, and weights of options are equal."""
    if isinstance(type_, WeightsType):
        return f"torch.full(({type_.options},), 1 / {type_.options})"
    if isinstance(type_, TokenType):
        return f"torch.randint({type_.vocabulary}, (5, 1))"
    steps = (5,) if isinstance(type_, SequenceType) else ()
    return f"torch.randn({', '.join(map(str, (*steps, 1, *type_.shape)))})"


def _main(graph: Graph) -> str:
    images = ", ".join(_example(type_) for _, type_ in given_inputs(graph))
    shape = "tuple(results.shape)"
    if len(graph.outputs) > 1:
        shape = "*(tuple(result.shape) for result in results)"
    call = "\n".join(broken(f"results = network({images})", 8))
    return MAIN.replace("@call@", call).replace("@shape@", shape)

"""Writes a network as one stand-alone Python file, and loads it again."""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

import nasir
from lowering.agreement import arrays, compared, draw, quietly
from lowering.python.classes import WeightPath, find_classes, irregular, shared, weight_paths
from lowering.python.forward import broken
from lowering.python.module import write_class, write_network
from lowering.python.parts import outline
from lowering.python.summary import write_docstring
from lowering.python.template import HELPERS, IMPORTS, LOAD, MAIN, READ
from lowering.python_text import literal
from lowering.torch.sampled import SampledGraph
from lowering.torch.store import pack, resolve
from nasir import Graph, NasirError, SequenceType, Type, WeightsType, Where, run_passes
from nasir.arguments import checked
from nasir.features import stages
from nasir.files import is_there, not_there, write_atomically
from nasir.ops import Macro
from nasir.ops.arithmetic import DROP_PATH
from nasir.passes import EVALUATION, PASSES, PLAIN
from nasir.passes.rewriting import given_inputs
from nasir.types import TokenType


def write_file(
    original: Graph, stem: str, dtype: torch.dtype
) -> tuple[str, tuple[WeightPath, ...]]:
    """The text for a graph, and where its weights go. `stem`: the file's name."""
    graph, network, types, features = outline(original, _stages(original))
    classes = find_classes(network, types)
    found = tuple(weight_paths(network, classes, types))
    renamed = irregular(found)
    plain, _ = run_passes(original, (*PLAIN, PASSES["dead-code"]))
    dropped = [node.name for node in plain if node.op is DROP_PATH]
    used = {node.op.name for node in network.nodes}
    more = (shared(found), dropped, features)
    # Blocks and loops come before cells: each class after those that it is made of.
    order = sorted(dict.fromkeys(classes.values()), key=lambda one: one.first.role == "cell")
    code = "\n".join(
        [
            *([_renamed(renamed)] if renamed else []),
            *(f"\n{source}" for op, source in HELPERS.items() if op in used),
            *(f"\n{write_class(one, classes, types)}" for one in order if one.first is not network),
            f"\n{write_network(graph, classes[network], classes, types, *more)}",
            f"\n{READ}",
            f"\n{_load(renamed, dtype)}",
            f"\n{_main(graph)}",
        ]
    )
    return "\n".join([write_docstring(graph, stem), _imports(code), code]), found


def _stages(original: Graph) -> tuple[str, ...]:
    """The values that end stages, of which the file can make features; none of a supernet."""
    found = () if original.choices or original.features else tuple(stages(original))
    is_whole = any(isinstance(node.op, Macro) for node in original)
    return found if is_whole and original.needed(original.outputs).issuperset(found) else ()


def _renamed(renamed: Mapping[str, str]) -> str:
    rows = "".join(f"    {literal(path)}: {literal(key)},\n" for path, key in renamed.items())
    lead = "# The weights whose key in the file does not follow from their path here."
    return f"{lead}\nKEYS = {{\n{rows}}}\n"


def _imports(code: str) -> str:
    """The imports of a file; torch's functions only where the code calls one."""
    functional = "import torch.nn.functional as F\n" * bool(re.search(r"\bF\.\w+\(", code))
    return IMPORTS.replace("@functional@", functional)


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


_BATCH = 2


@checked
def to_python(graph: Graph, module: nn.Module, path: str | Path) -> tuple[Path, Path]:
    """Writes `net.py`, which needs only torch, and `net.safetensors`, with the module's weights.

    The network is an ordinary module, with one class for each kind of cell, and can be trained. The
    weights stand under their stable keys, so that other tools read them; those that no output needs
    are kept. The same network gives the same bytes. Nothing is written unless the file, run here,
    computes what the module does. The class has `reset_classifier(classes)` for other classes, and
    `forward_features(image)`, which returns what `features=True` does. Returns both paths. Raises
    an error and, when the module lacks a weight or the path does not end in .py.
    """
    path = Path(path)
    if path.suffix != ".py":
        hint = f"write to {path.with_suffix('.py').name}"
        raise NasirError("E505", "a Python file's name ends in .py", Where(str(path)), hint)
    weights = module.state_dict()
    dtype = next((v.dtype for v in weights.values() if v.is_floating_point()), torch.float32)
    text, places = write_file(graph, path.stem, dtype)
    content = pack(_weights(graph, places, weights), {"version": nasir.__version__, **graph.about})
    with TemporaryDirectory() as folder:
        tried = Path(folder) / "network.py"
        tried.write_text(text, encoding="utf-8")
        tried.with_suffix(".safetensors").write_bytes(content)
        _check(graph, weights, tried)
    # The weights first: a network without them is of no use.
    written = write_atomically(path.with_suffix(".safetensors"), content)
    return write_atomically(path, text.encode()), written


@checked
def load_python(path: str | Path) -> nn.Module:
    """The network of a stand-alone file, with the weights beside it, in evaluation mode.

    Raises an error where there is none, or where the file fails.
    """
    if not is_there(str(path)):
        raise not_there(str(path))
    path = Path(path)
    loader = SourceFileLoader(f"nasir_{path.stem}", str(path))
    spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    assert spec is not None, path
    module: Any = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
        network: nn.Module = module.load()
    except Exception as error:
        raise _failed(path, error) from error
    return network.eval()


def _weights(
    graph: Graph, places: tuple[WeightPath, ...], weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Returns the weights of the file's layers, and those of dead nodes that the module has."""
    found = {place.key: resolve(place.ref, weights) for place in places}
    for ref in run_passes(graph, PLAIN)[0].params:
        if ref.key in weights and not ref.parts:
            found.setdefault(ref.key, weights[ref.key])
    return found


def _check(graph: Graph, weights: Mapping[str, Tensor], path: Path) -> None:
    """Raises an error unless the file computes in evaluation what the graph does with these
    weights.

    The rules for torch are called node by node. What draws fresh noise is run, and not compared.
    """
    plain, _ = run_passes(replace(graph, auxiliary=()), (*PLAIN, *EVALUATION))
    plain = replace(plain, inputs=given_inputs(plain), choices=())
    with quietly():
        network = load_python(path).float()
        inputs = tuple(draw(plain, _BATCH, 0).values())
        try:
            found = arrays(network(*inputs))
        except Exception as error:
            raise _failed(path, error) from error
        if plain.has("random"):
            return
        known = {ref.key: resolve(ref, weights).cpu().float() for ref in plain.params}
        run = SampledGraph(plain, plain.outputs, {}, training=False)
        expected = arrays(run(known.__getitem__, inputs))
    replace(compared(expected, found, _BATCH), name="the Python file").require()


def _failed(path: Path, error: Exception) -> NasirError:
    message = f"the Python file fails: {type(error).__name__}: {error}"
    hint = "that is a fault of nasir: please report it"
    return NasirError("E504", message, Where(path.name), hint)

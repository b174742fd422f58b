"""What a network can run as on a machine: a table, measured, of which the fastest is picked."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

import lowering
from lowering import Network
from nasir import Graph, NasirError
from nasir.errors import nearest, quoted
from nasir.table import Table

Run = Callable[..., Any]
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Source:
    """A network to make targets of, where files for them may lie, and the pictures of a call."""

    graph: Graph
    module: Network
    folder: Path
    batch: int
    device: str


@dataclass(frozen=True, slots=True)
class Target:
    """A row: `make` gives the network in that form; `missing` says why that cannot be here."""

    name: str
    summary: str
    make: Callable[[Source], Run]
    missing: Callable[[str], str] = lambda device: ""


def _published(source: Source) -> Run:
    module = lowering.to_torch(source.graph, optimise=False)
    module.load_state_dict(source.module.state_dict())
    return module.eval().to(source.device)


def _folded(source: Source) -> Network:
    return lowering.to_inference(source.graph, source.module).to(source.device)


def _plain_last(source: Source) -> Run:
    module = lowering.to_torch(source.graph)
    module.load_state_dict(source.module.state_dict())
    return module.eval().to(source.device).lie_channels_last()


def _folded_last(source: Source) -> Run:
    return _folded(source).lie_channels_last()


def _compiled(source: Source) -> Run:
    """In channels_last, too, on a CPU: the kernels' gain and the compiler's add up."""
    module = _folded(source)
    if source.device == "cpu":
        module.lie_channels_last()
    with warnings.catch_warnings():
        warnings.simplefilter("error", lowering.CompileWarning)
        return lowering.compile(module)


def _onnx(source: Source) -> Run:
    path = source.folder / "network.onnx"
    if not path.exists():
        lowering.to_onnx(source.graph, source.module, path)
    threads = torch.get_num_threads()  # as many as torch's, to be fair
    return lowering.OnnxNetwork(path, threads if _by_pictures(source) else 1, threads)


def _by_pictures(source: Source) -> bool:
    """Whether calls have pictures enough for each thread to have some of its own."""
    pictures = source.graph.about.get("skeleton") != "rnn"
    return pictures and source.batch >= 2 * torch.get_num_threads() > 2


def _no_runtime(device: str) -> str:
    if device != "cpu":
        return "ONNX Runtime is used on the CPU alone"
    return "" if find_spec("onnxruntime") else "onnxruntime is not installed"


def _no_compiler(device: str) -> str:
    return lowering.compiler_missing(device.partition(":")[0])


TARGETS = Table(
    Target("published", "the papers' operations in torch, one after the other", _published),
    Target("channels_last", "values shared, pictures pixel by pixel", _plain_last),
    Target("folded", "batch norms folded into convolutions", _folded),
    Target("folded_last", "folded, pictures pixel by pixel", _folded_last),
    Target("compiled", "folded, by torch.compile", _compiled, _no_compiler),
    Target("onnxruntime", "the ONNX file in ONNX Runtime", _onnx, _no_runtime),
)
"""The first is what others are compared with."""


def find_targets(name: str, device: str, compiles: bool = True) -> tuple[Target, ...]:
    """The first target, and that one; all that can be here for `auto`.

    `compiles`: whether `auto` may compile, which can take minutes. Raises E765 for an unknown
    target, E766 for one that cannot be here.
    """
    if name == AUTO:
        can = (target for target in TARGETS.values() if not target.missing(device))
        return tuple(target for target in can if compiles or target.name != "compiled")
    if name not in TARGETS:
        message = f"unknown target {quoted(name)}"
        raise NasirError("E765", message, hint=nearest(name, (AUTO, *TARGETS)))
    target = TARGETS[name]
    missing = target.missing(device)
    if missing:
        raise NasirError("E766", f"the target '{name}' cannot be here: {missing}")
    first = next(iter(TARGETS.values()))
    return (first,) if target is first else (first, target)


def fastest(seconds: Mapping[str, float], among: Sequence[Target]) -> Target:
    """The target of these with the least time; one that was asked for by name is picked anyway."""
    return min(among, key=lambda target: seconds[target.name])

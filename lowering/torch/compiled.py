"""torch.compile with nasir's policy, and discrete networks as they train and as they infer."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

# The exceptions and the compiler search of torch.compile have no public names in torch 2.13.
from torch._dynamo.exc import TorchDynamoException  # pyright: ignore[reportPrivateUsage]

from lowering.torch.entrance import without_unread
from lowering.torch.network import Network
from lowering.torch.policies import PolicyRow, compiler_missing, policy
from lowering.torch.program import Function
from lowering.torch.store import Store
from nasir import Graph, run_passes
from nasir.arguments import checked
from nasir.passes import INFERENCE, PASSES, PLAIN, TRAINED
from nasir.types import ImageType


class CompileWarning(UserWarning):
    """The network runs without torch.compile, and why."""


@checked
def compile(module: Network) -> Network:
    """The network compiled by torch.compile at its first call, sharing its weights with `module`.

    One straight-line graph without breaks, compiled for the shape it is first called with and
    again for others. Of a supernet each kind of cell is compiled by itself, as CUDA graphs where
    the policy says so; where the policy says that compiling does not pay, it is the module itself.
    Where there is no compiler, or compiling fails, it runs eagerly and a CompileWarning names the
    reason.
    """
    device = next((p.device.type for p in module.parameters()), "cpu")
    if module.graph.choices:
        chosen = policy(device)
        if not chosen.compiled.taken:
            return module
        return by_cells(module, _with_graphs if chosen.graphs.taken else _for_shapes)
    reason = compiler_missing(device)
    if reason:
        warnings.warn(f"running without torch.compile: {reason}", CompileWarning, stacklevel=2)
        return module.with_programs(module.programs)
    return module.with_programs({k: _Compiled(f) for k, f in module.programs.items()})


def by_cells(module: Network, finish: Callable[[Function], Function]) -> Network:
    """The network whose kinds of cell, and other bodies, are functions that `finish` has made.

    It shares its weights with `module`. A function takes a cell's weights as arguments, so that
    cells of one kind and size have one function, and steps of a search run what the first made.
    """
    return module.with_bodies((PASSES["call-cells"],), finish)


def _for_shapes(plain: Function) -> "_Compiled":
    """Compiled for each shape, which are few in a search."""
    return _Compiled(plain, dynamic=False)


def _with_graphs(plain: Function) -> "_Compiled":
    """Compiles with CUDA graphs, where the function allows them."""
    return _Compiled(plain, dynamic=False, options={"triton.cudagraphs": True})


class _Compiled:
    """A compiled function that turns into the plain one when compiling fails."""

    def __init__(self, plain: Function, **settings: Any) -> None:
        self._plain = plain
        self.__name__, self.__module__ = plain.__name__, plain.__module__  # for fx
        # torch's own annotation of `compile` is partly unknown.
        compiler = torch.compile  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        self._run = compiler(plain, fullgraph=True, **settings)

    def __call__(self, *args: Any) -> Any:
        try:
            return self._run(*args)
        except (TorchDynamoException, _inductor_error()) as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            reason = f"{type(error).__name__}: {first}"
            warnings.warn(f"running without torch.compile: {reason}", CompileWarning, stacklevel=2)
            self._run = self._plain
            return self._plain(*args)


def _inductor_error() -> type[Exception]:
    from torch._inductor.exc import InductorError  # pyright: ignore[reportPrivateUsage]

    return InductorError


@checked
def training_policy(device: str = "cpu") -> tuple[PolicyRow, PolicyRow]:
    """The policy for channels_last and torch.compile on a kind of device (`cpu`, `cuda`).

    The figures are those of `docs/performance.md`: a step of DARTS_V2 (36 channels, 20 cells, 32
    images) on two cores, against the papers' sequence of operations.
    """
    if device == "cuda":
        missing = compiler_missing("cuda")
        return (
            PolicyRow("channels_last", True, "what tensor cores read; not measured on a GPU"),
            PolicyRow("torch.compile", not missing, missing or "many small kernels become few"),
        )
    return (
        PolicyRow(
            "channels_last", True, "1.6 times the papers' speed, against 1.15 channels first"
        ),
        PolicyRow("torch.compile", False, "no gain over channels_last, minutes of compiling"),
    )


@checked
def prepare_training(module: Network, compiling: str = "auto", layout: str = "auto") -> Network:
    """The network in the form that trains fastest on its device, sharing its weights.

    `compiling` (auto, on, off) and `layout` (auto, channels_last, channels_first) overrule the
    policy. Results are equal but for rounding. `module` itself takes the layout, too.
    """
    device = next((p.device.type for p in module.parameters()), "cpu")
    last, compiled = training_policy(device)
    images = any(isinstance(type_, ImageType) for _, type_ in module.graph.inputs)
    if images and (layout == "channels_last" or (layout == "auto" and last.taken)):
        module.lie_channels_last()
    if compiling == "on" or (compiling == "auto" and compiled.taken):
        return compile(module)
    return module


@checked
def to_inference(graph: Graph, module: nn.Module) -> Network:
    """The network for inference only: batch norms folded into convolutions, weights `module`'s.

    In evaluation mode; equal to `module` up to rounding. Its state has keys of its own.
    """
    drawn, _ = run_passes(graph, (*PLAIN, *TRAINED))
    lowered = without_unread(run_passes(drawn, INFERENCE)[0])
    store = Store(lowered.params).adopt(module.state_dict())
    network = Network(lowered, store, trainable=False)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()

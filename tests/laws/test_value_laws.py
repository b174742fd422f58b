"""Laws of what graphs compute, in float64 with torch."""

from collections.abc import Sequence
from zlib import crc32

import torch
from hypothesis import given
from torch import Tensor

import lowering
from nasir import PASSES, Graph, Pass, run_passes
from nasir.passes import INFERENCE, expand
from nasir.types import ImageType
from tests.strategies import examples, graphs

EXACT = [row for row in PASSES.values() if row.exact]


@examples(12)
@given(graphs(random=False, odd=False))
def test_an_exact_pass_keeps_inference_bitwise(graph: Graph) -> None:
    expected = _infer(graph)
    for row in EXACT:
        _assert_same(_infer(_after(graph, [row])), expected, row.name)


@examples(12)
@given(graphs(random=False, odd=False))
def test_an_exact_pass_keeps_training_bitwise_and_the_gradients(graph: Graph) -> None:
    expected, gradients = _train(graph)
    for row in EXACT:
        found, after = _train(_after(graph, [row]))
        _assert_same(found, expected, row.name)
        for key in gradients.keys() | after.keys():
            wanted = gradients.get(key, torch.zeros(()))
            slope = after.get(key, torch.zeros(())).expand_as(wanted)
            assert torch.allclose(slope, wanted, rtol=1e-12, atol=1e-12), row.name


@examples(30)
@given(graphs(random=False, odd=False))
def test_folding_keeps_inference_to_1e_9_whatever_the_statistics(graph: Graph) -> None:
    plain = _module(graph).eval()
    folded = lowering.to_inference(graph, plain).eval()
    with torch.no_grad():
        actual = _tuple(folded(*_inputs(graph)))
        expected = _tuple(plain(*_inputs(graph)))
    for x, y in zip(actual, expected, strict=True):
        assert torch.allclose(x, y, rtol=1e-9, atol=1e-9 * max(1.0, float(y.abs().max())))


@examples(25)
@given(graphs(macros=False, odd=False))
def test_every_value_has_the_shape_that_its_type_says(graph: Graph) -> None:
    shown = [node.name for node in graph.nodes]
    for name, value in zip(shown, _infer(graph.with_nodes(graph.nodes, shown, ())), strict=True):
        assert value.shape[1:] == graph.types[name].shape


@examples(40)
@given(graphs(odd=False))
def test_frozen_noise_gives_the_same_result_twice(graph: Graph) -> None:
    frozen = _after(expand(graph), [PASSES["freeze-noise"]])
    module = _module(frozen).eval()
    with torch.no_grad():
        _assert_same(_tuple(module(*_inputs(graph))), _tuple(module(*_inputs(graph))))


def test_each_pass_for_inference_is_tested_here_or_folds() -> None:
    elsewhere = {"fold-batch-norm", "evaluation"}  # the latter beside the laws of bodies
    assert {row.name for row in INFERENCE} <= {row.name for row in EXACT} | elsewhere


def _after(graph: Graph, passes: Sequence[Pass]) -> Graph:
    return run_passes(graph, passes)[0]


def _module(graph: Graph) -> lowering.Network:
    """The graph as it stands in float64, with statistics and scales that are no round numbers."""
    module = lowering.to_torch(graph, seed=1, optimise=False).double()
    for key, value in sorted(module.state_dict().items()):
        generator = torch.Generator().manual_seed(crc32(key.encode()))
        if key.endswith("running_var"):
            value.uniform_(0.5, 2.0, generator=generator)
        elif key.endswith("running_mean") or value.dim() == 1:
            value.uniform_(-1.0, 1.0, generator=generator)
    return module


def _inputs(graph: Graph) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    found: list[Tensor] = []
    for _, type_ in graph.inputs:
        assert isinstance(type_, ImageType)
        found.append(torch.randn(3, *type_.shape, generator=generator, dtype=torch.float64))
    return found


def _infer(graph: Graph) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return _tuple(_module(graph).eval()(*_inputs(graph)))


def _train(graph: Graph) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """The results in training mode, and the gradient of a sum that weighs every scalar."""
    module = _module(graph).train()
    outputs = _tuple(module(*_inputs(graph)))
    total = sum((x.flatten() @ _weights(x) for x in outputs), torch.zeros((), dtype=torch.float64))
    if total.requires_grad:
        total.backward()
    named = module.named_parameters()
    return outputs, {key: value.grad for key, value in named if value.grad is not None}


def _weights(value: Tensor) -> Tensor:
    return torch.linspace(-1.0, 1.0, value.numel(), dtype=torch.float64)


def _assert_same(actual: Sequence[Tensor], expected: Sequence[Tensor], message: str = "") -> None:
    assert len(actual) == len(expected), message
    for x, y in zip(actual, expected, strict=True):
        assert torch.equal(x, y), message


def _tuple(value: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)

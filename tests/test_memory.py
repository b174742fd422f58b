"""Memory levels: what training keeps for the backward pass, and that nothing else changes."""

import copy

import pytest
import torch
from torch import Tensor

import lowering
import nasir
from lowering import kernels
from nasir.passes import MEMORY_LEVELS, MemoryLevel
from tests.gate import gated
from tests.refusals import fails_with
from tests.supernets import (
    Outcome,
    check_close,
    check_same,
    inputs_of,
    mixture_of,
    outcome,
    shipped,
)

LEVELS = pytest.mark.parametrize("level", ["cells", "states"])
FAST = ("s4", "nasbench201", "darts_rnn", "natsbench_size", "nasbench1shot1_2")
DARTS = nasir.supernet("darts", channels=2, layers=3, resolution=8)
NASBENCH201 = nasir.supernet("nasbench201", channels=2, layers=1, resolution=8)


def kept(graph: nasir.Graph, memory: MemoryLevel) -> int:
    module = lowering.to_torch(graph, memory=memory).double()
    return lowering.saved_bytes(module, *inputs_of(graph), mixture_of(graph)).bytes


@LEVELS
@pytest.mark.parametrize(
    "space", gated(["nasbench201", "darts_rnn", "nasbench1shot1_3", "darts"], FAST)
)
def test_a_level_saves_most_of_what_backward_needs(space: str, level: MemoryLevel) -> None:
    graph = shipped(space)
    assert kept(graph, level) * 2 < kept(graph, "none")


def test_what_is_kept_is_counted_once_and_without_weights() -> None:
    build = nasir.Builder(x=nasir.ImageType(2, 4, 4))
    y = build("tanh", "x", name="y")
    first, second = (build("conv2d", y, name=n, out=2, kernel=1) for n in ("a", "b"))
    graph = build.graph(build("mul", first, second, name="product"))
    module = lowering.to_torch(graph)
    found = lowering.saved_bytes(module, torch.zeros(3, 2, 4, 4, requires_grad=True))
    image = 3 * 2 * 4 * 4 * 4
    # tanh keeps y, the convolutions y and their weights, the product both of its factors.
    assert found == lowering.SavedBytes(3 * image, 7)


@LEVELS
def test_drawing_goes_on_after_backward_as_if_nothing_had_been_drawn_again(
    level: MemoryLevel,
) -> None:
    graph = shipped("s4")
    drawn: list[Tensor] = []
    for memory in ("none", level):
        module = lowering.to_torch(graph, memory=memory).double()
        outcome(module, inputs_of(graph, batch=2), mixture_of(graph))
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


@LEVELS
def test_statistics_may_move_between_a_call_and_its_backward_pass(level: MemoryLevel) -> None:
    inputs, mixture = inputs_of(NASBENCH201), mixture_of(NASBENCH201)
    module = lowering.to_torch(NASBENCH201, memory=level).double()
    first = module(*inputs, mixture).square().sum()
    module(*inputs_of(NASBENCH201, seed=1), mixture)
    plain = lowering.to_torch(NASBENCH201, optimise=False).double()
    expected = plain(*inputs, mixture).square().sum()
    rows = [*mixture.values()]
    check_close(torch.autograd.grad(first, rows), torch.autograd.grad(expected, rows))


@LEVELS
def test_a_second_run_is_under_the_autocast_of_the_first(level: MemoryLevel) -> None:
    build = nasir.Builder(x=nasir.ImageType(3, 4, 4))
    build.cell = nasir.Cell("normal", "c00")
    y = build("conv2d", build("tanh", "x", name="c00/tanh"), name="c00/out", out=2, kernel=3)
    gradients: list[tuple[Tensor, ...]] = []
    for memory in ("none", level):
        module = lowering.to_torch(build.graph(y), memory=memory)
        with torch.autocast("cpu", torch.bfloat16):
            result = module(torch.ones(1, 3, 4, 4))
        assert result.dtype == torch.bfloat16
        gradients.append(torch.autograd.grad(result.float().square().sum(), [*module.parameters()]))
    check_close(gradients[1], gradients[0], tolerance=0)


@LEVELS
def test_weights_that_change_before_backward_are_noticed(level: MemoryLevel) -> None:
    module = lowering.to_torch(NASBENCH201, memory=level).double()
    loss = module(*inputs_of(NASBENCH201), mixture_of(NASBENCH201)).sum()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@LEVELS
def test_a_discrete_network_can_be_recomputed_too(level: MemoryLevel) -> None:
    graph = nasir.network("darts_v2", channels=4, layers=3, auxiliary=True)
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    found: list[list[Tensor]] = []
    for memory in ("none", level):
        module = lowering.to_torch(graph, memory=memory).double()
        logits, auxiliary = module(image)
        (logits.square().sum() + auxiliary.square().sum()).backward()
        found.append([p.grad for p in module.parameters() if p.grad is not None])
        found[-1] += list(module.buffers())
    check_close(found[1], found[0])


@pytest.mark.parametrize("memory", MEMORY_LEVELS)
def test_a_call_with_other_weights_is_that_of_a_module_that_has_them(memory: MemoryLevel) -> None:
    one = lowering.to_torch(NASBENCH201, seed=1, memory=memory).double()
    other = lowering.to_torch(NASBENCH201, seed=2).double()
    assert one.keys == tuple(key for key, _ in other.named_parameters())
    inputs, mixture = inputs_of(NASBENCH201), mixture_of(NASBENCH201)
    before = copy.deepcopy(one.state_dict())
    weights = list(other.parameters())
    for training in (True, False):
        one.train(training)
        one.load_state_dict(before)
        reference = lowering.to_torch(NASBENCH201, seed=2).double().train(training)
        expected = reference(*inputs, mixture)
        check_close([one.call_apart(weights, *inputs, mixture)], [expected])
        check_close(list(one.state_dict().values()), list(before.values()), tolerance=0)
        check_close([one.call(weights, *inputs, mixture)], [expected])
        check_close(list(one.buffers()), list(reference.buffers()))


@pytest.mark.parametrize("library", [False, True])
def test_flat_weights_are_the_modules_own(library: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (lowering.to_torch(DARTS, seed=seed).double() for seed in (1, 2))
    leaves = one.flatten_parameters()
    assert [id(leaf) for leaf in one.flatten_parameters()] == [id(leaf) for leaf in leaves]
    if kernels.available():
        assert len(leaves) < len(one.keys) / 4
    if library:
        monkeypatch.setattr(kernels, "available", lambda: False)
    one.load_state_dict(other.state_dict())
    inputs, mixture = inputs_of(DARTS), mixture_of(DARTS)
    check_same(outcome(one, inputs, mixture), outcome(other, inputs, mixture))
    copied = copy.deepcopy(one)
    assert len(copied.leaves) == len(one.keys)
    check_same(outcome(copied, inputs, mixture), outcome(other, inputs, mixture))
    one.eval()
    with torch.no_grad():
        for leaf in leaves:
            leaf.zero_()
    assert not any(value.any() for value in one.parameters())
    moved = [torch.ones_like(leaf) for leaf in leaves]
    with_ones = one.call(moved, *inputs, mixture)
    with torch.no_grad():
        for value in one.parameters():
            value.fill_(1.0)
    check_close([with_ones], [one(*inputs, mixture)])


def test_sampled_calls_reach_flat_weights() -> None:
    found: list[Outcome] = []
    for flat in (False, True):
        module = lowering.to_torch(DARTS).double()
        if flat:
            module.flatten_parameters()
        mixture = mixture_of(DARTS)
        live = lowering.Mixture(mixture, dict.fromkeys(mixture, (3, 5)))
        found.append(outcome(module, inputs_of(DARTS), live))
    check_same(*found)


def test_flat_weights_stay_the_modules_own() -> None:
    module = lowering.to_torch(DARTS).double()
    leaves = module.flatten_parameters()
    inputs, mixture = inputs_of(DARTS), mixture_of(DARTS)
    twin = module.with_bodies((), lambda function: function)
    assert {id(leaf) for leaf in twin.flatten_parameters()} == {id(leaf) for leaf in leaves}
    twin.float().double()
    before = outcome(module, inputs, mixture)
    module(*inputs, mixture).square().sum().backward()
    module.zero_grad()
    assert all(leaf.grad is None for leaf in leaves)
    state = {key: torch.ones_like(value) for key, value in module.state_dict().items()}
    module.load_state_dict(state, assign=True)
    if kernels.available():
        with fails_with("E505", "flatten_parameters"):
            module(*inputs, mixture)
    module.flatten_parameters()
    other = lowering.to_torch(DARTS).double()
    other.load_state_dict(state)
    after = outcome(module, inputs, mixture)
    check_same(after, outcome(other, inputs, mixture))
    assert not torch.allclose(after.outputs[0], before.outputs[0])
    module.requires_grad_(False)
    assert not module(*inputs, {key: row.detach() for key, row in mixture.items()}).requires_grad

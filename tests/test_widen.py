"""Weights for a wider supernet: which channels are kept, which are copies, of what."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import lowering
import nasir
from nasir import Graph
from nasir.passes import expand
from tests.gate import gated
from tests.refusals import fails_with

MOBILE = str(Path(__file__).resolve().parent.parent / "spaces" / "examples" / "mobile.yaml")
SPACES = gated(
    ["darts", "drnas", "nasbench201", "nasbench1shot1_1", "s1", MOBILE],
    ("drnas", "nasbench201", "nasbench1shot1_1"),
)

State = dict[str, Tensor]


def named(space: str) -> str:
    return Path(space).stem


def small(space: str, parts: int, channels: int = 16) -> Graph:
    layers = 1 if space == "nasbench201" else 3
    graph = nasir.supernet(space, channels=channels, layers=layers, resolution=16)
    return nasir.partial_channels(graph, parts)


def weights(graph: Graph, seed: int = 0) -> State:
    """Random weights and statistics, no two channels alike."""
    generator = torch.Generator().manual_seed(seed)
    refs = expand(graph).params
    return {ref.key: torch.rand(ref.shape, generator=generator) for ref in refs}


def widened(space: str = "drnas", seed: int = 0) -> tuple[State, State]:
    """The weights of a supernet at K = 4, and what becomes of them at K = 2."""
    narrow = weights(small(space, 4))
    return narrow, lowering.widen(narrow, small(space, 2), seed).state


def origins(narrow: Tensor, wide: Tensor) -> list[int]:
    """For each new entry of the first axis, which of the old ones it equals."""
    new = list(wide[len(narrow) :])
    return [next(i for i, old in enumerate(narrow) if torch.equal(old, row)) for row in new]


@pytest.mark.parametrize("space", SPACES, ids=named)
def test_old_channels_come_first(space: str) -> None:
    narrow, state = widened(space)
    grown = [key for key, value in state.items() if value.shape != narrow[key].shape]
    assert grown
    for key, value in narrow.items():
        assert torch.equal(state[key][tuple(slice(size) for size in value.shape)], value), key


@pytest.mark.parametrize("space", SPACES, ids=named)
def test_new_channels_are_copies_of_old_ones(space: str) -> None:
    narrow, state = widened(space)
    for key, old in narrow.items():
        new = state[key]
        if new.dim() > 1:
            new = new[:, : old.shape[1]]
        assert len(origins(old, new)) == len(new) - len(old), key
    for key, old in narrow.items():
        if old.dim() > 1:
            new = state[key][: old.shape[0]]
            found = origins(old.transpose(0, 1), new.transpose(0, 1))
            assert len(found) == new.shape[1] - old.shape[1], key


@pytest.mark.parametrize("space", SPACES, ids=named)
def test_what_does_not_grow_is_a_copy_of_its_own(space: str) -> None:
    narrow, state = widened(space)
    same = [key for key, value in state.items() if value.shape == narrow[key].shape]
    assert "stem/conv_bn/conv.weight" in same or "stem/conv.weight" in same
    for key in same:
        assert torch.equal(state[key], narrow[key])
        assert state[key].data_ptr() != narrow[key].data_ptr()


def test_a_pointwise_convolution_follows_the_depthwise_one_before_it() -> None:
    narrow, state = widened()
    for number in "12":
        depthwise, pointwise, norm = (
            f"c00/n2.e0/sep_conv_3x3/{part}{number}" for part in ("dw", "pw", "bn")
        )
        of_depthwise = origins(narrow[f"{depthwise}.weight"], state[f"{depthwise}.weight"])
        weight, wide = narrow[f"{pointwise}.weight"], state[f"{pointwise}.weight"]
        rows = origins(weight, wide[:, : weight.shape[1]])
        columns = origins(weight.transpose(0, 1), wide[: len(weight)].transpose(0, 1))
        assert columns == of_depthwise
        assert torch.equal(wide[len(weight) :], wide[rows])
        for statistic in ("running_mean", "running_var"):
            key = f"{norm}.{statistic}"
            assert origins(narrow[key], state[key]) == rows


def test_a_full_convolution_draws_inputs_and_outputs_and_its_norm_follows_the_outputs() -> None:
    narrow, state = widened("nasbench201")
    drawn: list[list[int]] = []
    for key in [key for key in state if key.endswith("nor_conv_3x3/conv.weight")]:
        weight, wide = narrow[key], state[key]
        rows = origins(weight, wide[:, : weight.shape[1]])
        columns = origins(weight.transpose(0, 1), wide[: len(weight)].transpose(0, 1))
        mean = key.replace("conv.weight", "bn.running_mean")
        assert origins(narrow[mean], state[mean]) == rows
        drawn += [rows, columns]
    assert len({tuple(row) for row in drawn}) > len(drawn) // 2


def test_the_norm_of_a_factorized_reduce_goes_by_both_draws_as_they_are() -> None:
    narrow, state = widened()
    under = "c01/n2.e0/skip_connect"
    drawn: list[int] = []
    for number in "12":
        key = f"{under}/conv{number}.weight"
        drawn += origins(narrow[key], state[key][:, : narrow[key].shape[1]])
    mean = f"{under}/bn.running_mean"
    assert max(drawn) < len(narrow[mean]) // 2
    assert origins(narrow[mean], state[mean]) == drawn


def test_a_convolution_with_a_bias_draws_it_with_its_weight() -> None:
    narrow, state = widened(MOBILE)
    under = "c00/n2.e0/squeeze_excite/widen"
    weight = narrow[f"{under}.weight"]
    rows = origins(weight, state[f"{under}.weight"][:, : weight.shape[1]])
    assert origins(narrow[f"{under}.bias"], state[f"{under}.bias"]) == rows


@pytest.mark.parametrize("space", SPACES, ids=named)
def test_momentum_is_widened_as_its_weight(space: str) -> None:
    narrow = weights(small(space, 4))
    found = lowering.widen(narrow, small(space, 2), 0, momentum=narrow)
    assert list(found.momentum) == list(narrow)
    for key, value in found.momentum.items():
        assert torch.equal(value, found.state[key])


def test_the_momentum_of_an_optimiser_can_be_handed_on() -> None:
    graph = small("nasbench201", 4)
    module = lowering.to_torch(graph)
    optimiser = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    mixture = {c.name: torch.ones(len(c.options)) for c in graph.choices}
    module(torch.randn(2, 3, 16, 16), mixture).square().sum().backward()
    optimiser.step()
    buffers = {
        key: optimiser.state[parameter]["momentum_buffer"]
        for key, parameter in module.named_parameters()
        if "momentum_buffer" in optimiser.state[parameter]
    }
    target = small("nasbench201", 2)
    wide = lowering.to_torch(target)
    found = lowering.widen(module.state_dict(), target, 0, momentum=buffers)
    wide.load_state_dict(found.state)
    shapes = {key: tuple(value.shape) for key, value in found.momentum.items()}
    assert shapes == {key: tuple(p.shape) for key, p in wide.named_parameters() if key in buffers}


def test_the_seed_and_the_keys_alone_decide() -> None:
    narrow = weights(small("darts", 4))
    one = lowering.widen(narrow, small("darts", 2), 3).state
    backwards = {key: narrow[key] for key in reversed(narrow)}
    for key, value in lowering.widen(backwards, small("darts", 2), 3).state.items():
        assert torch.equal(value, one[key])
    other = lowering.widen(narrow, small("darts", 2), 4).state
    assert any(not torch.equal(value, one[key]) for key, value in other.items())


def test_a_whole_network_grows_too() -> None:
    narrow = weights(nasir.network("darts_v2", channels=4, layers=3))
    graph = nasir.network("darts_v2", channels=8, layers=3)
    module = lowering.to_torch(graph)
    module.load_state_dict(lowering.widen(narrow, graph, 0).state)
    assert module(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def refused(narrow: State, graph: Graph, momentum: State | None = None) -> str:
    with fails_with("E503") as caught:
        lowering.widen(narrow, graph, 0, momentum)
    return caught.value.message


def test_a_narrower_target_is_refused() -> None:
    message = refused(weights(small("nasbench201", 2)), small("nasbench201", 4))
    assert message == (
        "'c00/n1.e0/nor_conv_1x1/conv.weight' has shape [8, 8, 1, 1], "
        "which cannot grow to [4, 4, 1, 1]"
    )


def test_another_kernel_is_refused() -> None:
    narrow = weights(small("nasbench201", 4))
    key = "c00/n1.e0/nor_conv_3x3/conv.weight"
    narrow[key] = narrow[key][..., :1, :1]
    assert "which cannot grow to [8, 8, 3, 3]" in refused(narrow, small("nasbench201", 2))


def test_weights_of_recurrent_cells_are_refused() -> None:
    narrow = weights(nasir.supernet("darts_rnn", vocabulary=9, hidden=4))
    graph = nasir.supernet("darts_rnn", vocabulary=9, hidden=6)
    assert "cannot grow" in refused(narrow, graph)


def test_a_missing_an_unexpected_and_a_misshapen_weight_are_refused() -> None:
    narrow, graph = weights(small("nasbench201", 4)), small("nasbench201", 2)
    less = {key: value for key, value in narrow.items() if key != "stem/bn.weight"}
    assert "'stem/bn.weight' is missing" in refused(less, graph)
    assert "'x.weight' is unexpected" in refused(narrow | {"x.weight": torch.ones(1)}, graph)
    assert "'x.weight' is unexpected" in refused(narrow, graph, {"x.weight": torch.ones(1)})
    message = refused(narrow, graph, {"stem/bn.weight": torch.ones(3)})
    assert message == "the momentum of 'stem/bn.weight' has shape [3], its weight [16]"

"""Mixtures of which the host knows what is live: nothing else runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import lowering
import nasir
from nasir.passes import dead_code
from tests.gate import gated

IMAGES = nasir.supernet("darts", channels=2, layers=3, resolution=8)
WORDS = nasir.supernet("darts_rnn", vocabulary=7, hidden=3)
GRAPHS = {"images": IMAGES, "words": WORDS}


class Calls(TorchDispatchMode):
    """Counts the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.names[str(func.overloadpacket)] += 1
        return func(*args, **(kwargs or {}))


def one_hot(graph: nasir.Graph, live: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Weights that are 1 for the live options of these choices, and learned."""
    weights: dict[str, Tensor] = {}
    for choice in graph.choices:
        row = torch.zeros(len(choice.options), dtype=torch.float64)
        row[list(live.get(choice.name, range(len(row))))] = 1
        weights[choice.name] = row.requires_grad_()
    return weights


def draw(graph: nasir.Graph, seed: int) -> dict[str, tuple[int, ...]]:
    """One live option of each choice."""
    random = Random(seed)
    return {c.name: (random.randrange(len(c.options)),) for c in graph.choices}


def data(graph: nasir.Graph) -> tuple[Tensor, ...]:
    torch.manual_seed(5)
    if "tokens" in graph.types:
        return torch.randint(0, 7, (4, 3)), torch.randn(3, 3, dtype=torch.float64)
    return (torch.randn(3, 3, 8, 8, dtype=torch.float64),)


def total(results: Tensor | tuple[Tensor, ...]) -> Tensor:
    results = results if isinstance(results, tuple) else (results,)
    return sum((result.square().sum() for result in results), start=torch.zeros(()))


@pytest.mark.parametrize(
    ("name", "optimise", "seed"),
    gated(
        product(GRAPHS, (True, False), range(3)),
        {("images", True, 0), ("images", False, 1), ("words", True, 2)},
    ),
)
def test_live_branches_alone_give_what_the_whole_supernet_gives(
    name: str, optimise: bool, seed: int
) -> None:
    graph = GRAPHS[name]
    live = draw(graph, seed)
    weights = one_hot(graph, live)
    sampled = lowering.to_torch(graph, optimise=optimise).double()
    whole = lowering.to_torch(graph, optimise=False).double()
    torch.manual_seed(1)
    found = total(sampled(*data(graph), lowering.Mixture(weights, live)))
    torch.manual_seed(1)
    expected = total(whole(*data(graph), weights))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    rows = [weights[name] for name in live]
    ours = torch.autograd.grad(found, [*sampled.parameters(), *rows], materialize_grads=True)
    theirs = torch.autograd.grad(expected, [*whole.parameters(), *rows])
    for one, other in zip(ours[: -len(rows)], theirs[: -len(rows)], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    for name, one, other in zip(live, ours[-len(rows) :], theirs[-len(rows) :], strict=True):
        torch.testing.assert_close(one, other * weights[name].detach(), rtol=1e-9, atol=1e-12)
    sampled.eval()
    whole.eval()
    for module in (sampled, whole):
        module.load_state_dict(sampled.state_dict())
    found = sampled(*data(graph), lowering.Mixture(weights, live))
    torch.testing.assert_close(found, whole(*data(graph), weights), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimise", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_no_operator_of_a_dead_option_runs_and_no_weight_is_read_on_the_host(
    optimise: bool, training: bool
) -> None:
    live = draw(IMAGES, seed=4)
    module = lowering.to_torch(IMAGES, optimise=optimise).double().train(training)
    resolved = dead_code(nasir.resolve(IMAGES, live))
    alone = lowering.to_torch(resolved, optimise=optimise).double().train(training)
    weights = one_hot(IMAGES, live)
    with Calls() as calls:
        module(*data(IMAGES), lowering.Mixture(weights, live))
    with Calls() as expected:
        alone(*data(IMAGES))
    for name in ("convolution", "native_batch_norm", "max_pool2d_with_indices", "relu", "cat"):
        assert calls.names[f"aten.{name}"] == expected.names[f"aten.{name}"], name
    assert calls.names["aten.convolution"]
    assert "aten._local_scalar_dense" not in calls.names


def test_statistics_of_live_branches_alone_follow_the_batch() -> None:
    live = {choice.name: (4,) for choice in IMAGES.choices}
    module = lowering.to_torch(IMAGES).double()
    before = {key: value.clone() for key, value in module.named_buffers()}
    module(*data(IMAGES), lowering.Mixture(one_hot(IMAGES, live), live))
    for key, value in module.named_buffers():
        dead = ".e" in key and f"/{IMAGES.choices[0].options[4]}/" not in key
        assert torch.equal(value, before[key]) == dead, key


@pytest.mark.parametrize(
    ("live", "code"), [({"normal/n9.e9": (0,)}, "E401"), ({"normal/n2.e0": (8,)}, "E202")]
)
def test_what_is_live_must_be_an_option_of_a_choice(
    live: Mapping[str, Sequence[int]], code: str
) -> None:
    module = lowering.to_torch(IMAGES).double()
    with pytest.raises(nasir.NasirError) as caught:
        module(*data(IMAGES), lowering.Mixture(one_hot(IMAGES, {}), live))
    assert caught.value.code == code

"""Supernets with fewer options."""

from itertools import product

import pytest
import torch

import lowering
import nasir
from tests.gate import gated
from tests.refusals import fails_with
from tests.small_networks import VARIANTS, example, first_of, mixture, supernet


@pytest.mark.parametrize(
    ("space", "optimise"),
    gated(
        product(("darts", "nasbench201", "nasbench1shot1_1", "darts_rnn"), (True, False)),
        {("darts", True), ("nasbench201", False), ("nasbench1shot1_1", True)},
    ),
)
def test_fewer_options_are_weights_of_zero(space: str, optimise: bool) -> None:
    graph = supernet(space)
    ops = [c for c in graph.choices if c.kind.startswith("op")]
    kept = {choice.name: (0, len(choice.options) - 1) for choice in ops[::2]}
    part = nasir.restrict(graph, kept)
    assert part.choices == graph.choices
    weights = mixture(graph)
    zeroed = {name: row.clone() for name, row in weights.items()}
    for name, options in kept.items():
        others = [o for o in range(len(zeroed[name])) if o not in options]
        zeroed[name][others] = 0.0
    whole = lowering.to_torch(graph, optimise=False).double()
    fewer = lowering.to_torch(part, optimise=optimise).double()
    if space == "darts_rnn":  # its dropout draws anew at each call
        whole.eval(), fewer.eval()  # pyright: ignore[reportUnusedExpression]
    expected = first_of(whole(*example(graph), zeroed))
    actual = first_of(fewer(*example(graph), weights))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_restricting_goes_with_partial_channels_and_edge_weights(variant: str) -> None:
    graph, change = supernet(), VARIANTS[variant]
    kept = {"normal/n3.e1": (3, 4)}
    assert nasir.restrict(change(graph), kept) == change(nasir.restrict(graph, kept))


@pytest.mark.parametrize(
    ("kept", "code"),
    [
        ({"normal/n9": (0,)}, "E401"),
        ({"normal/n2.e0": (8,)}, "E202"),
        ({"normal/n2.e0": ()}, "E211"),
    ],
)
def test_what_cannot_be_kept_is_an_error(kept: dict[str, tuple[int, ...]], code: str) -> None:
    with fails_with(code):
        nasir.restrict(supernet(), kept)


def test_an_output_can_lose_states() -> None:
    graph = supernet("nasbench1shot1_1")
    part = nasir.restrict(graph, {"cell/out": (0, 3)})
    weights = mixture(graph)
    zeroed = weights | {"cell/out": weights["cell/out"] * torch.tensor([1.0, 0, 0, 1, 0])}
    expected = lowering.to_torch(graph, optimise=False).double()(*example(graph), zeroed)
    for optimise in (True, False):
        actual = lowering.to_torch(part, optimise=optimise).double()(*example(graph), weights)
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)

"""Supernets with fewer options, and paths that are dropped in training."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import lowering
import nasir
from nasir import Graph, NasirError


def supernet(space: str = "darts") -> Graph:
    if space == "darts_rnn":
        return nasir.supernet(space, vocabulary=12, hidden=6)
    layers = 1 if space == "nasbench201" else 3
    return nasir.supernet(space, channels=4, layers=layers, resolution=8, classes=3)


def example(graph: Graph) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    if dict(graph.inputs).get("tokens"):
        tokens = torch.randint(12, (4, 3), generator=generator)
        return tokens, torch.rand(3, 6, generator=generator, dtype=torch.float64)
    return (torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64),)


def mixture(graph: Graph) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        choice.name: torch.rand(len(choice.options), generator=generator, dtype=torch.float64) + 0.1
        for choice in graph.choices
    }


def first_of(value: Any) -> Tensor:
    return value[0] if isinstance(value, tuple) else value


VARIANTS: dict[str, Callable[[Graph], Graph]] = {
    "plain": lambda graph: graph,
    "partial": lambda graph: nasir.partial_channels(graph, 2),
    "weighed": lambda graph: nasir.edge_weights(graph, "darts"),
}


@pytest.mark.parametrize("space", ["darts", "nasbench201", "nasbench1shot1_1", "darts_rnn"])
@pytest.mark.parametrize("optimise", [True, False])
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


def test_what_is_left_out_is_dead_code() -> None:
    graph = supernet()
    kept = {choice.name: (3,) for choice in graph.choices}
    part, _ = nasir.run_passes(nasir.restrict(graph, kept), (nasir.PASSES["dead-code"],))
    assert not [node for node in part.nodes if "conv_3x3" in node.name and node.cell]


@pytest.mark.parametrize(
    ("kept", "code"),
    [
        ({"normal/n9": (0,)}, "E401"),
        ({"normal/n2.e0": (8,)}, "E205"),
        ({"normal/n2.e0": ()}, "E211"),
    ],
)
def test_what_cannot_be_kept_is_an_error(kept: dict[str, tuple[int, ...]], code: str) -> None:
    with pytest.raises(NasirError) as caught:
        nasir.restrict(supernet(), kept)
    assert caught.value.code == code


NETWORKS: dict[str, Callable[[], Graph]] = {
    "darts": supernet,
    "nasbench201": lambda: supernet("nasbench201"),
    "darts_v2": lambda: nasir.network("darts_v2", channels=4, layers=3, resolution=8, classes=3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_paths_are_dropped_alike_whatever_passes_ran_and_never_at_zero(name: str) -> None:
    graph = NETWORKS[name]()
    inputs = (*example(graph), *([mixture(graph)] if graph.choices else []))
    plain = lowering.to_torch(graph, optimise=False).double()
    ways = [
        lowering.to_torch(nasir.drop_path(graph), optimise=optimise).double()
        for optimise in (True, False)
    ]
    for way in ways:
        torch.testing.assert_close(way(*inputs), plain(*inputs), rtol=1e-9, atol=1e-9)
    found: list[Tensor] = []
    for way in ways:
        way.drop_path = 0.5
        torch.default_generator.manual_seed(3)
        found.append(way(*inputs))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found[0], plain(*inputs))


def test_evaluation_drops_nothing_and_the_state_is_the_same() -> None:
    graph = NETWORKS["darts_v2"]()
    plain = lowering.to_torch(graph).double().eval()
    dropping = lowering.to_torch(nasir.drop_path(graph)).double().eval()
    dropping.drop_path = 0.9
    assert torch.equal(plain(*example(graph)), dropping(*example(graph)))
    assert list(plain.state_dict()) == list(dropping.state_dict())


def test_each_example_is_dropped_by_itself_and_the_mean_stays() -> None:
    from lowering.to_torch.choice import drop_path

    torch.default_generator.manual_seed(0)
    x = torch.ones(20_000, 2, 1, 1)
    found = drop_path(x, torch.tensor([0.25]))[:, :, 0, 0]
    assert torch.equal(found[:, 0], found[:, 1])
    assert {round(float(value), 4) for value in found[:, 0]} == {0.0, 1.3333}
    assert abs(float(found.mean()) - 1) < 0.02


def test_a_supernet_drops_every_edge_and_a_network_all_but_identities() -> None:
    drops = [node for node in nasir.drop_path(supernet()).nodes if node.op.name == "drop_path"]
    assert len(drops) == 3 * 14
    space = nasir.load_space("darts")
    hot = {c.name: [float(op == "skip_connect") for op in c.options] for c in supernet().choices}
    skips = nasir.network(nasir.derive(space, hot), channels=4, layers=3, resolution=8)
    dropped = [n.inputs[0] for n in nasir.drop_path(skips).nodes if n.op.name == "drop_path"]
    edges = [f"n{node}.e{source}" for node in range(2, 6) for source in (0, 1)]
    halving = [f"{cell}/{edge}/skip_connect" for cell in ("c01", "c02") for edge in edges]
    assert sorted(dropped) == halving  # all others hand their input on


def test_a_network_without_paths_is_an_error() -> None:
    with pytest.raises(NasirError, match="no path") as caught:
        nasir.drop_path(supernet("nasbench1shot1_1"))
    assert caught.value.code == "E505"

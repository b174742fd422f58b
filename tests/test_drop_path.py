"""Paths that are dropped in training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lowering
import nasir
from lowering.onnx.export import compare
from nasir import Builder, Graph, ImageType
from nasir.passes import DISCRETE, MEMORY_LEVELS
from tests.command_line import ROOT
from tests.gate import gated
from tests.refusals import fails_with
from tests.small_networks import NETWORKS, VARIANTS, example, mixture, supernet


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


def test_each_example_is_dropped_by_itself_and_the_mean_stays() -> None:
    from lowering.torch.layers import drop_path

    torch.default_generator.manual_seed(0)
    x = torch.ones(20_000, 2, 1, 1)
    found = drop_path(x, torch.tensor([0.25]), torch.rand(20_000, 1))[:, :, 0, 0]
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
    with fails_with("E505", "no path"):
        nasir.drop_path(supernet("nasbench1shot1_1"))


def dropped(graph: Graph) -> list[str]:
    """What is dropped in a graph of `nasir.drop_path`."""
    return [node.inputs[0] for node in graph if node.op.name == "drop_path"]


@pytest.mark.parametrize("variant", gated(["partial", "weighed"], ["weighed"]))
def test_dropping_goes_with_partial_channels_and_edge_weights_in_any_order(variant: str) -> None:
    graph, change = supernet(), VARIANTS[variant]
    first, last = change(nasir.drop_path(graph)), nasir.drop_path(change(graph))
    assert first.inputs == last.inputs
    assert sorted(map(str, first.nodes)) == sorted(map(str, last.nodes))
    ways = [lowering.to_torch(each).double() for each in (first, last)]
    found: list[Tensor] = []
    for way in ways:
        way.drop_path = 0.4
        torch.default_generator.manual_seed(3)
        found.append(way(*example(graph), mixture(first)))
    assert torch.equal(*found)


def test_the_published_network_drops_all_ops_but_its_identities() -> None:
    genotype = nasir.load_genotype("darts_v2")
    graph = nasir.network(genotype, channels=4, layers=3, resolution=8)
    found = dropped(nasir.drop_path(graph))
    normal = [f"n{node}.e{edge.source}/{edge.op}" for node, edge in edges(genotype, "normal")]
    reduce = [f"n{node}.e{edge.source}/{edge.op}" for node, edge in edges(genotype, "reduce")]
    kept = {name for name in normal if name.endswith("skip_connect")}
    kept |= {name for name in reduce if name.endswith("skip_connect") and ".e0" not in name}
    assert len(kept) == 5
    expected = {f"c00/{name}" for name in normal if name not in kept}
    for cell in ("c01", "c02"):
        expected |= {f"{cell}/{name}" for name in reduce if name not in kept}
    assert set(found) == expected


def edges(genotype: nasir.Genotype, kind: str) -> list[tuple[int, nasir.Edge]]:
    """The edges of a kind of cell, each with its node."""
    nodes = enumerate(genotype.cell(kind).nodes, start=2)
    return [(node, edge) for node, edges in nodes for edge in edges]


def test_a_resolved_supernet_drops_behind_the_batch_norm_of_its_pools() -> None:
    graph = nasir.resolve(supernet(), nasir.load_genotype("darts_v2"))
    found = dropped(nasir.drop_path(graph))
    assert "c01/n2.e0/max_pool_3x3/norm" in found
    assert not [name for name in found if name.endswith(("max_pool_3x3", "/none"))]
    network = NETWORKS["darts_v2"]()
    assert len(found) == len(dropped(nasir.drop_path(network)))


def test_primitives_are_dropped_as_their_macros_are() -> None:
    graph = NETWORKS["darts_v2"]()
    primitives, _ = nasir.run_passes(graph, (nasir.PASSES["expand"],))
    one = lowering.to_torch(nasir.drop_path(graph), optimise=False).double()
    other = lowering.to_torch(nasir.drop_path(primitives), optimise=False).double()
    found: list[Tensor] = []
    for way in (one, other):
        way.drop_path = 0.4
        torch.default_generator.manual_seed(3)
        found.append(way(*example(graph)))
    assert torch.equal(*found)


LOOSE = nasir.Genotype(
    "darts",
    tuple(
        nasir.CellGenotype(
            kind,
            2,
            (
                (nasir.Edge("sep_conv_3x3", 0), nasir.Edge("dil_conv_3x3", 1)),
                (nasir.Edge("sep_conv_3x3", 1), nasir.Edge("none", 2)),
                (nasir.Edge("avg_pool_3x3", 3), nasir.Edge("sep_conv_5x5", 0)),
            ),
            (4,),
        )
        for kind in ("normal", "reduce")
    ),
)
"""Node 2 is read through a zero alone, and node 3 by a later node alone."""


@pytest.mark.parametrize("of", gated(["nasnet", "AmoebaNet", "darts_v2", LOOSE], [LOOSE]), ids=str)
def test_every_way_to_train_drops_the_same_paths_and_moves_the_same_statistics(of: Any) -> None:
    graph = nasir.drop_path(nasir.network(of, channels=4, layers=3, resolution=8, auxiliary=False))
    found: list[list[Tensor]] = []
    for optimise in (False, True):
        for memory in MEMORY_LEVELS:
            module = lowering.to_torch(graph, optimise=optimise, memory=memory).double()
            module.drop_path = 0.4
            torch.default_generator.manual_seed(3)
            loss = module(*example(graph)).square().sum()
            learned = list(module.parameters())
            gradients = torch.autograd.grad(loss, learned, materialize_grads=True)
            found.append([loss, *gradients, *module.buffers(), torch.rand(1)])
    for other in found[1:]:
        for one, each in zip(found[0], other, strict=True):
            torch.testing.assert_close(each, one, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("of", ["nasnet", LOOSE], ids=str)
def test_the_python_file_drops_the_paths_that_the_network_drops(of: Any, tmp_path: Path) -> None:
    graph = nasir.drop_path(nasir.network(of, channels=4, layers=3, resolution=32, auxiliary=True))
    module = lowering.to_torch(graph)
    written, _ = lowering.to_python(graph, module, tmp_path / "net.py")
    scope: dict[str, Any] = {"__name__": "net", "__file__": str(written)}
    exec(compile(written.read_text(), str(written), "exec"), scope)
    exported = scope["load"]().train()
    image = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    results: list[tuple[Tensor, Tensor]] = []
    for each in (module, exported):
        each.drop_path = 0.4
        torch.default_generator.manual_seed(3)
        results.append(each(image))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_the_probability_changes_between_calls_of_one_program() -> None:
    graph = NETWORKS["darts_v2"]()
    module = lowering.to_torch(nasir.drop_path(graph)).double()
    program = module.programs[True]
    still = module(*example(graph))
    module.drop_path = 0.5
    assert not torch.allclose(module(*example(graph)), still)
    weights = [weight.detach() for weight in module.parameters()]
    assert not torch.allclose(module.call(weights, *example(graph)), still)
    module.drop_path = 0.0
    torch.testing.assert_close(module.call(weights, *example(graph)), still)
    assert module.programs[True] is program


@pytest.mark.parametrize("live", [[1], pytest.param([3, 4], marks=pytest.mark.slow)])
def test_what_is_live_changes_no_draw(live: list[int]) -> None:
    graph = supernet()
    module = lowering.to_torch(nasir.drop_path(graph)).double()
    plain = lowering.to_torch(graph).double()
    sampled = lowering.Mixture(mixture(graph), {c.name: live for c in graph.choices})
    assert torch.equal(module(*example(graph), sampled), plain(*example(graph), sampled))
    after: list[Tensor] = []
    for options in ((), live):
        torch.default_generator.manual_seed(3)
        chosen = {c.name: options for c in graph.choices}
        module(*example(graph), lowering.Mixture(mixture(graph), chosen))
        after.append(torch.rand(3))
    assert torch.equal(*after)


@pytest.mark.parametrize("probability", [-0.1, 1.0, float("nan")])
def test_a_probability_that_leaves_nothing_is_an_error(probability: float) -> None:
    module = lowering.to_torch(nasir.drop_path(NETWORKS["darts_v2"]()))
    with fails_with("E107", "less than 1"):
        module.drop_path = probability


def test_a_network_that_drops_no_paths_takes_no_probability() -> None:
    module = lowering.to_torch(NETWORKS["darts_v2"]())
    module.drop_path = 0.0
    with fails_with("E505", "drops none"):
        module.drop_path = 0.2


def _sampled(space: str, resolution: int) -> Graph:
    genotype = nasir.sample(ROOT / "spaces" / "examples" / f"{space}.yaml", 4)
    return nasir.network(genotype, channels=4, resolution=resolution)


EXPORTED: dict[str, Callable[[], Graph]] = {
    "darts_v2": NETWORKS["darts_v2"],
    "named stages": lambda: _sampled("features", 32),
    "signals": lambda: _sampled("signals", 131),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_an_export_has_no_input_for_the_probability(name: str, tmp_path: Path) -> None:
    graph = nasir.drop_path(EXPORTED[name]())
    module = lowering.to_torch(graph).eval()
    path = lowering.to_onnx(graph, module, tmp_path / "net.onnx")
    assert compare(graph, module, path).agrees
    written, _ = lowering.to_python(graph, module, tmp_path / "net.py")
    scope: dict[str, Any] = {"__name__": "net", "__file__": str(written)}
    exec(compile(written.read_text(), str(written), "exec"), scope)
    exported = scope["load"]()
    shape = graph.inputs[0][1].shape
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(exported(x), module(x), rtol=1e-4, atol=1e-4)
    still = exported.train()(x)
    torch.testing.assert_close(exported(x), still)
    exported.drop_path = 0.5
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(exported(x), still)


def test_paths_are_dropped_once_and_their_input_is_their_own() -> None:
    with fails_with("E505", "already"):
        nasir.drop_path(nasir.drop_path(supernet()))
    other = Builder(drop_path=ImageType(3, 8, 8))
    taken = other.graph(other("relu", "drop_path"))
    with fails_with("E401", "is taken"):
        nasir.drop_path(taken)


def test_a_value_that_several_ops_share_is_an_error() -> None:
    primitives, _ = nasir.run_passes(NETWORKS["darts_v2"](), DISCRETE)
    with fails_with("E505", "that others read"):
        nasir.drop_path(primitives)

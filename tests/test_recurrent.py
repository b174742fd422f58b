"""Recurrent cells and the language model around them: the published formulas, written out."""

import pytest
import torch
from torch import Tensor

import lowering
import nasir
from lowering.torch.sequence import decode
from nasir import CellGenotype, Edge, Genotype, Graph, print_graph, run_passes
from nasir.passes import DISCRETE
from nasir.space.builders import INIT

FUNCTIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}
NAMES = ("ENAS", "DARTS_V1@darts_rnn", "DARTS_V2@darts_rnn", "penn_random", "penn_pgd")
V, H = 40, 6


def published_step(
    cell: CellGenotype, x: Tensor, h: Tensor, mask_x: Tensor, mask_h: Tensor, w: list[Tensor]
) -> Tensor:
    """One step of the paper's cell."""
    c, g = torch.split(torch.cat([x * mask_x, h * mask_h], 1).mm(w[0]), h.shape[1], 1)
    states = [h + c.sigmoid() * (g.tanh() - h)]
    for i, ((edge,), weight) in enumerate(zip(cell.nodes, w[1:], strict=True), start=1):
        before = states[edge.source]
        c, g = torch.split((before * mask_h).mm(weight), h.shape[1], 1)
        states.append(before + c.sigmoid() * (FUNCTIONS[edge.op](g) - before))
        assert len(states) == i + 1
    return torch.stack([states[i] for i in cell.output], -1).mean(-1)


def make(name: str) -> tuple[Graph, lowering.Network]:
    """The network in float64, with weights large enough for the activations to matter."""
    graph = nasir.network(name, vocabulary=V, hidden=H)
    module = lowering.to_torch(graph).double()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, dtype=torch.float64))
    return graph, module


def inputs(steps: int = 4, batch: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(V, (steps, batch), generator=generator)
    return tokens, torch.randn(batch, H, generator=generator, dtype=torch.float64)


def cell_weights(module: torch.nn.Module, nodes: int) -> list[Tensor]:
    state = module.state_dict()
    return [state[f"cell/n{i}.weight"] for i in range(nodes + 1)]


def largest(x: Tensor, y: Tensor) -> float:
    return float((x - y).detach().abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_a_language_model_computes_the_published_formulas(name: str) -> None:
    _, module = make(name)
    cell = nasir.load_genotype(name).cell("recurrent")
    tokens, hidden = inputs()
    with torch.no_grad():
        actual, last = module.eval()(tokens, hidden)
    weights, table = cell_weights(module, len(cell.nodes)), module.state_dict()["embedding.weight"]
    ones, h, states = torch.ones_like(hidden), hidden, []
    for x in table[tokens]:
        h = published_step(cell, x, h, ones, ones, weights)
        states.append(h)
    logits = torch.stack(states) @ table.T + module.state_dict()["decoder.bias"]
    assert largest(actual, logits.log_softmax(-1)) < 1e-11
    assert largest(last, h) < 1e-11


def test_masks_are_drawn_once_for_all_steps() -> None:
    """One draw for each example and unit; the first state outside the product has no mask."""
    graph, module = make("DARTS_V2@darts_rnn")
    cell = nasir.load_genotype("DARTS_V2@darts_rnn").cell("recurrent")
    shown = [*graph.outputs, "embedding/masked", "cell", "cell/mask_x", "cell/mask_h"]
    graph, _ = run_passes(graph.with_nodes(graph.nodes, shown), DISCRETE)
    network = lowering.to_torch(graph).double()
    network.load_state_dict(module.state_dict())
    tokens, hidden = inputs(7)
    torch.manual_seed(0)
    *_, words, states, mask_x, mask_h = network.train()(tokens, hidden)
    assert mask_x.shape == mask_h.shape == (3, H)
    h = hidden
    for x, state in zip(words, states, strict=True):
        h = published_step(cell, x, h, mask_x, mask_h, cell_weights(module, 8))
        assert largest(state, h) < 1e-11


@pytest.mark.parametrize("rate", [0.25, 0.75])
def test_a_mask_keeps_as_many_as_its_rate_says_and_the_mean(rate: float) -> None:
    from lowering.torch.sequence import draw_mask

    torch.manual_seed(0)
    mask = draw_mask(torch.zeros(5, 400, 500), rate)
    assert mask.shape == (400, 500)
    assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - rate)])
    assert float(mask.mean()) == pytest.approx(1, abs=0.02)


def test_training_also_gives_the_states_where_they_are_asked_for() -> None:
    _, module = make("DARTS_V2@darts_rnn")
    assert len(module.train()(*inputs())) == 2
    graph = nasir.network("DARTS_V2@darts_rnn", vocabulary=V, hidden=H, auxiliary=True)
    module = lowering.to_torch(graph).double()
    _, last, states = module.train()(*inputs())
    assert states.shape == (4, 3, H)
    assert torch.equal(states[-1], last)
    assert len(module.eval()(*inputs())) == 2


def test_the_module_has_the_published_parameters_and_start_values() -> None:
    module = lowering.to_torch(nasir.network("DARTS_V2@darts_rnn"))
    assert sum(weight.numel() for weight in module.parameters()) == 22_960_000
    shapes = [tuple(weight.shape) for weight in module.parameters()]
    assert shapes == [(10_000, 850), (1700, 1700), *[(850, 1700)] * 8, (10_000,)]
    for name, weight in module.named_parameters():
        bound = 0.0 if name == "decoder.bias" else INIT
        assert 0.99 * bound <= float(weight.detach().abs().max()) <= bound


def test_none_is_zeros_and_several_edges_are_added() -> None:
    """Node 2 is the sum of an edge that is none and of one that is not."""
    nodes = ((Edge("tanh", 0),), (Edge("none", 0), Edge("relu", 1)), (Edge("none", 2),))
    genotype = Genotype("mine", (CellGenotype("recurrent", 1, nodes, (2, 3)),))
    alone = ((Edge("tanh", 0),), (Edge("relu", 1),))
    other = Genotype("mine", (CellGenotype("recurrent", 1, alone, (2,)),))
    networks = [
        lowering.to_torch(nasir.network(g, "rnn", vocabulary=V, hidden=H)).double().eval()
        for g in (genotype, other)
    ]
    x, h = torch.zeros(1, 3, dtype=torch.long), inputs()[1]
    assert largest(networks[0](x, h)[1], networks[1](x, h)[1] / 2) < 1e-12


def test_two_scans_of_one_body_have_weights_of_their_own() -> None:
    build = nasir.Builder(x=nasir.SequenceType(H), h=nasir.VectorType(H))
    step = nasir.Builder(x=nasir.VectorType(H), h=nasir.VectorType(H))
    product = step("project", step("add", "x", "h", name="sum"), name="p", out=H)
    body = step.graph(step("tanh", product, name="next"), meta={"cell": "layer"})
    first = build("scan", "x", "h", name="layer1", body=body)
    graph = build.graph(build("scan", first, "h", name="layer2", body=body))
    assert [ref.key for ref in graph.params] == ["layer1/p.weight", "layer2/p.weight"]
    assert len(graph.bodies) == 1
    assert nasir.parse_graph(print_graph(graph)) == graph
    module = lowering.to_torch(graph).eval()
    torch.manual_seed(0)
    x, h = torch.randn(3, 2, H), torch.randn(2, H)
    expected = x
    for weight in module.state_dict().values():
        states = [h]
        for step_x in expected:
            states.append(torch.tanh((step_x + states[-1]) @ weight))
        expected = torch.stack(states[1:])
    assert largest(module(x, h), expected) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_decoder_differentiates_twice_as_the_librarys(dtype: torch.dtype) -> None:
    shapes = [(3, 2, H), (V, H), (V,)]
    given = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    found: list[tuple[Tensor, ...]] = []
    for function in (torch.nn.functional.linear, decode):
        result = function(*given)
        plain = torch.autograd.grad(result.tanh().sum(), given)
        first = torch.autograd.grad(function(*given).tanh().sum(), given, create_graph=True)
        second = torch.autograd.grad(first, given, [each.detach() for each in first])
        found.append((result, *plain, *first, *second))
    torch.testing.assert_close(found[1], found[0])


def test_a_supernet_in_float32_has_the_gradients_of_the_papers_operations() -> None:
    graph = nasir.supernet("darts_rnn", vocabulary=V, hidden=H)
    networks = [lowering.to_torch(graph, seed=0, optimise=o) for o in (False, True)]
    mixture = {c.name: torch.randn(len(c.options)).softmax(0) for c in graph.choices}
    tokens, found = torch.randint(V, (4, 3)), list[tuple[Tensor, ...]]()
    for network in networks:
        leaves = {name: row.clone().requires_grad_() for name, row in mixture.items()}
        torch.manual_seed(0)  # of the masks
        loss = network(tokens, torch.ones(3, H), leaves)[1].square().sum()
        found.append(torch.autograd.grad(loss, tuple(leaves.values())))
    torch.testing.assert_close(found[1], found[0])

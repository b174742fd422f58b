"""Laws of supernets: every way to run one computes what the papers' sequence of operations does."""

from dataclasses import replace
from pathlib import Path
from random import Random

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given

import lowering
import nasir
from nasir import Space
from nasir.passes import DISCRETE, MEMORY_LEVELS, MemoryLevel, dead_code, run_passes
from tests.gate import gated
from tests.strategies import examples
from tests.supernets import (
    FAST,
    NOISY,
    OPS,
    PARTIAL,
    SUPERNETS,
    Outcome,
    check_close,
    check_same,
    each_supernet,
    graph_of,
    inputs_of,
    mixture_of,
    outcome,
    small_spaces,
)

SEEDS = st.integers(0, 2**31)
each_level = pytest.mark.parametrize("memory", MEMORY_LEVELS)


@each_level
@examples(6)
@given(space=small_spaces(), seed=SEEDS, optimise=st.booleans(), flat=st.booleans())
def test_every_level_gives_what_the_plain_lowering_gives(
    space: Space, seed: int, optimise: bool, flat: bool, memory: MemoryLevel
) -> None:
    bare = graph_of(space)
    inputs, mixture = inputs_of(bare, seed), mixture_of(bare, seed)
    graph = nasir.drop_path(bare)
    plain = lowering.to_torch(graph, optimise=False).double()
    module = lowering.to_torch(graph, optimise=optimise, memory=memory)
    if flat:
        module.flatten_parameters()
    module = module.double()
    plain.drop_path = module.drop_path = 0.4
    check_same(outcome(module, inputs, mixture), outcome(plain, inputs, mixture))
    assert list(module.state_dict()) == list(plain.state_dict())
    module.load_state_dict(plain.state_dict())
    plain.load_state_dict(module.state_dict())
    module.eval()
    plain.eval()
    check_close([module(*inputs, mixture)], [plain(*inputs, mixture)])


@each_level
@examples(3)
@given(space=small_spaces(), seed=SEEDS, flat=st.booleans())
def test_second_order_is_that_of_the_plain_lowering(
    space: Space, seed: int, flat: bool, memory: MemoryLevel
) -> None:
    graph = graph_of(space)
    train, valid, mixture = inputs_of(graph, seed), inputs_of(graph, seed + 1), mixture_of(graph)
    logits = list(mixture.values())
    modules = [
        lowering.to_torch(graph, optimise=False).double(),
        lowering.to_torch(graph, memory=memory).double(),
    ]
    if flat:
        modules[1].flatten_parameters()
    found = [
        lowering.second_order(
            module,
            logits,
            lambda run: run(*train, mixture).square().mean(),
            lambda run: run(*valid, mixture).square().mean(),
            lowering.Unrolled(0.01, decay=3e-4),
        )
        for module in modules
    ]
    check_close(found[1], found[0], tolerance=1e-7)  # the difference has lost digits
    check_close(list(modules[1].buffers()), list(modules[0].buffers()))


@examples(6)
@given(space=small_spaces(), seed=SEEDS, optimise=st.booleans())
def test_one_option_of_each_choice_is_the_network_it_becomes(
    space: Space, seed: int, optimise: bool
) -> None:
    graph = graph_of(space)
    random = Random(seed)
    picks = {choice.name: (random.randrange(len(choice.options)),) for choice in graph.choices}
    one_hot = {
        choice.name: torch.eye(len(choice.options), dtype=torch.float64)[picks[choice.name][0]]
        for choice in graph.choices
    }
    whole = lowering.to_torch(graph, optimise=optimise).double()
    before = whole.state_dict()
    part = lowering.to_torch(dead_code(nasir.resolve(graph, picks)), optimise=optimise).double()
    part.load_state_dict({key: before[key] for key in part.state_dict()})
    inputs = inputs_of(graph, seed)
    expected = part(*inputs)
    check_close([whole(*inputs, one_hot)], [expected])
    check_close([whole(*inputs, lowering.Mixture(one_hot, picks))], [expected])


@examples(8)
@given(space=small_spaces(), seed=SEEDS)
def test_what_is_drawn_is_computed_and_moves_its_statistics_whatever_passes_ran(
    space: Space, seed: int
) -> None:
    bare = graph_of(space)
    graph = nasir.drop_path(bare)
    random = Random(seed)
    live = {choice.name: (random.randrange(len(choice.options)),) for choice in graph.choices}
    mixture = mixture_of(graph)
    ways = [lowering.to_torch(graph, optimise=optimise).double() for optimise in (False, True)]
    found: list[Outcome] = []
    for way in ways:
        way.drop_path = 0.4
        found.append(outcome(way, inputs_of(bare, seed), lowering.Mixture(mixture, live)))
    check_same(found[1], found[0])


@examples(10)
@given(space=small_spaces(), seed=SEEDS)
def test_a_genotypes_network_is_the_supernet_resolved(space: Space, seed: int) -> None:
    """Up to the batch norms that the space puts behind ops, and to batch norms with weights."""
    cells = tuple(replace(cell, normalise=()) for cell in space.cells)
    space = replace(space, cells=cells)
    graph = graph_of(space)
    genotype = nasir.sample(space, seed)
    assume(all("none" not in cell.named_ops for cell in genotype.cells))  # zeros still read
    network = nasir.network(genotype, space=space, channels=2, layers=3, classes=3, resolution=8)
    resolved = nasir.resolve(graph, genotype)
    places = {node.name: node.at for node in resolved}
    assert all(places[n.name] == n.at for n in network if n.at and n.at.op in OPS)
    part = lowering.to_torch(run_passes(resolved, DISCRETE)[0], optimise=False).double()
    whole = lowering.to_torch(run_passes(network, DISCRETE)[0], optimise=False).double()
    found = part.state_dict()
    own = {key: weight for key, weight in whole.state_dict().items() if key not in found}
    assert all(weight.ndim < 2 for weight in own.values())  # batch norms' weights, still 1 and 0
    whole.load_state_dict({key: found.get(key, own.get(key)) for key in whole.state_dict()})
    inputs = inputs_of(graph, seed)
    check_close([whole(*inputs)], [part(*inputs)])


@pytest.mark.parametrize("memory", ["none", "states"])
@each_supernet
def test_every_shipped_supernet_gives_what_the_plain_lowering_gives(
    name: str, memory: MemoryLevel
) -> None:
    graph = SUPERNETS[name]()
    inputs, mixture = inputs_of(graph, batch=2), mixture_of(graph)
    plain = lowering.to_torch(graph, optimise=False).double()
    module = lowering.to_torch(graph, memory=memory).double()
    check_same(outcome(module, inputs, mixture), outcome(plain, inputs, mixture))


@pytest.mark.parametrize("name", gated([n for n in SUPERNETS if n not in NOISY], FAST))
def test_a_one_hot_mixture_is_the_resolved_network_with_equal_keys(name: str) -> None:
    graph = SUPERNETS[name]()
    space = {Path(path).stem: path for path in PARTIAL}.get(name.removesuffix(", partial"), name)
    genotype = nasir.sample(nasir.load_space(space), 1)
    picked = nasir.picks(graph, genotype)
    mixture = {
        choice.name: torch.tensor(
            [float(option in picked[choice.name]) for option in range(len(choice.options))],
            dtype=torch.float64,
        )
        for choice in graph.choices
    }
    resolved = nasir.resolve(graph, genotype)
    assert resolved.choices == ()
    whole = lowering.to_torch(graph, optimise=False).double()
    found = [lowering.to_torch(graph).double(), lowering.to_torch(resolved).double()]
    state = whole.state_dict()
    for module in found:
        module.load_state_dict({key: state[key] for key in module.state_dict()})
    inputs = inputs_of(graph, batch=3)
    ways = [(whole, (*inputs, mixture)), (found[0], (*inputs, mixture)), (found[1], inputs)]
    values: list[tuple[torch.Tensor, ...]] = []
    for module, arguments in ways:
        result = module.train(name != "darts_rnn")(*arguments)  # dropout would draw
        values.append(result if isinstance(result, tuple) else (result,))
    check_close(values[1], values[0])
    check_close(values[2], values[0])


@pytest.mark.parametrize("name", SUPERNETS)
def test_a_supernet_is_text_that_is_read_back(name: str) -> None:
    graph = SUPERNETS[name]()
    assert nasir.parse_graph(str(graph)) == graph

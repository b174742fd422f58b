"""Supernets compiled by kinds of cell: what is compiled, how often, and that results stay."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

# How often torch.compile compiled has no public name in torch 2.13.
from torch._dynamo.utils import counters

import lowering
import nasir
from lowering.torch import network
from lowering.torch.compiled import by_cells
from lowering.torch.policies import Policy, PolicyRow, policy
from nasir.passes import MEMORY_LEVELS, MemoryLevel
from tests.supernets import check_close, check_same, inputs_of, mixture_of, outcome

# torch.compile looks at .grad of the values that it is called with.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")

CELLS = nasir.supernet("nasbench201", channels=2, layers=2, resolution=8)
FEW = nasir.supernet("nasbench201", channels=2, layers=1, resolution=8)
WORDS = nasir.supernet("darts_rnn", vocabulary=7, hidden=3)
_torch: Any = torch
EAGER: Callable[[Any], Any] = partial(
    _torch.compile, backend="eager", fullgraph=True, dynamic=False
)


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled are the library's operations: kernels are not."""

    def chosen(device: str) -> Policy:
        del device
        return policy("cuda")

    monkeypatch.setattr(network, "policy", chosen)
    _torch._dynamo.reset()


def compiled() -> int:
    return counters["stats"]["unique_graphs"]


def search_step(module: lowering.Network, graph: nasir.Graph, seed: int) -> None:
    """A weight step on a fresh batch, with fresh weights of the choices."""
    inputs = [x.float() if x.is_floating_point() else x for x in inputs_of(graph, seed)]
    mixture = {name: row.detach().float() for name, row in mixture_of(graph, seed).items()}
    for row in mixture.values():
        row.requires_grad_()
    results = module(*inputs, mixture)
    first = results[0] if isinstance(results, tuple) else results
    first.square().mean().backward()
    with torch.no_grad():
        for weight in module.parameters():
            weight.sub_(weight.grad, alpha=0.01) if weight.grad is not None else weight
    module.zero_grad()


def test_steps_of_a_search_compile_each_kind_of_cell_once() -> None:
    module = by_cells(lowering.to_torch(CELLS), EAGER)
    before = compiled()
    search_step(module, CELLS, 0)
    # three sizes of the cell, and two reductions between them
    assert compiled() - before == 5
    for seed in (1, 2):
        search_step(module, CELLS, seed)
    assert compiled() - before == 5


@pytest.mark.slow
def test_steps_over_words_compile_the_cell_no_more_after_the_first() -> None:
    module = by_cells(lowering.to_torch(WORDS), EAGER)
    search_step(module, WORDS, 0)
    before = compiled()
    for seed in (1, 2):
        search_step(module, WORDS, seed)
    assert compiled() == before


@pytest.mark.slow
@pytest.mark.parametrize("memory", MEMORY_LEVELS)
def test_compiled_cells_compute_what_the_network_computes(memory: MemoryLevel) -> None:
    module = lowering.to_torch(FEW, memory=memory).double()
    twin = by_cells(lowering.to_torch(FEW, memory=memory).double(), EAGER)
    inputs, mixture = inputs_of(FEW), mixture_of(FEW)
    check_same(outcome(twin, inputs, mixture), outcome(module, inputs, mixture))
    found, expected = twin.eval()(*inputs, mixture), module.eval()(*inputs, mixture)
    check_close([found], [expected], tolerance=1e-12)


def test_where_the_policy_says_so_a_supernet_is_not_compiled() -> None:
    module = lowering.to_torch(FEW)
    assert not policy("cpu").compiled.taken
    assert lowering.compile(module) is module


@pytest.mark.slow
def test_a_supernet_is_compiled_by_cells_where_the_policy_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    yes, no = PolicyRow("torch.compile", True, ""), PolicyRow("CUDA graphs", False, "")
    everything = Policy("cpu", no, no, yes, no)
    room = sys.modules["lowering.torch.compiled"]
    monkeypatch.setattr(room, "policy", lambda device: everything)
    inputs, mixture = inputs_of(FEW), mixture_of(FEW)
    module, twin = (lowering.to_torch(FEW).double() for _ in range(2))
    fast = lowering.compile(twin)
    assert fast is not twin
    check_same(outcome(fast, inputs, mixture), outcome(module, inputs, mixture))

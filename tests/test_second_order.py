"""Architecture gradients of first and second order, against the papers' steps written out."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lowering
import nasir
from lowering.kernels import SWITCH
from nasir.passes import MEMORY_LEVELS, MemoryLevel
from tests.gate import gated
from tests.supernets import check_close, inputs_of

Batch = tuple[Tensor, Tensor]
GRAPH = nasir.supernet("nasbench201", channels=2, layers=1, resolution=8)
RATE, MOMENTUM, DECAY = 0.3, 0.9, 3e-4


def logits_of(graph: nasir.Graph, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(len(c.options), dtype=torch.float64, generator=generator).requires_grad_()
        for c in graph.choices
    ]


def mixture_of(graph: nasir.Graph, logits: Sequence[Tensor]) -> Mapping[str, Tensor]:
    return {c.name: row.softmax(0) for c, row in zip(graph.choices, logits, strict=True)}


def batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=generator)
    return image, torch.randint(0, 10, (4,), generator=generator)


def objective(
    graph: nasir.Graph, logits: Sequence[Tensor], data: Batch
) -> Callable[[Callable[..., Any]], Tensor]:
    image, target = data
    return lambda run: F.cross_entropy(run(image, mixture_of(graph, logits)), target)


def published(
    module: lowering.Network,
    logits: list[Tensor],
    train: Batch,
    valid: Batch,
    buffers: Sequence[Tensor],
    clip: float | None = None,
) -> list[Tensor]:
    """As the papers' code does it: a copy of the model, and weights that are moved in place."""
    weights = list(module.parameters())

    def loss(network: lowering.Network, data: Batch) -> Tensor:
        return objective(network.graph, logits, data)(network)

    descent = torch.autograd.grad(loss(module, train), weights)
    scale = 1.0
    if clip is not None:
        scale = clip / (float(torch.cat([g.flatten() for g in descent]).norm()) + 1e-6)
        descent = [g * min(scale, 1.0) for g in descent]
    ahead = copy.deepcopy(module)
    moments = [MOMENTUM * b for b in buffers] or [torch.zeros_like(w) for w in weights]
    with torch.no_grad():
        for w, new, g, m in zip(weights, ahead.parameters(), descent, moments, strict=True):
            new.copy_(w - RATE * (m + g + DECAY * w))
    found = torch.autograd.grad(loss(ahead, valid), [*logits, *ahead.parameters()])
    direct, vector = found[: len(logits)], found[len(logits) :]
    if clip is not None:
        bound = clip / (float(torch.cat([v.flatten() for v in vector]).norm()) + 1e-6)
        vector = [v * min(bound, 1.0) for v in vector]
    radius = 0.01 / float(torch.cat([v.flatten() for v in vector]).norm())
    ends: list[tuple[Tensor, ...]] = []
    for step in (radius, -2 * radius):
        with torch.no_grad():
            for w, v in zip(weights, vector, strict=True):
                w.add_(v, alpha=step)
        ends.append(torch.autograd.grad(loss(module, train), logits))
    return [
        g - RATE * scale * (up - down) / (2 * radius)
        for g, up, down in zip(direct, *ends, strict=True)
    ]


WAYS = tuple(product((True, False), MEMORY_LEVELS, (None, 0.25, 1e3)))
FAST = {(True, "none", None), (False, "none", 0.25), (True, "cells", 0.25), (True, "states", 1e3)}


@pytest.mark.parametrize(("optimise", "memory", "clip"), gated(WAYS, FAST))
def test_second_order_is_the_papers_rule(
    optimise: bool, memory: MemoryLevel, clip: float | None
) -> None:
    module = lowering.to_torch(GRAPH, optimise=optimise, memory=memory).double()
    plain = lowering.to_torch(GRAPH, optimise=False).double()
    logits, train, valid = logits_of(GRAPH), batch(1), batch(2)
    buffers = [torch.full_like(w, 0.01) for w in module.parameters()] if clip is None else []
    expected = published(plain, logits, train, valid, buffers, clip)
    before = copy.deepcopy(module.state_dict())
    step = lowering.Unrolled(RATE, MOMENTUM, DECAY, buffers, clip)
    found = lowering.second_order(
        module, logits, objective(GRAPH, logits, train), objective(GRAPH, logits, valid), step
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-10)
    names = {name for name, _ in module.named_parameters()}
    for key, value in module.state_dict().items():
        wanted = before[key] if key in names else plain.state_dict()[key]
        torch.testing.assert_close(value, wanted, rtol=0 if key in names else 1e-9, atol=0)


def test_first_order_is_the_gradient_by_the_logits() -> None:
    module = lowering.to_torch(GRAPH).double()
    logits = logits_of(GRAPH)
    loss = objective(GRAPH, logits, batch(2))
    found = lowering.first_order(module, logits, loss)
    expected = torch.autograd.grad(loss(module), logits)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert all(weight.grad is None for weight in module.parameters())


def families() -> dict[str, nasir.Graph]:
    """A small supernet of each family."""
    size: dict[str, Any] = {"channels": 2, "layers": 3, "classes": 3, "resolution": 8}
    wider: dict[str, Any] = size | {"channels": 4}
    wide = nasir.supernet("darts", **wider)
    return {
        "darts": nasir.supernet("darts", **size),
        "pc-darts": nasir.edge_weights(nasir.partial_channels(wide, 2), "darts"),
        "s4": nasir.supernet("s4", **size),
        "nnabla": nasir.supernet("nnabla", **size),
        "nasbench1shot1": nasir.supernet("nasbench1shot1_3", **size),
        "darts_rnn": nasir.supernet("darts_rnn", vocabulary=7, hidden=3),
    }


FAMILIES = families()


@pytest.mark.parametrize(
    ("name", "memory"),
    gated(
        product(FAMILIES, ("none", "states")),
        {("pc-darts", "states"), ("nasbench1shot1", "none"), ("darts_rnn", "states")},
    ),
)
def test_second_order_of_each_family_is_that_of_the_plain_lowering(
    name: str, memory: MemoryLevel
) -> None:
    graph = FAMILIES[name]
    logits = logits_of(graph)
    batches = [inputs_of(graph, seed, batch=3) for seed in (1, 2)]

    def loss(inputs: Sequence[Tensor]) -> Callable[[Callable[..., Any]], Tensor]:
        def of(run: Callable[..., Any]) -> Tensor:
            torch.manual_seed(4)  # dropout and noise are drawn before the network is called
            results = run(*inputs, mixture_of(graph, logits))
            return (results[0] if isinstance(results, tuple) else results).square().mean()

        return of

    found: list[tuple[Tensor, ...]] = []
    modules = [
        lowering.to_torch(graph, optimise=False).double(),
        lowering.to_torch(graph, memory=memory).double(),
    ]
    for module in modules:
        step = lowering.Unrolled(0.01, decay=DECAY)
        found.append(
            lowering.second_order(module, logits, loss(batches[0]), loss(batches[1]), step)
        )
    check_close(found[1], found[0], tolerance=1e-7)  # the difference has lost digits
    check_close(list(modules[1].buffers()), list(modules[0].buffers()))


def test_the_unrolled_step_of_a_recurrent_network_moves_the_tied_embedding() -> None:
    """Two steps of Adam by the paper's formula.

    The published code copies the unrolled weights into a model whose embedding is also its decoder,
    and the old decoder's values then overwrite it: its logits end elsewhere.
    """
    graph = FAMILIES["darts_rnn"]
    batches = [inputs_of(graph, seed, batch=3) for seed in range(4)]
    module = lowering.to_torch(graph).double().eval()  # no dropout to draw
    plain = lowering.to_torch(graph, optimise=False).double().eval()
    weights = {name: w.detach().requires_grad_() for name, w in plain.named_parameters()}

    def loss(network: Callable[..., Any], rows: Sequence[Tensor], number: int) -> Tensor:
        return network(*batches[number], mixture_of(graph, rows))[0].square().mean()

    def at(values: Mapping[str, Tensor]) -> Callable[..., Any]:
        return lambda *inputs: torch.func.functional_call(plain, dict(values), inputs)

    def ours(rows: list[Tensor], number: int) -> Sequence[Tensor]:
        step = lowering.Unrolled(RATE, decay=DECAY, clip=0.25)
        train, valid = (partial(loss, rows=rows, number=number + n) for n in (0, 1))
        return lowering.second_order(module, rows, train, valid, step)

    def by_hand(rows: list[Tensor], number: int, *, lost: bool) -> Sequence[Tensor]:
        slope = torch.autograd.grad(loss(at(weights), rows, number), list(weights.values()))
        scale = 0.25 / (float(torch.cat([g.flatten() for g in slope]).norm()) + 1e-6)
        ahead = {
            name: (w - RATE * (min(scale, 1.0) * g + DECAY * w)).detach().requires_grad_()
            for (name, w), g in zip(weights.items(), slope, strict=True)
        }
        if lost:
            ahead["embedding.weight"] = weights["embedding.weight"]
        found = torch.autograd.grad(loss(at(ahead), rows, number + 1), [*rows, *ahead.values()])
        direct, towards = found[: len(rows)], found[len(rows) :]
        norm = float(torch.cat([v.flatten() for v in towards]).norm())
        radius = 0.01 / (norm * min(1.0, 0.25 / (norm + 1e-6)))
        ends: list[tuple[Tensor, ...]] = []
        for sign in (1, -1):
            pairs = zip(weights.items(), towards, strict=True)
            beside = {name: w + sign * 0.01 / norm * v for (name, w), v in pairs}
            ends.append(torch.autograd.grad(loss(at(beside), rows, number), rows))
        return [
            g - RATE * scale * (up - down) / (2 * radius)
            for g, up, down in zip(direct, *ends, strict=True)
        ]

    def ended(gradients: Callable[[list[Tensor], int], Sequence[Tensor]]) -> Tensor:
        rows = logits_of(graph)
        adam = torch.optim.Adam(rows, 3e-3)
        for number in (0, 2):
            for row, gradient in zip(rows, gradients(rows, number), strict=True):
                row.grad = gradient
            adam.step()
        return torch.cat(rows).detach()

    found, published = ended(ours), ended(partial(by_hand, lost=True))
    torch.testing.assert_close(found, ended(partial(by_hand, lost=False)), rtol=0, atol=1e-6)
    assert float((found - published).abs().max()) > 1e-3


@pytest.mark.parametrize("space", ["darts", "nasbench201"])
def test_without_kernels_second_derivatives_are_those_of_the_plain_lowering(
    space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "0")
    graph = nasir.supernet(space, channels=2, layers=1, resolution=8)
    found: list[Tensor] = []
    for optimise in (False, True):
        module = lowering.to_torch(graph, optimise=optimise).double()
        logits = logits_of(graph)
        loss = objective(graph, logits, batch(0))(module)
        first = torch.autograd.grad(loss, logits, create_graph=True)
        total = torch.stack([each.square().sum() for each in first]).sum()
        found.append(torch.cat(torch.autograd.grad(total, logits)))
    check_close(found[1:], found[:1])

"""Search steps of a small recurrent supernet on text."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import lowering
import nasir
from nasir import Graph
from runners.experiment.recipe import Train
from runners.task.language import Language
from runners.task.task import Batch
from tests.texts import STILL, corpus, task

CLIP, DECAY = 0.25, 5e-7


def made(steps: int = 4, hidden: int = 16, **options: Any) -> tuple[Language, Graph]:
    language = task(corpus(train=1400), bptt=steps, **options)
    vocabulary = language.sizes["vocabulary"]
    graph = nasir.supernet("darts_rnn", vocabulary=vocabulary, hidden=hidden)
    return language, language.prepare(graph)


def logits_of(graph: Graph) -> list[Tensor]:
    source = torch.Generator().manual_seed(1)
    return [
        (1e-3 * torch.randn(len(c.options), generator=source)).requires_grad_()
        for c in graph.choices
    ]


def mixture(graph: Graph, logits: Sequence[Tensor]) -> Mapping[str, Tensor]:
    return {c.name: row.softmax(0) for c, row in zip(graph.choices, logits, strict=True)}


def objective(
    language: Language, graph: Graph, logits: Sequence[Tensor], batch: Batch
) -> Callable[[Callable[..., Any]], Tensor]:
    return lambda run: language.outcome(run, batch, mixture(graph, logits)).loss


def weight_step(
    language: Language, module: lowering.Network, logits: Sequence[Tensor], batch: Batch
) -> float:
    """One step of gradient descent at rate 10; the mean loss before it."""
    found = language.outcome(module, batch, mixture(module.graph, logits))
    module.zero_grad()
    found.loss.backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP)
    with torch.no_grad():
        for weight in module.parameters():
            assert weight.grad is not None
            weight.sub_(10 * batch.rate * weight.grad)
    language.carry(batch, found)
    return float(found.total) / found.count


def search_step(
    language: Language, module: lowering.Network, logits: list[Tensor], epoch: int, step: int
) -> float:
    """A step of the logits by second order, one of the weights; draws follow from the step."""
    torch.manual_seed(1000 * epoch + step)
    train, valid = language.train(epoch, step), language.valid(epoch, step)
    unrolled = lowering.Unrolled(10 * train.rate, decay=DECAY, clip=CLIP)
    found = lowering.second_order(
        module,
        logits,
        objective(language, module.graph, logits, train),
        objective(language, module.graph, logits, valid),
        unrolled,
    )
    with torch.no_grad():
        for row, gradient in zip(logits, found, strict=True):
            row.sub_(0.1 * gradient)
        seen = language.outcome(module, valid, mixture(module.graph, logits))
    language.carry(valid, seen)
    return weight_step(language, module, logits, train)


def test_a_supernet_learns_what_follows_what() -> None:
    language, graph = made(steps=8, train=Train(batch=16, slowness=1e-3), **STILL)
    module, logits = lowering.to_torch(graph), logits_of(graph)
    losses = [
        weight_step(language, module, logits, language.train(epoch, step))
        for epoch in range(2)
        for step in range(language.steps(epoch))
    ]
    assert abs(losses[0] - math.log(50)) < 0.05
    assert sum(losses[-4:]) / 4 < 2.0
    module.eval()
    with torch.no_grad():
        seen = [language.outcome(module, b, mixture(graph, logits)) for b in language.held_out()]
    mean = sum(float(o.total) for o in seen) / sum(o.count for o in seen)
    assert mean < 2.2


def test_a_search_that_is_resumed_goes_on_bit_by_bit() -> None:
    language, graph = made()
    module, logits = lowering.to_torch(graph), logits_of(graph)
    for step in range(2):
        search_step(language, module, logits, 0, step)
    again, _ = made()
    other, rows = lowering.to_torch(graph), [row.detach().clone() for row in logits]
    rows = [row.requires_grad_() for row in rows]
    other.load_state_dict(copy.deepcopy(module.state_dict()))
    again.restore({name: value.clone() for name, value in language.state().items()})
    steps = [(0, 2), (0, 3), (1, 0)]
    one = [search_step(language, module, logits, *at) for at in steps]
    two = [search_step(again, other, rows, *at) for at in steps]
    assert one == two
    assert all(map(torch.equal, logits, rows))
    state = other.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert all(torch.equal(value, again.state()[key]) for key, value in language.state().items())
    assert set(again.state()) == {"train", "valid"}

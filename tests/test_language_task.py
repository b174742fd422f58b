"""Text in windows: where they are cut, what is carried on, what is lost on them."""

from typing import Any

import pytest
import torch
from torch import Tensor

import nasir
from nasir import NasirError
from runners.experiment.recipe import Train
from runners.task.language import (
    Language,
    columns,
    gaussian,
    two_lengths,
    windows_of,
)
from runners.task.task import Batch, Outcome, Task
from tests.texts import STILL, corpus, counting, halves, task

GRAPH = nasir.supernet("darts_rnn", vocabulary=160, hidden=6)


def prepared(**options: Any) -> Language:
    made = task(counting(), **options)
    made.prepare(GRAPH)
    return made


def outcome(task: Task, batch: Batch, mark: float) -> Outcome:
    """What a network that knows nothing does, whose state is full of `mark`."""
    tokens, hidden = batch.inputs

    def run(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        del inputs
        even = torch.full((*tokens.shape, 160), 1 / 160).log().requires_grad_()
        return even, torch.full_like(hidden, mark, requires_grad=True)

    return task.outcome(run, batch)


def test_a_text_too_short_for_the_batch_is_e714() -> None:
    with pytest.raises(NasirError) as caught:
        task(counting(train=11))
    error = caught.value
    assert (error.code, error.hint) == ("E702", "at most 3 columns, or a longer text")
    assert "train text has 11 tokens, too few for 4 columns of 3" in error.message
    for short in ({"valid": 7}, {"valid": 19}):
        with pytest.raises(NasirError, match="E702 the valid text"):
            task(counting(**short))
    task(counting(train=12, valid=20))


def test_windows_of_an_epoch_follow_each_other_to_the_end_of_the_text() -> None:
    made = prepared(lengths=halves(0.5), bptt=4)
    at = 0
    for step in range(made.steps(0)):
        batch = made.train(0, step)
        tokens, target = batch.inputs[0], batch.target
        assert tokens[:, 0].tolist() == list(range(at, at + len(tokens)))
        assert tokens[0].tolist() == [at, at + 25, at + 50, at + 75]
        assert torch.equal(target, tokens + 1)
        assert len(tokens) == min(round(4 * batch.rate), 24 - at)
        at += len(tokens)
    assert at in (23, 24)  # as published, no window begins at the last two rows


def test_a_window_is_the_same_whenever_it_is_asked_for() -> None:
    one, other = prepared(lengths=halves(0.5), bptt=4), prepared(lengths=halves(0.5), bptt=4)
    forward = [one.train(3, step).target for step in range(one.steps(3))]
    backward = [other.train(3, step).target for step in reversed(range(other.steps(3)))]
    windows_of.cache_clear()
    assert all(map(torch.equal, forward, reversed(backward)))


def test_the_search_draws_35_steps_or_17() -> None:
    drawn = [drawn for _, drawn in windows_of(two_lengths, 35, 35 * 2000, 0, 0)]
    assert set(drawn) == {35, 17}
    assert drawn.count(35) / len(drawn) == pytest.approx(0.95, abs=0.02)


def test_the_evaluation_draws_lengths_around_35_and_17(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.tensor([drawn for _, drawn in windows_of(gaussian, 35, 35 * 4000, 0, 0)]).float()
    assert drawn.min() >= 5
    assert drawn.max() <= 55
    assert drawn.median() == pytest.approx(34.5, abs=1)  # int() cuts off
    assert (drawn < 23).float().mean() == pytest.approx(0.95 * 0.008 + 0.05 * 0.88, abs=0.015)
    monkeypatch.setattr("runners.task.language.DEVIATION", 50.0)
    extreme = {drawn for _, drawn in windows_of(gaussian, 6, 9000, 0, 0)}
    assert (min(extreme), max(extreme)) == (5, 26)


def test_the_rate_is_the_drawn_length_over_the_usual_one() -> None:
    made = prepared(lengths=halves(0.0), bptt=8)
    assert made.train(0, 0).rate == 0.5
    last = made.train(0, made.steps(0) - 1)
    assert (len(last.target), last.rate) == (4, 0.5)
    cut_off = prepared(lengths=halves(1.0), bptt=10).train(0, 2)
    assert (len(cut_off.target), cut_off.rate) == (4, 1.0)


def test_a_validation_window_begins_where_the_training_window_does() -> None:
    made = prepared(lengths=halves(0.0), bptt=8)  # 25 rows of training, 15 of validation
    starts = [int(made.valid(0, step).inputs[0][0, 0]) for step in range(6)]
    assert starts == [0, 4, 8, 12, 16 % 14, 20 % 14]
    assert [len(made.valid(0, step).target) for step in range(6)] == [8, 8, 6, 2, 8, 8]
    assert made.valid(0, 0).rate == 1


def test_each_stream_carries_its_own_state_detached() -> None:
    made = prepared(lengths=halves(0.5), bptt=4)
    for step, draw, mark in ((0, made.train, 1.0), (0, made.valid, 2.0)):
        batch = draw(0, step)
        assert not batch.inputs[1].any()
        made.carry(batch, outcome(made, batch, mark))
    for draw, mark in ((made.train, 1.0), (made.valid, 2.0)):
        hidden = draw(0, 1).inputs[1]
        assert hidden.shape == (4, 6)
        assert (hidden == mark).all()
        assert not hidden.requires_grad


def test_held_out_text_is_read_once_and_carries_on_within_a_pass() -> None:
    made = prepared(bptt=3, columns=6)
    train = made.train(0, 0)
    made.carry(train, outcome(made, train, 7.0))
    for _ in range(2):
        seen: list[Tensor] = []
        for number, batch in enumerate(made.held_out()):
            assert (batch.inputs[1] == number).all()  # zeros first, then what the last one left
            made.carry(batch, outcome(made, batch, number + 1.0))
            seen.append(batch.target)
        assert torch.equal(torch.cat(seen), columns(counting().valid, 6, 2, "valid")[1:])
    assert set(made.state()) == {"train"}
    assert made.state()["train"].eq(7.0).all()


def test_a_prepared_graph_has_the_rates_and_gives_states_in_training() -> None:
    graph = nasir.supernet("darts_rnn", vocabulary=160, hidden=6, auxiliary=True)
    words = ("output", "state", "input", "embedded", "words")
    rates = dict(zip(words, (0.1, 0.2, 0.3, 0.4, 0.5), strict=True))
    ready = task(counting(), **rates).prepare(graph)
    found = [
        dict(ready[name].attrs)["rate"]
        for name in (
            "decoder/mask",
            "cell/mask_h",
            "cell/mask_x",
            "embedding/mask",
            "embedding/drop",
        )
    ]
    assert found == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert ready.auxiliary == ("cell",)
    assert task(counting(), train=Train(batch=4)).prepare(graph).auxiliary == ()
    both = task(counting(), train=Train(batch=4, slowness=1e-3, activation=1.0)).prepare(GRAPH)
    assert both.auxiliary == ("cell", "decoder/masked")


def test_a_network_of_images_or_of_other_words_is_e505() -> None:
    with pytest.raises(NasirError, match="E505 the data is text"):
        task(counting()).prepare(nasir.supernet("nasbench201", channels=2, layers=1))
    with pytest.raises(NasirError, match="E505 the network has 50 words, the data has 160"):
        task(counting()).prepare(nasir.supernet("darts_rnn", vocabulary=50, hidden=6))


def test_an_outcome_is_the_likelihood_per_token_and_penalties_on_the_training_stream() -> None:
    data = corpus(vocabulary=5)
    made = task(data, train=Train(batch=4, slowness=0.5, activation=0.25), **STILL)
    made.prepare(nasir.supernet("darts_rnn", vocabulary=5, hidden=6))
    source = torch.Generator().manual_seed(1)
    batch = made.train(0, 0)
    steps, count = len(batch.target), batch.target.numel()
    scores = torch.randn(steps, 4, 5, generator=source).log_softmax(-1)
    states, dropped = torch.randn(2, steps, 4, 6, generator=source)

    def run(*inputs: Any) -> tuple[Tensor, ...]:
        assert inputs[2:] == ("mixture",)
        return scores, states[-1], states, dropped

    found = made.outcome(run, batch, "mixture")
    plain = -sum(float(scores[t, n, batch.target[t, n]]) for t in range(steps) for n in range(4))
    slow = float(((states[1:] - states[:-1]) ** 2).mean())
    assert float(found.total) == pytest.approx(plain, rel=1e-5)
    penalties = 0.5 * slow + 0.25 * float((dropped**2).mean())
    assert float(found.loss) == pytest.approx(plain / count + penalties, rel=1e-5)
    assert int(found.correct) == int((scores.argmax(-1) == batch.target).sum())
    assert found.count == count
    valid = made.valid(0, 0)
    assert float(made.outcome(run, valid, "mixture").loss) == pytest.approx(
        float(made.outcome(run, valid, "mixture").total) / count, rel=1e-5
    )

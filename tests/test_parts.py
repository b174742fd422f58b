"""The parts of search methods, one formula at a time."""

import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import nasir
from runners.experiment.architect import (
    L2,
    BetaDecay,
    EigenvalueStop,
    KullbackLeibler,
    Tuning,
    greatest_eigenvalue,
)
from runners.experiment.fields import with_values
from runners.experiment.learner import Moment, search_epochs
from runners.experiment.method import read_method
from runners.experiment.mixture import (
    Controller,
    Dirichlet,
    HardGumbel,
    SoftGumbel,
    Softmax,
)
from runners.experiment.recipe import Settings, Stage

SPACE = nasir.load_space("nasbench201")
GRAPH = nasir.supernet(SPACE, channels=4, layers=1)
LEARNER: Any = SimpleNamespace(space=SPACE, graph=GRAPH)
MOMENT = Moment(0, 4, 9, 4)


def logits(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        choice.name: torch.randn(
            len(choice.options), generator=generator, dtype=torch.float64
        ).requires_grad_()
        for choice in GRAPH.choices
    }


@pytest.mark.parametrize("part", [Softmax(), Dirichlet(), SoftGumbel(), HardGumbel()])
def test_weights_of_a_choice_sum_to_one_and_pull_its_logits(part: Softmax) -> None:
    rows = logits()
    drawn = part.mix(rows, LEARNER, MOMENT)
    for name, row in drawn.weights.items():
        assert float(row.detach().sum()) == pytest.approx(1.0)
        (gradient,) = torch.autograd.grad(row[0], rows[name], retain_graph=True)
        assert float(gradient.abs().sum()) > 0
    again = part.mix(rows, LEARNER, MOMENT)
    assert all(torch.equal(again.weights[name], row) for name, row in drawn.weights.items())


def test_a_dirichlet_mixture_has_the_mean_of_its_concentrations() -> None:
    row = torch.tensor([1.0, 0.0, -2.0], dtype=torch.float64)
    part, total = Dirichlet(), torch.zeros(3, dtype=torch.float64)
    for step in range(3000):
        total += part.mix({"a": row}, LEARNER, replace(MOMENT, step=step)).weights["a"]
    concentration = torch.nn.functional.elu(row) + 1
    torch.testing.assert_close(total / 3000, concentration / concentration.sum(), atol=0.02, rtol=0)


def test_a_hard_draw_is_one_hot_with_one_live_option_drawn_by_its_probability() -> None:
    row = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    counts: Counter[int] = Counter()
    for step in range(2000):
        drawn = HardGumbel().mix({"a": row}, LEARNER, replace(MOMENT, step=step))
        (option,) = drawn.live["a"]
        assert drawn.weights["a"].tolist() == [float(o == option) for o in range(3)]
        counts[option] += 1
    share = math.e / (math.e + 2)
    assert counts[0] / 2000 == pytest.approx(share, abs=0.04)


def test_temperatures_fall_from_the_first_epoch_to_the_last_and_stay_for_projections() -> None:
    part = HardGumbel(start=10, end=0.1)
    found = [part.temperature(Moment(0, epoch, 5, epoch)) for epoch in range(5)]
    assert found == pytest.approx([10, 7.525, 5.05, 2.575, 0.1])
    assert part.temperature(Moment(0, 0, 5, 0, phase="projection")) == pytest.approx(0.1)
    soft = [
        SoftGumbel(start=10, end=1).temperature(Moment(0, epoch, 5, epoch)) for epoch in range(5)
    ]
    assert soft == pytest.approx([10, 8.2, 6.4, 4.6, 2.8])
    assert SoftGumbel(start=10, end=1).temperature(Moment(0, 0, 5, 0, phase="projection")) == 1


def test_the_kl_term_is_that_of_torch() -> None:
    rows = logits(1)
    expected = sum(
        float(
            torch.distributions.kl_divergence(
                torch.distributions.Dirichlet(torch.nn.functional.elu(row.detach()) + 1),
                torch.distributions.Dirichlet(torch.ones(len(row), dtype=torch.float64)),
            )
        )
        for row in rows.values()
    )
    term = KullbackLeibler(scale=0.5).term(rows, rows, MOMENT)
    assert float(term.detach()) == pytest.approx(0.5 * expected)
    assert (L2().decay, L2().term(rows, rows, MOMENT), KullbackLeibler().decay) == (1e-3, None, 0.0)


def test_beta_decay_grows_with_the_epochs_and_pulls_logits_by_their_softmax() -> None:
    """In epoch 4 of 9 the weight is 50 · 4/9; log(e^0 + e^ln 3) = ln 4, log(2e) = 1 + ln 2."""
    rows = {
        "a": torch.tensor([0.0, math.log(3)], dtype=torch.float64, requires_grad=True),
        "b": torch.tensor([1.0, 1.0], dtype=torch.float64, requires_grad=True),
    }
    term = BetaDecay().term(rows, rows, MOMENT)
    assert float(term.detach()) == pytest.approx(200 / 9 * (math.log(4) + 1 + math.log(2)) / 2)
    pulls = torch.autograd.grad(term, list(rows.values()))
    assert [pull.tolist() for pull in pulls] == [
        pytest.approx([100 / 9 * 0.25, 100 / 9 * 0.75]),
        pytest.approx([100 / 9 * 0.5, 100 / 9 * 0.5]),
    ]
    weights = [BetaDecay(scale=90).term(rows, rows, Moment(0, e, 9, e)) for e in (0, 1, 8)]
    assert [float(x.detach() / weights[1].detach()) for x in weights] == pytest.approx([0, 1, 8])


def test_the_rate_is_a_cosine_over_all_stages_and_warm_ups_count_in_each() -> None:
    settings = read_method("drnas-progressive", "cifar")
    epochs = search_epochs(settings, None, restarts=False)
    assert [epoch.at.number for epoch in epochs] == list(range(50))
    assert epochs[0].lr == 0.1
    assert epochs[25].lr == pytest.approx(0.05)
    assert [e.at.number for e in epochs if e.warming] == [*range(10), *range(25, 35)]
    doubled = search_epochs(settings, None, restarts=True)
    assert [doubled[e].lr for e in (25, 26)] == pytest.approx([0.1, 0.0937], abs=1e-4)
    assert doubled[24].lr == epochs[24].lr


def test_projections_have_epochs_and_rates_of_their_own() -> None:
    settings = Settings(stages=(Stage(epochs=2),))
    epochs = search_epochs(settings, Tuning(81, 0.0025, 0.001), restarts=False)
    assert len(epochs) == 83
    assert epochs[2].at == Moment(0, 0, 81, 2, phase="projection")
    assert epochs[2].lr == 0.0025
    values = {"optimizer.lr": 0.5, "schedule.warm_up": 5}
    settings = with_values(settings.having(stages=(Stage(epochs=9),)), values)
    rising = search_epochs(settings, None, restarts=False)
    assert [epoch.lr for epoch in rising[:5]] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_the_greatest_eigenvalue_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    for size in (1, 2, 7, 60):
        matrix = torch.randn(size, size, generator=generator, dtype=torch.float64)
        matrix = matrix + matrix.T
        start = torch.randn(size, generator=generator, dtype=torch.float64)
        found = greatest_eigenvalue(lambda v, m=matrix: m @ v, start)
        assert found == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]), rel=0.01)
        assert greatest_eigenvalue(lambda v: 0 * v, start) == 0
        assert math.isnan(greatest_eigenvalue(lambda v: v * torch.nan, start))


def test_a_search_stops_when_the_mean_eigenvalue_has_grown() -> None:
    stop = EigenvalueStop()
    assert [epoch for epoch in range(8) if stop.due(epoch)] == [0, 2, 4, 6]
    flat = [1.0] * 20
    assert all(stop.stops(flat[:count]) is None for count in range(20))
    early = [1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0]
    assert stop.stops(early) is None  # the epoch would be before the earliest
    grown = [1.0] * 12 + [2.0] * 4
    stopped = [stop.stops(grown[:count]) for count in range(17)]
    first = next(count for count, epoch in enumerate(stopped) if epoch is not None)
    assert first == 14  # the mean of 1 1 1 2 2 is 1.4 times that of four measurements before
    assert stopped[first] == (first - 1) * 2 - 4 - 8


@pytest.mark.parametrize("name", ["darts", "nasbench201", "nasbench1shot1_2", "darts_rnn"])
def test_a_controller_writes_genotypes_of_the_space(name: str) -> None:
    space = nasir.load_space(name)
    controller = Controller(space, 0)
    drawn = [controller.sample(torch.Generator().manual_seed(seed)) for seed in range(4)]
    assert all(space.contains(sample.genotype) == () for sample in drawn)
    assert space.contains(controller.most_likely()) == ()
    assert len({sample.genotype for sample in drawn}) > 1
    for sample in drawn:
        assert float(sample.log_probability.detach()) < 0 < float(sample.entropy)
    again = Controller(space, 0).sample(torch.Generator().manual_seed(0))
    assert again.genotype == drawn[0].genotype


def test_a_reward_makes_its_genotype_more_likely() -> None:
    controller = Controller(SPACE, 0)
    optimiser = torch.optim.Adam(controller.parameters(), 0.05)

    def convolutions(genotype: nasir.Genotype) -> int:
        return Counter(genotype.cell("cell").named_ops)["nor_conv_3x3"]

    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        optimiser.zero_grad()
        for _ in range(8):
            sample = controller.sample(generator)
            reward = convolutions(sample.genotype) - 1.2
            (-sample.log_probability * reward / 8).backward()
        optimiser.step()
    assert convolutions(controller.most_likely()) >= 5

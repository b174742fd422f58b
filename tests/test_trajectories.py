"""Searches against the published update rules, written out here, over a few steps in float64.

The network is the plain lowering, and batches and noise are the search's own; how weights and
logits move is written in this file alone. Each test also shows that it sees its rule: with the rule
changed the same steps lead elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lowering
from runners.experiment.build import build_search
from runners.experiment.experiment import Experiment
from runners.experiment.learner import Moment, search_epochs
from runners.experiment.method import read_method
from runners.experiment.mixture import clipped
from runners.experiment.supernet import Supernet
from runners.folder.run_folder import RunFolder
from runners.task.score import Score
from runners.task.task import Batch
from tests.runs import rows
from tests.searches import run, tiny

State = tuple[Mapping[str, Tensor], Mapping[str, Tensor]]
"""Weights and logits by name."""

Rows = dict[str, Tensor]

RowsOf = Callable[[Rows, Moment], tuple[Rows, list[Tensor]]]
"""A mixture of the logits, and what has a gradient in the clipped norm."""

Perturb = Callable[[Rows, Any, "ByHand", Moment], Rows]


class ByHand:
    """A search's network, weights and logits, with SGD and Adam as their papers write them."""

    def __init__(self, request: Experiment) -> None:
        built = build_search(request)
        self.task, self.settings = built.task, built.method
        assert built.supernet is not None
        self.net = lowering.to_torch(built.supernet, request.seed, optimise=False).double()
        self.weights = dict(self.net.named_parameters())
        self.logits: Rows = {}
        for choice in built.supernet.choices:
            source = lowering.generator(request.seed, f"logits {choice.name}")
            start = 1e-3 * torch.randn(len(choice.options), generator=source)
            self.logits[choice.name] = start.double().requires_grad_()
        self.velocity = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        self.means = {name: torch.zeros_like(a) for name, a in self.logits.items()}
        self.squares = {name: torch.zeros_like(a) for name, a in self.logits.items()}
        self.count = 0

    def loss(self, batch: Batch, mixture: Mapping[str, Tensor]) -> Tensor:
        return F.cross_entropy(self.net(*batch.inputs, mixture), batch.target)

    def descend(
        self, loss: Tensor, rate: float, covered: Sequence[Tensor] = (), *, rest: bool = False
    ) -> None:
        """SGD; the clipped norm covers these too. Weights that have no gradient may `rest`."""
        s = self.settings.optimizer
        found = torch.autograd.grad(
            loss, [*self.weights.values(), *covered], materialize_grads=True
        )
        norm = torch.cat([g.flatten() for g in found]).norm()
        scale = min(1.0, s.clip / (float(norm) + 1e-6))
        with torch.no_grad():
            for (name, w), g in zip(self.weights.items(), found, strict=False):
                if rest and not g.any():
                    continue
                g = scale * g + s.weight_decay * w
                self.velocity[name] = s.momentum * self.velocity[name] + g
                w -= rate * (g + s.momentum * self.velocity[name] if s.nesterov
                             else self.velocity[name])  # fmt: skip

    def ascend(self, loss: Tensor, decay: float = 1e-3) -> None:
        """Adam, with L2 in the gradient."""
        s = self.settings.logits
        first, second = s.betas
        self.count += 1
        found = torch.autograd.grad(loss, list(self.logits.values()), materialize_grads=True)
        for (name, a), g in zip(self.logits.items(), found, strict=True):
            g = g + decay * a.detach()
            self.means[name] = first * self.means[name] + (1 - first) * g
            self.squares[name] = second * self.squares[name] + (1 - second) * g * g
            mean = self.means[name] / (1 - first**self.count)
            size = (self.squares[name] / (1 - second**self.count)).sqrt()
            a.data -= s.lr * mean / (size + 1e-8)

    @property
    def state(self) -> State:
        return self.weights, self.logits


def searched(request: Experiment, folder: Path) -> State:
    """Where a search ends."""
    run(request, folder)
    with RunFolder.open(folder) as opened:
        checkpoint = opened.latest()
    assert checkpoint is not None
    return checkpoint.state["weights"], checkpoint.state["logits"]


def distance(one: State, other: State) -> float:
    """The largest difference of a weight or logit that both have."""
    pairs = [(ours[name], theirs[name]) for ours, theirs in zip(one, other, strict=True)
             for name in ours.keys() & theirs.keys()]  # fmt: skip
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def small(method: str, **changes: Any) -> Experiment:
    """One epoch of two steps in float64."""
    given: dict[str, Any] = {"epochs": 1, "batch": 8, "precision": "float64"}
    return tiny(**({"method": method} | given | changes))


def method_file(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text)
    return str(folder / "mine.yaml")


def concrete(logits: Rows, temperature: float, moment: Moment) -> Rows:
    generator = moment.generator("gumbel")
    found: Rows = {}
    for name, row in logits.items():
        noise = -torch.empty(row.shape).exponential_(generator=generator).log()
        found[name] = ((row.log_softmax(0) + noise.double()) / temperature).softmax(0)
    return found


def noisy(start: Rows, epsilon: float, moment: Moment) -> Rows:
    """Moved by U(-ε, ε), cut to [0, 1] and divided by the sum."""
    generator = moment.generator("perturb")
    found: Rows = {}
    for name, row in start.items():
        noise = torch.empty(row.shape).uniform_(-epsilon, epsilon, generator=generator)
        found[name] = clipped((row + noise.double()).detach())
    return found


def hard(logits: Rows, temperature: float, moment: Moment) -> Rows:
    """One-hot; the drawn option's weight is 1 - p + p, the others are constant."""
    soft = concrete(logits, temperature, moment)
    return {
        name: F.one_hot(row.argmax(), len(row)).double() * (1 - row.detach() + row)
        for name, row in soft.items()
    }


def gdas(request: Experiment, *, weights_first: bool, covers: bool, rest: bool) -> State:
    by = ByHand(request)

    def learn_weights(moment: Moment) -> None:
        mixture = hard(by.logits, 1.0, replace(moment, purpose="weights"))
        covered = list(by.logits.values()) if covers else ()
        loss = by.loss(by.task.train(0, moment.step), mixture)
        by.descend(loss, by.settings.optimizer.lr, covered, rest=rest)

    def learn_logits(moment: Moment) -> None:
        mixture = hard(by.logits, 1.0, replace(moment, purpose="architect"))
        by.ascend(by.loss(by.task.valid(0, moment.step), mixture))

    parts = (learn_weights, learn_logits) if weights_first else (learn_logits, learn_weights)
    for step in range(2):
        for learn in parts:
            learn(Moment(0, 0, 1, 0, step))
    return by.state


GDAS = {"weights_first": True, "covers": True, "rest": False}


@pytest.fixture(scope="module", name="autodl")
def _autodl(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, State]:
    folder = tmp_path_factory.mktemp("gdas")
    request = small(
        method_file(folder, "like: gdas\nmixture: {part: hard-gumbel, start: 1, end: 1}\n"),
        values={
            "optimizer.clip": 0.5,
            "optimizer.lr": 0.25,
            "optimizer.weight_decay": 0.1,
            "logits.lr": 0.05,
        },
    )
    return request, searched(request, folder / "run")


@pytest.mark.parametrize("rule", GDAS)
def test_gdas_takes_autodls_steps(rule: str, autodl: tuple[Experiment, State]) -> None:
    """Weights before logits, the clipped norm over both, decay and momentum of what rests."""
    request, found = autodl
    assert distance(found, gdas(request, **GDAS)) < 1e-10
    assert distance(found, gdas(request, **(GDAS | {rule: not GDAS[rule]}))) > 1e-6


def covering(request: Experiment, rows_of: RowsOf, *, covers: bool) -> State:
    """Two steps of a search with logits first; `rows_of` gives rows, and what the norm covers."""
    by = ByHand(request)
    for step in range(2):
        moment = Moment(0, 0, 1, 0, step)
        mixture, _ = rows_of(by.logits, replace(moment, purpose="architect"))
        by.ascend(by.loss(by.task.valid(0, step), mixture))
        mixture, covered = rows_of(by.logits, replace(moment, purpose="weights"))
        by.descend(by.loss(by.task.train(0, step), mixture), by.settings.optimizer.lr,
                   covered if covers else ())  # fmt: skip
    return by.state


def dirichlet(logits: Rows, moment: Moment) -> tuple[Rows, list[Tensor]]:
    moment.reseed("dirichlet")
    mixture = {n: torch.distributions.Dirichlet(F.elu(a) + 1).rsample() for n, a in logits.items()}
    return mixture, list(logits.values())


def shaken(logits: Rows, moment: Moment) -> tuple[Rows, list[Tensor]]:
    """Softmax; for the weights a row of it, moved by U(-0.03, 0.03), is what has the gradient."""
    rows = {name: a.softmax(0) for name, a in logits.items()}
    if moment.purpose == "architect":
        return rows, []
    moved = {n: row.requires_grad_() for n, row in noisy(rows, 0.03, moment).items()}
    return moved, list(moved.values())


@pytest.mark.parametrize(("method", "rows_of"), [("drnas", dirichlet), ("sdarts-rs", shaken)])
def test_tabular_searches_clip_the_logits_gradient_with_the_weights(
    method: str, rows_of: RowsOf, tmp_path: Path
) -> None:
    request = small(method, values={"optimizer.clip": 0.5, "optimizer.lr": 0.25, "logits.lr": 0.05})
    found = searched(request, tmp_path / "run")
    assert distance(found, covering(request, rows_of, covers=True)) < 1e-10
    assert distance(found, covering(request, rows_of, covers=False)) > 1e-6


def snas(request: Experiment, temperatures: Sequence[float]) -> State:
    by = ByHand(request)
    for epoch, temperature in enumerate(temperatures):
        moment = Moment(0, epoch, 2, epoch, 0)
        rate = (0.025, 0.013)[epoch]
        mixture = concrete(by.logits, temperature, replace(moment, purpose="architect"))
        by.ascend(by.loss(by.task.valid(epoch, 0), mixture))
        mixture = concrete(by.logits, temperature, replace(moment, purpose="weights"))
        loss = by.loss(by.task.train(epoch, 0), mixture)
        by.descend(loss, rate, list(by.logits.values()))
    return by.state


def test_the_temperature_of_snas_falls_by_the_epochs_share(tmp_path: Path) -> None:
    request = small("snas", epochs=2, steps=1, values={"logits.lr": 0.05})
    found = searched(request, tmp_path / "run")
    assert distance(found, snas(request, (10.0, 5.5))) < 1e-10
    assert distance(found, snas(request, (10.0, 1.0))) > 1e-3


def beta(request: Experiment, scale: float) -> State:
    by = ByHand(request)

    def loss(batch: Batch) -> Tensor:
        return by.loss(batch, {name: row.softmax(0) for name, row in by.logits.items()})

    for epoch, rate in enumerate((0.025, 0.013)):
        term = torch.stack([row.exp().sum().log() for row in by.logits.values()]).mean()
        by.ascend(loss(by.task.valid(epoch, 0)) + scale * epoch / 2 * term)
        by.descend(loss(by.task.train(epoch, 0)), rate, list(by.logits.values()))
    return by.state


def test_beta_decay_weighs_the_log_sum_exp_of_logits_by_the_epochs_share(tmp_path: Path) -> None:
    request = small("beta-darts", epochs=2, steps=1, values={"logits.lr": 0.05})
    found = searched(request, tmp_path / "run")
    assert distance(found, beta(request, 50.0)) < 1e-10
    assert distance(found, beta(request, 0.0)) > 1e-3


def projected(request: Experiment, folder: Path, perturb: Perturb, *, held: bool = True,
              momentum: bool = False, rate: float = 0.0025) -> State:  # fmt: skip
    """One epoch of search, then tuning epochs with what the run decided before each."""
    by = ByHand(request)
    epochs = rows(folder)
    found = rows(folder, "architecture.jsonl")
    for number, epoch in enumerate(epochs):
        tuning = epoch["phase"] == "projection"
        place, of = (number - 1, len(epochs) - 1) if tuning else (0, 1)
        moment = Moment(0, place, of, number, 0, epoch["phase"])
        fixed = {n: row for n, row in found[number]["weights"].items() if set(row) <= {0.0, 1.0}}

        def mixture(by: ByHand = by, fixed: Rows = fixed) -> Rows:
            drawn = {n: a.softmax(0) for n, a in by.logits.items()}
            return drawn | decided(fixed)

        if tuning and place == 0 and not momentum:
            by.velocity = {name: torch.zeros_like(w) for name, w in by.weights.items()}
        by.ascend(by.loss(by.task.valid(number, 0), mixture()))
        start = {n: row.detach() for n, row in mixture().items() if not (held and n in fixed)}
        train = by.task.train(number, 0)

        def loss(moved: Rows, by: ByHand = by, train: Batch = train, start: Rows = start,
                 fixed: Rows = fixed) -> Tensor:  # fmt: skip
            return by.loss(train, decided(fixed) | start | moved)

        moved = perturb(start, loss, by, replace(moment, purpose="weights"))
        by.descend(loss(moved), rate if tuning else by.settings.optimizer.lr)
    return by.state


def decided(fixed: Mapping[str, Any]) -> Rows:
    return {name: torch.tensor(row, dtype=torch.float64) for name, row in fixed.items()}


def resting(start: Rows, loss: Any, by: ByHand, moment: Moment) -> Rows:
    del loss, by, moment
    return start


def radius(moment: Moment) -> float:
    return 0.3 if moment.phase == "projection" else 0.03


def random_one(start: Rows, loss: Any, by: ByHand, moment: Moment) -> Rows:
    del loss, by
    return noisy(start, radius(moment), moment)


def worst(start: Rows, loss: Any, by: ByHand, moment: Moment) -> Rows:
    """Seven steps of 2ε/7 up the loss in evaluation mode, kept if the loss has not fallen."""
    epsilon = radius(moment)
    by.net.eval()
    moved = noisy(start, epsilon, moment)
    for _ in range(7 if start else 0):
        leaves = {name: row.requires_grad_() for name, row in moved.items()}
        gradients = torch.autograd.grad(loss(leaves), list(leaves.values()))
        with torch.no_grad():
            moved = {
                name: clipped(start[name] + (row + 2 * epsilon / 7 * g.sign() - start[name])
                              .clamp(-epsilon, epsilon))
                for (name, row), g in zip(leaves.items(), gradients, strict=True)
            }  # fmt: skip
    kept = moved if bool(loss(moved) >= loss(start)) else start
    by.net.train()
    return kept


SPACE = """\
nasir: 1
space: two_edges
title: one node, which keeps one of two edges
skeleton: cifar
cells:
  normal: {inputs: 2, nodes: 1, edges: all, ops: [skip_connect, sep_conv_3x3], keep: 1, output: [2]}
  reduce: {like: normal}
"""


def projecting(folder: Path, **changes: Any) -> Experiment:
    """Three rounds: two edges get their op, then one of them goes."""
    (folder / "two.yaml").write_text(SPACE)
    given: dict[str, Any] = {"space": str(folder / "two.yaml"), "epochs": 4, "steps": 1,
                             "interval": 1, "values": {"logits.lr": 0.05}}  # fmt: skip
    return small("darts-pt", **(given | changes))


@pytest.mark.parametrize(("part", "perturb"), [("noise", random_one), ("pgd", worst)])
def test_a_perturbation_holds_what_projection_has_decided(
    part: str, perturb: Perturb, tmp_path: Path
) -> None:
    request = projecting(tmp_path, parts={"perturb": part})
    found = searched(request, tmp_path / "run")
    last = rows(tmp_path / "run", "architecture.jsonl")[-1]["weights"].values()
    assert sorted(map(sorted, last)) == [[0, 0], [0, 0], [0, 1], [0, 1]]
    assert distance(found, projected(request, tmp_path / "run", perturb)) < 1e-9
    assert distance(found, projected(request, tmp_path / "run", perturb, held=False)) > 1e-4


def test_tuning_begins_without_momentum_at_a_constant_tenth_of_the_rate(tmp_path: Path) -> None:
    request = projecting(tmp_path)
    found = searched(request, tmp_path / "run")
    assert distance(found, projected(request, tmp_path / "run", resting)) < 1e-10
    kept = projected(request, tmp_path / "run", resting, momentum=True)
    fallen = projected(request, tmp_path / "run", resting, rate=0.002)
    assert min(distance(found, kept), distance(found, fallen)) > 1e-5


def test_of_equal_accuracies_the_first_op_stays_and_the_last_edge_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses break no tie: here each candidate's is greater than the last one's."""
    losses = count(1)
    monkeypatch.setattr(Supernet, "score_without", lambda *_: Score(0.5, -next(losses)))
    run(projecting(tmp_path), tmp_path / "run")
    last = rows(tmp_path / "run", "architecture.jsonl")[-1]["weights"]
    assert [last[f"{kind}/n2.e{source}"] for kind in ("normal", "reduce") for source in (0, 1)] == [
        [1, 0], [0, 0], [1, 0], [0, 0]]  # fmt: skip


STAGES = """\
like: drnas
regularise: {part: kl, scale: 0.1}
stages: [{epochs: 1}, {epochs: 2, options: 2}]
optimizer: {lr: 0.1}
schedule: {minimum: 0.01}
logits: {lr: 0.05}
"""


def torchs_rates(epochs: Sequence[int], rate: float, minimum: float) -> list[float]:
    """Of a new SGD and a new cosine of torch's for each stage, which goes on where the last was."""
    found: list[float] = []
    for stage in epochs:
        optimiser = torch.optim.SGD([torch.zeros(1)], rate)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, sum(epochs), minimum)
        cosine.last_epoch = len(found)
        for _ in range(stage):
            found.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            cosine.step()
    return found


@pytest.mark.parametrize("method", ["drnas-progressive", "darts"])
@pytest.mark.parametrize("skeleton", ["cifar", "nasbench201"])
def test_rates_as_published_are_those_of_torchs_restarted_cosine(
    method: str, skeleton: str
) -> None:
    settings = read_method(method, skeleton)
    stages = [stage.epochs for stage in settings.stages]
    lr, minimum = settings.optimizer.lr, settings.schedule.minimum
    found = [epoch.lr for epoch in search_epochs(settings, None, restarts=True)]
    assert found == pytest.approx(torchs_rates(stages, lr, minimum))
    plain = [epoch.lr for epoch in search_epochs(settings, None, restarts=False)]
    assert plain == pytest.approx(torchs_rates([sum(stages)], lr, minimum))


def divergence(logits: Rows) -> Tensor:
    """Σ KL(Dir(elu(logit) + 1) ‖ Dir(1)), which torch knows."""
    total = torch.zeros((), dtype=torch.float64)
    for a in logits.values():
        found = torch.distributions.Dirichlet(F.elu(a) + 1)
        uniform = torch.distributions.Dirichlet(torch.ones_like(a))
        total = total + torch.distributions.kl_divergence(found, uniform)
    return total


def pruned(request: Experiment, rates: Sequence[float], *, live: bool) -> State:
    """An epoch with all options, two with the two best of each choice."""
    by = ByHand(request)
    kept: dict[str, list[int]] = {}

    def mixture(moment: Moment) -> Rows:
        moment.reseed("dirichlet")
        found: Rows = {}
        for name, a in by.logits.items():
            index = torch.tensor(kept.get(name, list(range(len(a)))))
            drawn = torch.distributions.Dirichlet(F.elu(a[index]) + 1).rsample()
            found[name] = torch.zeros_like(a).index_copy(0, index, drawn)
        return found

    for epoch, rate in enumerate(rates):
        if epoch == 1:
            for name, a in by.logits.items():
                kept[name] = sorted(a.topk(2).indices.tolist())
                dead = [option for option in range(len(a)) if option not in kept[name]]
                a.data[dead] = 0.0
        moment = Moment(0, epoch, 3, epoch, 0)
        loss = by.loss(by.task.valid(epoch, 0), mixture(replace(moment, purpose="architect")))
        counted = {n: a[kept[n]] if live and kept else a for n, a in by.logits.items()}
        by.ascend(loss + 0.1 * divergence(counted), decay=0.0)
        loss = by.loss(by.task.train(epoch, 0), mixture(replace(moment, purpose="weights")))
        by.descend(loss, rate)
    return by.state


@pytest.mark.parametrize("as_published", [False, True])
def test_after_pruning_kl_counts_live_options_and_as_published_all(
    *, as_published: bool, tmp_path: Path
) -> None:
    request = small(method_file(tmp_path, STAGES), epochs=None, steps=1, as_published=as_published)
    found = searched(request, tmp_path / "run")
    rates = torchs_rates([1, 2] if as_published else [3], 0.1, 0.01)
    assert distance(found, pruned(request, rates, live=not as_published)) < 1e-9
    assert distance(found, pruned(request, rates, live=as_published)) > 1e-3

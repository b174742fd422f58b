"""Hooks of a search: the mixture, the architect, stages, projections, and what is recorded."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import lowering
import nasir
from nasir import PASSES, Genotype, Graph, Space
from runners.experiment.decided import OPS
from runners.experiment.hooks import Hook
from runners.experiment.method import Method
from runners.experiment.parts.mixture import Drawn, HardGumbel, Sampled, SoftGumbel, Uniform
from runners.experiment.parts.moment import Moment
from runners.experiment.parts.stop import EigenvalueStop
from runners.experiment.schedule import Epoch
from runners.experiment.settings import Stage
from runners.experiment.supernet import Supernet
from runners.folder.display import genotype_lines
from runners.machine.device import entropy
from runners.task import Batch

if TYPE_CHECKING:
    from runners.experiment.run import Run

Kept = Mapping[str, tuple[int, ...]]
"""The options that are left of pruned choices."""

DIGITS = 7
"""Digits of logged weights: more than a figure shows, and a fifth of the size."""


def stage_graph(supernet: Graph, method: Method, stage: Stage, kept: Kept, space: Space) -> Graph:
    """The supernet that a stage lowers. Raises E505 for what the space cannot have."""
    graph = supernet
    if kept:
        graph, _ = nasir.run_passes(nasir.restrict(graph, kept), (PASSES["dead-code"],))
    if stage.parts > 1:
        graph = nasir.partial_channels(graph, stage.parts)
    weighs = method.edges is not None and not isinstance(method.edges, (Uniform, Sampled))
    if weighs and not any(cell.on_nodes for cell in space.cells):  # these weigh inputs anyway
        graph = nasir.edge_weights(graph, space)
    if method.settings.train.drop_path:
        graph = nasir.drop_path(graph)
    return graph


class Stages(Hook):
    """Lowers another supernet where a stage begins: fewer options, a larger part of the channels.

    As in DrNAS: pruned logits are set to 0 and the mixture leaves them out; weights and momentum
    are carried over, and channels grow by `lowering.widen`; Adam's state stays.
    """

    def __init__(self, learner: Supernet, supernet: Graph) -> None:
        self.learner, self.supernet, self.stage = learner, supernet, 0

    keys = ("stage", "kept")

    def begin(self, run: "Run", epoch: Epoch) -> None:
        """Enters the epoch's stage, if it is another one."""
        if epoch.stage == self.stage:
            return
        stage = self.learner.settings.stages[epoch.stage]
        self.stage = epoch.stage
        run.display.say(f"stage {epoch.stage + 1}: 1/{stage.parts} of the channels")
        self._enter({**self.kept, **(self._pruned(stage.options) if stage.options else {})})

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
        """The stage."""
        row["stage"] = epoch.stage

    @property
    def kept(self) -> Kept:
        """The options that are left of pruned choices."""
        return self.learner.decided.kept

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Lowers the stage's supernet."""
        kept = {name: tuple(options) for name, options in state["kept"].items()}
        self.stage, self.learner.decided.kept = int(state["stage"]), kept
        if self.stage:
            self.learner.lower(self._graph(kept))

    def _graph(self, kept: Kept) -> Graph:
        learner = self.learner
        stage = learner.settings.stages[self.stage]
        return stage_graph(self.supernet, learner.method, stage, kept, learner.space)

    def _pruned(self, options: int) -> dict[str, tuple[int, ...]]:
        """The options with the largest logits of each choice of ops, as many as stay, in order."""
        decided, kept = self.learner.decided, dict[str, tuple[int, ...]]()
        for name, choice in decided.choices.items():
            live = decided.options(name)
            if choice.kind not in OPS or len(live) <= options:
                continue
            row = self.learner.logits[name].detach()
            best = sorted(live, key=lambda option: -float(row[option]))[:options]
            kept[name] = tuple(sorted(best))
        return kept

    def _enter(self, kept: Kept) -> None:
        learner = self.learner
        old = dict(learner.module.state_dict())
        buffers = learner.momentum()
        learner.decided.kept = dict(kept)
        for name, options in kept.items():
            row = learner.logits[name]
            for option in set(range(len(row))) - set(options):
                row.data[option] = 0.0
        graph = self._graph(kept)
        learner.lower(graph)
        keys = tuple(learner.module.state_dict())
        grown = lowering.widen(
            {key: old[key] for key in keys},
            graph,
            learner.seed,
            {key: value for key, value in buffers.items() if key in keys},
        )
        learner.module.load_state_dict(grown.state)
        learner.set_momentum(grown.momentum)


class Projections(Hook):
    """Decides before the epochs of tuning, where the method's selection does."""

    def __init__(self, learner: Supernet) -> None:
        self.learner = learner

    keys = ("fixed", "dropped")

    def begin(self, run: "Run", epoch: Epoch) -> None:
        """The decisions that are due."""
        if epoch.at.phase == "projection":
            self.learner.method.select.decide(self.learner, epoch.at)

    def state_dict(self) -> dict[str, Any]:
        """The decisions."""
        decided = self.learner.decided
        return {"fixed": decided.fixed, "dropped": decided.dropped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a `state_dict`."""
        decided = self.learner.decided
        decided.fixed = dict(state["fixed"])
        decided.dropped = {name: tuple(options) for name, options in state["dropped"].items()}


class Architecture(Hook):
    """The architect's step before or after the weights', as the method has it, unless warming."""

    def __init__(self, learner: Supernet) -> None:
        self.learner = learner
        self.last = learner.settings.logits.order == "weights-first"

    def before(self, run: "Run", epoch: Epoch, batch: Batch, at: Moment) -> None:
        """The step, where the architecture learns first."""
        if not self.last and not epoch.warming:
            self._step(batch, at)

    def after(self, run: "Run", epoch: Epoch, batch: Batch, at: Moment) -> None:
        """The step, where the weights learn first."""
        if self.last and not epoch.warming:
            self._step(batch, at)

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
        """A controller's steps."""
        if not epoch.warming:
            self.learner.method.architect.finish(self.learner, epoch.at)

    def _step(self, batch: Batch, at: Moment) -> None:
        at = replace(at, purpose="architect")
        at.reseed("network")
        self.learner.method.architect.step(self.learner, batch, at)


class Mixed(Hook):
    """The mixture at which the weights take their step, perturbed where the method does that."""

    def __init__(self, learner: Supernet) -> None:
        self.learner = learner

    def inputs(self, run: "Run", batch: Batch, at: Moment) -> tuple[Any, ...]:
        """The mixture; it has a graph where the clipped norm covers the logits' gradient."""
        with torch.set_grad_enabled(self.learner.settings.optimizer.clip_covers == "all"):
            return (self.learner.whole(self._drawn(batch, at)),)

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
        """The radius and the temperature, where there are such."""
        method = self.learner.method
        if method.perturb is not None:
            row["epsilon"] = method.perturb.epsilon(epoch.at)
        if isinstance(method.mixture, (SoftGumbel, HardGumbel)):
            row["temperature"] = method.mixture.temperature(epoch.at)

    def _drawn(self, batch: Batch, at: Moment) -> Drawn:
        """The gradient by a perturbed row is its logits' gradient: SmoothDARTS' code writes the
        row over the logits before it clips.
        """
        learner = self.learner
        drawn = learner.drawn(at)
        if learner.method.perturb is None:
            return drawn
        with torch.enable_grad():
            moved = learner.method.perturb.perturbed(drawn, learner, batch, at)
        logits = {n: row for n, row in learner.rows().items() if learner.decided.is_open(n)}
        tied = {n: moved.weights[n] + (row - row.detach()) for n, row in logits.items()}
        return replace(moved, weights={**moved.weights, **tied})


class Validated(Hook):
    """The supernet on held-out data, after each epoch or after the last one of a phase."""

    def __init__(self, learner: Supernet, when: str) -> None:
        self.learner, self.when = learner, when

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
        """Loss and metric in evaluation mode; running statistics are read."""
        if self.when == "each" or epoch.at.epoch == epoch.at.epochs - 1:
            mixture = self.learner.draw(replace(epoch.at, purpose="held out"))
            row["valid"] = self.learner.measured("valid", mixture)


class Eigenvalue(Hook):
    """Ends the search where the greatest eigenvalue of the architecture's Hessian has grown."""

    keys = ("values", "stopped")

    def __init__(self, learner: Supernet, stop: EigenvalueStop) -> None:
        self.learner, self.stop = learner, stop
        self.values: list[float] = []
        self.stopped: int | None = None

    @property
    def ends(self) -> bool:
        """Whether it has grown."""
        return self.stopped is not None

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
        """Measures it where that is due."""
        if epoch.at.phase != "search" or not self.stop.due(epoch.at.number):
            return
        at = replace(epoch.at, purpose="eigenvalue")
        row["eigenvalue"] = self.stop.measure(self.learner, at)
        self.values.append(row["eigenvalue"])
        self.stopped = self.stop.stops(self.values)
        if self.stopped is not None:
            said = f"stopped, with the genotype of epoch {self.stopped}"
            run.display.say(f"the eigenvalue has grown: {said}")


class ArchitectureRecord(Hook):
    """Logs the architecture's weights, and the genotype that would be selected now."""

    keys = ("genotypes",)

    def __init__(self, learner: Supernet) -> None:
        self.learner = learner
        self.genotypes: list[str] = []

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
        """Entropies and skip connections in the row; the rest in files of its own."""
        learner, number = self.learner, epoch.at.number
        weights = learner.expected(epoch.at)
        row["entropy"] = {name: _entropy(values) for name, values in weights.items()}
        if learner.method.ranks:
            row["skips"] = _skips(nasir.derive(learner.space, weights))
        run.folder.log_architecture(
            {
                "epoch": number,
                "weights": {name: list(map(_short, values)) for name, values in weights.items()},
                "logits": {name: _numbers(row) for name, row in learner.logits.items()},
            }
        )
        genotype = self._genotype(weights)
        self.genotypes.append("" if genotype is None else nasir.dump_genotype(genotype))
        if genotype is not None:
            run.text = genotype_lines(genotype)
            run.folder.write_genotype(self.genotypes[-1], number)

    def _genotype(self, weights: Mapping[str, list[float]]) -> Genotype | None:
        """The selection by the mixture's weights alone, where they rank the options."""
        if self.learner.controller is not None:
            return self.learner.controller.most_likely()
        return nasir.derive(self.learner.space, weights) if self.learner.method.ranks else None


def _skips(genotype: Genotype) -> dict[str, int]:
    """The number of skip connections in each kind of cell."""
    return {cell.kind: Counter(cell.named_ops)["skip_connect"] for cell in genotype.cells}


def _entropy(values: list[float]) -> float:
    """In nats; weights that do not sum to 1 are divided by their sum."""
    row = torch.tensor(values, dtype=torch.float64)
    total = row.sum()
    return _short(float(entropy(row / total))) if total > 0 else 0.0


def _numbers(row: Tensor) -> list[float]:
    return [_short(float(x)) for x in row.detach()]


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")

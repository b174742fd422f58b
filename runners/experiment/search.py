"""Searching: a supernet and its hooks in a run directory, and the genotype at its end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import lowering
import nasir
from nasir import Genotype, Graph
from nasir.wanted import checked
from runners.data.name import parse_data
from runners.experiment.architect import EigenvalueStop
from runners.experiment.build import (
    DATA_SET,
    BuiltSearch,
    EpochPlan,
    Kept,
    build_search,
    stage_graph,
)
from runners.experiment.experiment import Experiment
from runners.experiment.learner import Epoch, Moment, search_epochs
from runners.experiment.mixture import Drawn, SoftGumbel
from runners.experiment.run import DropPath, Hook, Measured, Run, resumed, started
from runners.experiment.supernet import OPS, Supernet
from runners.folder.display import Display, genotype_lines
from runners.machine.device import entropy
from runners.task.task import Batch, Split

DIGITS = 7
"""Digits of logged weights: more than a figure shows, and a fifth of the size."""


class Stages(Hook):
    """Lowers another supernet where a stage begins: fewer options, a larger part of the channels.

    As in DrNAS: pruned logits are set to 0 and the mixture leaves them out; weights and momentum
    are carried over, and channels grow by `lowering.widen`; Adam's state stays.
    """

    def __init__(self, learner: Supernet, supernet: Graph) -> None:
        self.learner, self.supernet, self.stage = learner, supernet, 0

    keys = ("stage", "kept")

    def begin(self, run: Run, epoch: Epoch) -> None:
        """Enters the epoch's stage, if it is another one."""
        if epoch.stage == self.stage:
            return
        stage = self.learner.method.stages[epoch.stage]
        self.stage = epoch.stage
        run.display.say(f"stage {epoch.stage + 1}: 1/{stage.parts} of the channels")
        self._enter({**self.kept, **(self._pruned(stage.options) if stage.options else {})})

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
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
        stage = learner.method.stages[self.stage]
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

    def begin(self, run: Run, epoch: Epoch) -> None:
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
        self.last = learner.method.logits.order == "weights-first"

    def before(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        """The step, where the architecture learns first."""
        if not self.last and not epoch.warming:
            self._step(batch, at)

    def after(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        """The step, where the weights learn first."""
        if self.last and not epoch.warming:
            self._step(batch, at)

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
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

    def inputs(self, run: Run, batch: Batch, at: Moment) -> tuple[Any, ...]:
        """The mixture; it has a graph where the clipped norm covers the logits' gradient."""
        self.learner.logit_optimiser.zero_grad()  # those of the architect's step
        with torch.set_grad_enabled(self.learner.method.optimizer.clip_covers == "all"):
            return (self.learner.whole(self._drawn(batch, at)),)

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """The radius and the temperature, where there are such."""
        method = self.learner.method
        if method.perturb is not None:
            row["epsilon"] = method.perturb.epsilon(epoch.at)
        if isinstance(method.mixture, SoftGumbel):
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

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
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

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Entropies and skip connections in the row; the rest in files of its own."""
        learner, number = self.learner, epoch.at.number
        weights = learner.expected()
        row["entropy"] = {name: _entropy(values) for name, values in weights.items()}
        if learner.method.mixture.ranks:
            cells = nasir.derive(learner.space, weights).cells
            row["skips"] = {c.kind: Counter(c.named_ops)["skip_connect"] for c in cells}
        run.folder.log_architecture(
            {
                "epoch": number,
                "weights": {name: list(map(_short, values)) for name, values in weights.items()},
                "logits": {
                    name: [_short(float(x)) for x in row.detach()]
                    for name, row in learner.logits.items()
                },
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
        return (
            nasir.derive(self.learner.space, weights) if self.learner.method.mixture.ranks else None
        )


def _entropy(values: list[float]) -> float:
    """In nats; weights that do not sum to 1 are divided by their sum."""
    row = torch.tensor(values, dtype=torch.float64)
    total = row.sum()
    return _short(float(entropy(row / total))) if total > 0 else 0.0


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True, slots=True)
class Result:
    """The genotype, the last epoch's measures, the run directory, and the epochs' plan."""

    genotype: Genotype
    row: Mapping[str, Any]
    folder: Path
    plan: EpochPlan


@checked
def search(experiment: Experiment, out: str | Path, display: Display | None = None) -> Result:
    """Searches into the new run directory `out`. Raises E74x, and what data and folders raise."""

    def build() -> BuiltSearch:  # with a path of data that holds wherever the run is resumed
        data = parse_data(experiment.data or DATA_SET).resolved().text
        return build_search(experiment.having(data=data))

    return started(Path(out), "search", build, _searched, display)


@checked
def resume(out: str | Path, asked: Mapping[str, Any], display: Display | None = None) -> Result:
    """Resumes the search in `out`, with the result that an undisturbed one would have had.

    `asked` are fields of `Experiment` that the caller names again; one that differs is an error,
    and so are other data or another space under the same name.
    """
    return resumed(Path(out), "search", asked, build_search, _searched, display)


def _searched(run: Run, built: BuiltSearch) -> Result:
    """The result of the search, or of the rest of it; writes `genotype.json` last."""
    seed = built.experiment.seed
    if built.supernet is None:
        genotype = nasir.sample(built.space, seed)
    else:
        genotype = replace(_trained(run, built, built.supernet), size=_size(built, built.supernet))
    genotype = replace(genotype, name=f"{built.method.name}_{seed}")
    for reason in built.space.contains(genotype):
        run.display.say(f"the genotype is outside the space: {reason}")
    run.folder.write_genotype(nasir.dump_genotype(genotype), None)
    return Result(genotype, run.row, run.folder.path, built.plan)


def _size(built: BuiltSearch, supernet: Graph) -> tuple[tuple[str, int], ...]:
    """Of the numbers that the space leaves open those that the supernet has."""
    about = supernet.about
    names = (name for name, _ in built.space.open_size)
    return tuple((name, int(about.get(name) or about["layers"])) for name in names)


def _trained(run: Run, built: BuiltSearch, supernet: Graph) -> Genotype:
    """The genotype that a trained supernet gives."""
    method, search = built.method, built.experiment.searching
    run.display.say(built.plan.words)
    graph = stage_graph(supernet, method, method.stages[0], {}, built.space)
    learner = Supernet(built, graph, run.display.say)
    record, stop = ArchitectureRecord(learner), method.stop and Eigenvalue(learner, method.stop)
    hooks: list[Hook] = [Stages(learner, supernet), Projections(learner), Architecture(learner)]
    if method.train.drop_path:
        hooks.append(DropPath(learner, lambda at: method.train.drop_path * at.progress))

    def due(epoch: Epoch) -> tuple[Split, ...]:
        last = epoch.at.epoch == epoch.at.epochs - 1  # of its phase
        return ("valid",) if search.measure == "each" or last else ()

    hooks += [Mixed(learner), Measured(learner, due), *([stop] if stop else ()), record]
    run.start(learner, hooks)
    epochs = search_epochs(
        method,
        method.select.tuning(learner),
        restarts=search.as_published,
        seed=built.experiment.seed,
    )
    run.fit(epochs)
    if stop is not None and stop.stopped is not None:
        return nasir.load_genotype(record.genotypes[stop.stopped])
    return method.select.genotype(learner, replace(epochs[-1].at, purpose="selection"))

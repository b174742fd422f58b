"""Searches: a supernet and its hooks in a run directory, and the final genotype."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import lowering
import nasir
from nasir import Genotype, Graph, NasirError, Where
from nasir.arguments import checked
from nasir.errors import Summarised
from nasir.space.load import SpaceLike, as_space, is_named
from runners.data.name import parse_data
from runners.experiment.answering import ask_all
from runners.experiment.architect import Stop
from runners.experiment.build import (
    BuiltSearch,
    EpochPlan,
    Kept,
    build_search,
    stage_graph,
)
from runners.experiment.experiment import Experiment, experiment_in, with_objects
from runners.experiment.fields import merged
from runners.experiment.learner import Epoch, Moment, search_epochs
from runners.experiment.method import Method
from runners.experiment.mixture import Drawn, SoftGumbel
from runners.experiment.run import (
    DropPath,
    Hook,
    Measured,
    Run,
    restoring,
    resume_run,
    start_run,
)
from runners.experiment.supernet import OPS, Supernet
from runners.folder.checkpoint import last_checkpoint
from runners.folder.display import Display, genotype_lines
from runners.folder.facts import facts_of, flat, require_extensions
from runners.machine.device import entropy
from runners.task.task import Batch, Maker, Split

DIGITS = 7
"""Significant digits of logged weights: more than a plot shows, at a fifth of the size."""


class Stages(Hook):
    """Lowers a new supernet at the start of a stage: fewer options, more channels.

    As in DrNAS: pruned logits are set to 0 and excluded from the mixture; weights and momentum are
    kept, with channels grown by `lowering.widen`; Adam's state stays.
    """

    def __init__(self, learner: Supernet, supernet: Graph) -> None:
        self.learner, self.supernet, self.stage = learner, supernet, 0

    keys = ("stage", "kept")

    def begin(self, run: Run, epoch: Epoch) -> None:
        """Starts the epoch's stage, if it is a new one."""
        if epoch.stage == self.stage:
            return
        stage = self.learner.method.stages[epoch.stage]
        self.stage = epoch.stage
        run.display.say(f"stage {epoch.stage + 1}: 1/{stage.parts} of the channels")
        self._enter({**self.kept, **(self._pruned(stage.options) if stage.options else {})})

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Adds the stage to the row."""
        row["stage"] = epoch.stage

    @property
    def kept(self) -> Kept:
        """The remaining options of pruned choices."""
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
        """Returns, for each choice of ops, the `options` live options with the largest logits."""
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
    """Takes the selection's decisions before tuning epochs."""

    def __init__(self, learner: Supernet) -> None:
        self.learner = learner

    keys = ("fixed", "dropped")

    def begin(self, run: Run, epoch: Epoch) -> None:
        """Takes the decisions that are due."""
        if epoch.at.phase == "projection":
            self.learner.method.select.decide(self.learner, epoch.at)

    def state_dict(self) -> dict[str, Any]:
        """Returns the decisions."""
        decided = self.learner.decided
        return {"fixed": decided.fixed, "dropped": decided.dropped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads a `state_dict`."""
        decided = self.learner.decided
        decided.fixed = dict(state["fixed"])
        decided.dropped = {name: tuple(options) for name, options in state["dropped"].items()}


class Architecture(Hook):
    """Takes the architect's step before or after the weights', except in warm-up."""

    def __init__(self, learner: Supernet) -> None:
        self.learner = learner
        self.last = learner.method.logits.order == "weights-first"

    def before(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        """Takes the step, if the architecture is updated first."""
        if not self.last and not epoch.warming:
            self._step(batch, at)

    def after(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        """Takes the step, if the weights are updated first."""
        if self.last and not epoch.warming:
            self._step(batch, at)

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Trains the controller, if any."""
        if not epoch.warming:
            self.learner.method.architect.finish(self.learner, epoch.at)

    def _step(self, batch: Batch, at: Moment) -> None:
        at = replace(at, purpose="architect")
        at.reseed("network")
        self.learner.method.architect.step(self.learner, batch, at)


class Mixed(Hook):
    """Provides the mixture for the weights' step, perturbed if the method does that."""

    def __init__(self, learner: Supernet) -> None:
        self.learner = learner

    def inputs(self, run: Run, batch: Batch, at: Moment) -> tuple[Any, ...]:
        """Returns the mixture, with a graph if clipping covers the logits' gradients."""
        self.learner.logit_optimiser.zero_grad()  # gradients of the architect's step
        with torch.set_grad_enabled(self.learner.method.optimizer.clip_covers == "all"):
            return (self.learner.expand(self._drawn(batch, at)),)

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Adds the perturbation radius and the temperature, if any."""
        method = self.learner.method
        if method.perturb is not None:
            row["epsilon"] = method.perturb.epsilon(epoch.at)
        if isinstance(method.mixture, SoftGumbel):
            row["temperature"] = method.mixture.temperature(epoch.at)

    def _drawn(self, batch: Batch, at: Moment) -> Drawn:
        """Returns the mixture; a perturbed row passes its gradient to its logits.

        SmoothDARTS' code writes the row over the logits before it clips.
        """
        learner = self.learner
        drawn = learner.drawn(at)
        if learner.method.perturb is None:
            return drawn
        with torch.enable_grad():
            moved = learner.method.perturb.perturbed(drawn, learner, batch, at)
        logits = {n: row for n, row in learner.rows().items() if learner.decided.is_undecided(n)}
        tied = {n: moved.weights[n] + (row - row.detach()) for n, row in logits.items()}
        return replace(moved, weights={**moved.weights, **tied})


class EarlyStop(Hook):
    """Ends the search when the method's `stop` says so, for example as the eigenvalue grows."""

    keys = ("values", "stopped")

    def __init__(self, learner: Supernet, stop: Stop) -> None:
        self.learner, self.stop = learner, stop
        self.values: list[float] = []
        self.stopped: int | None = None

    @property
    def name(self) -> str:
        """The name in checkpoints."""
        return self.stop.logged

    @property
    def ends(self) -> bool:
        """Whether it has ended."""
        return self.stopped is not None

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Measures the value, if due."""
        if epoch.at.phase != "search" or not self.stop.due(epoch.at.number):
            return
        name = self.stop.logged
        row[name] = self.stop.measure(self.learner, replace(epoch.at, purpose=name))
        self.values.append(row[name])
        self.stopped = self.stop.stops(self.values)
        if self.stopped is not None:
            said = f"stopped, with the genotype of epoch {self.stopped}"
            run.display.say(f"the {name} has grown: {said}")


class ArchitectureRecord(Hook):
    """Logs the architecture's weights and the current selection."""

    keys = ("genotypes",)

    def __init__(self, learner: Supernet) -> None:
        self.learner = learner
        self.genotypes: list[str] = []

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Adds entropies and skip connections to the row; writes weights and genotype to files."""
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
        """Returns the selection by the mixture's weights, if they rank options."""
        if self.learner.controller is not None:
            return self.learner.controller.most_likely()
        return (
            nasir.derive(self.learner.space, weights) if self.learner.method.mixture.ranks else None
        )


def _entropy(values: list[float]) -> float:
    """Returns the entropy in nats of weights, normalised to sum 1."""
    row = torch.tensor(values, dtype=torch.float64)
    total = row.sum()
    return _short(float(entropy(row / total))) if total > 0 else 0.0


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True, slots=True, repr=False)
class Result(Summarised):
    """The genotype, the last epoch's metrics, the run directory, and the plan of epochs."""

    genotype: Genotype
    row: Mapping[str, Any]
    folder: Path
    plan: EpochPlan

    @property
    def _facts(self) -> Mapping[str, object]:
        valid = dict(flat(self.row.get("valid", {}), " ", "valid "))
        facts = {"genotype": self.genotype.name, "epochs": self.plan.epochs, **valid}
        return facts | {"run": str(self.folder)}

    def _repr_html_(self) -> str:
        return f"{Summarised._repr_html_(self)}{nasir.draw(self.genotype).svg}"


@checked
def search(
    space: Experiment | SpaceLike,
    out: str | Path,
    display: Display | None = None,
    *,
    method: str | Method | Mapping[str, Any] | None = None,
    data: str | Maker | None = None,
    ray: str | None = None,
    **fields: Any,
) -> Result:
    """Searches a space into the new run directory `out`.

    `space` may be a whole experiment, of which the others are fields. `method` is a name, a file's
    path, a `Method`, or what would be in a method's file; `data` is a name, or a task's maker such
    as `DataTask`. With `ray`, `local` or the address of a cluster that shares the file system, its
    workers tell the values that a method without a supernet asks for together.

    Raises an error for a loss that is not finite, and those of data and folders.
    """
    if not isinstance(space, Experiment):
        space = as_space(space)
        of = space.name if is_named(space) else space.text
        space = Experiment(of=of, **merged({"search": {}}, fields))
    elif fields:
        space = space.having(**fields)
    with with_objects(method=method, data=data) as named:
        experiment = space.having(**named)

        def build() -> BuiltSearch:
            return _answerable(build_search(_placed(experiment)), ray)

        work = partial(_searched, ray=ray)
        return start_run(Path(out), "search", build, build_search, work, display)


def _answerable(built: BuiltSearch, ray: str | None) -> BuiltSearch:
    """Raises an error if Ray's workers are there and the search asks for nothing."""
    if ray is not None and not built.plan.queries:
        message = f"method '{built.method.name}' asks for no values, which Ray's workers could tell"
        hint = "nasir sweep --ray runs several searches; torchrun divides one"
        raise NasirError("E505", message, hint=hint)
    return built


def _placed(experiment: Experiment) -> Experiment:
    """Returns the experiment with absolute paths, so that it resumes anywhere."""
    name, colon, rest = (experiment.searching.value or "").partition(":")
    if experiment.data and name != "table":  # where it is the name of the table's data set
        experiment = experiment.having(data=parse_data(experiment.data).resolved().text)
    if colon and rest and Path(rest).exists():
        experiment = experiment.having(search={"value": f"{name}:{Path(rest).absolute()}"})
    return experiment


@checked
def resume(
    out: str | Path,
    asked: Mapping[str, Any],
    display: Display | None = None,
    *,
    method: str | Method | Mapping[str, Any] | None = None,
    data: str | Maker | None = None,
    ray: str | None = None,
) -> Result:
    """Resumes the search in `out`; the result is that of an uninterrupted one.

    `asked` are fields of `Experiment` that the caller repeats; raises an error if one differs, or
    the data, or the space under the same name. Objects of the run are to be given again.
    """
    with with_objects(method=method, data=data) as named:
        asked = merged(asked, named)

        def build(experiment: Experiment) -> BuiltSearch:
            return _answerable(build_search(experiment), ray)

        work = partial(_searched, ray=ray)
        return resume_run(Path(out), "search", asked, build, work, display)


def _searched(run: Run, built: BuiltSearch, ray: str | None) -> Result:
    """Runs or resumes the search; writes `genotype.json` last."""
    seed = built.experiment.seed
    if built.plan.queries:
        genotype = ask_all(run, built, ray)
    elif built.supernet is None:
        genotype = nasir.sample(built.space, seed)
    else:
        genotype = replace(_trained(run, built, built.supernet), size=_size(built, built.supernet))
    genotype = replace(genotype, name=f"{built.method.name}_{seed}")
    for reason in built.space.contains(genotype):
        run.display.say(f"the genotype is outside the space: {reason}")
    run.folder.write_genotype(nasir.dump_genotype(genotype), None)
    return Result(genotype, run.row, run.folder.path, built.plan)


def load_supernet(run: Path) -> Supernet:
    """Returns the supernet of a search's run directory, as its last checkpoint left it.

    Raises an error for another run, or one without a supernet or a checkpoint.
    """
    facts = facts_of(run, "search")
    require_extensions(run, facts)
    built = build_search(experiment_in(run, facts))
    checkpoint = last_checkpoint(run)
    if built.supernet is None or checkpoint is None:
        message = "the search has no supernet, or no checkpoint yet"
        raise NasirError("E503", message, Where(str(run)))
    method = built.method
    graph = stage_graph(built.supernet, method, method.stages[0], {}, built.space)
    learner = Supernet(built, graph, lambda _: None)
    hooks = (Stages(learner, built.supernet), Projections(learner))
    with restoring(run):
        for hook in hooks:
            hook.load_state_dict(checkpoint.state["hooks"][hook.name])
        learner.load_state_dict(checkpoint.state)
    return learner


def _size(built: BuiltSearch, supernet: Graph) -> tuple[tuple[str, int], ...]:
    """Returns the supernet's values of the sizes that the space leaves open."""
    about = supernet.about
    names = (name for name, _ in built.space.open_size)
    return tuple((name, int(about.get(name) or about["layers"])) for name in names)


def _trained(run: Run, built: BuiltSearch, supernet: Graph) -> Genotype:
    """Trains the supernet; returns the selected genotype."""
    method, search = built.method, built.experiment.searching
    run.display.say(built.plan.words)
    graph = stage_graph(supernet, method, method.stages[0], {}, built.space)
    learner = Supernet(built, graph, run.display.say)
    record, stop = ArchitectureRecord(learner), method.stop and EarlyStop(learner, method.stop)
    hooks: list[Hook] = [Stages(learner, supernet), Projections(learner), Architecture(learner)]
    if method.train.drop_path:
        hooks.append(DropPath(learner, lambda at: method.train.drop_path * at.progress))

    def due(epoch: Epoch) -> tuple[Split, ...]:
        last = epoch.at.epoch == epoch.at.epochs - 1  # last of its phase
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

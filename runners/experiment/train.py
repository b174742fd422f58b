"""Trains a genotype from scratch, keeps its weights and measures it."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

import lowering
import nasir
from lowering.torch.store import pack
from nasir import Genotype, dump_genotype
from nasir.arguments import checked
from nasir.errors import Summarised, json_text
from runners.data.name import parse_data
from runners.experiment.build import BuiltTraining, build_training
from runners.experiment.experiment import Experiment, with_objects
from runners.experiment.fields import SUFFIXES, merged
from runners.experiment.learner import Epoch, Learner, Moment, training_epochs
from runners.experiment.recipe import Recipe, read_recipe
from runners.experiment.run import (
    DropPath,
    Hook,
    Measured,
    Run,
    resume_run,
    start_run,
)
from runners.experiment.sizes import describe_size, size_facts
from runners.experiment.trained import data_of, load_initial, weights_of
from runners.folder.display import Display
from runners.folder.facts import flat
from runners.folder.run_folder import RunFolder
from runners.inputs import is_run, read_named
from runners.machine.device import to_list
from runners.output import Cell, TextTable, measure_text
from runners.task.score import answers, example, measure
from runners.task.task import Batch, Maker, Split


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Summarised):
    """The summary of a training (`summary.json`), and its run directory."""

    summary: Mapping[str, Any]
    folder: Path

    @property
    def _facts(self) -> Mapping[str, object]:
        return dict(flat(self.summary, " ")) | {"run": str(self.folder)}


@checked
def evaluate(
    genotype: Experiment | Genotype | str | Path,
    out: str | Path,
    display: Display | None = None,
    *,
    recipe: str | Recipe | Mapping[str, Any] | None = None,
    data: str | Maker | None = None,
    **fields: Any,
) -> Evaluation:
    """Trains a genotype's network into the new run directory `out` and measures it.

    `genotype` may be a whole experiment, of which the others are fields. `recipe` is a name, a
    file's path, a `Recipe`, or what would be in a recipe's file; `data` is a name, or a task's
    maker such as `DataTask`. Raises an error for a loss that is not finite, and those of genotypes,
    data and folders.
    """
    if not isinstance(genotype, Experiment):
        text = dump_genotype(genotype) if isinstance(genotype, Genotype) else str(genotype)
        genotype = Experiment(of=text, **fields)
    elif fields:
        genotype = genotype.having(**fields)
    with with_objects(recipe=recipe, data=data) as named:
        experiment = genotype.having(**named)

        def build() -> BuiltTraining:  # weights that do not fit fail before a folder is created
            built = build_training(_placed(experiment))
            if experiment.inherit or experiment.weights:
                load_initial(lowering.to_torch(built.graph), built.experiment)
            return built

        return start_run(Path(out), "evaluate", build, build_training, _trained, display)


def resume(
    out: Path,
    asked: Mapping[str, Any],
    display: Display | None = None,
    *,
    recipe: str | Recipe | Mapping[str, Any] | None = None,
    data: str | Maker | None = None,
) -> Evaluation:
    """Resumes the training in `out`; the result is that of an uninterrupted one.

    `asked` are fields of `Experiment` that the caller repeats; raises an error if one differs, or
    the data, or the recipe under the same name. Objects of the run are to be given again.
    """
    with with_objects(recipe=recipe, data=data) as named:
        asked = merged(asked, named)
        return resume_run(out, "evaluate", asked, build_training, _trained, display)


def _placed(experiment: Experiment) -> Experiment:
    """Returns the experiment with absolute paths, and the genotype's text instead of its file.

    The file may change, or be that of another run. The data are the run's if nothing names others.
    """

    def there(path: str | None) -> str | None:
        return None if path is None else str(Path(path).absolute())

    recipe, data, weights = experiment.recipe, experiment.data, experiment.weights
    if weights is not None and is_run(weights):
        weights = str(weights_of(Path(weights)))
    if data is None and is_run(experiment.of) and not read_recipe(recipe or "cifar10").data:
        data = data_of(Path(experiment.of))
    return experiment.having(
        of=dump_genotype(read_named(experiment.of, experiment.space)),
        recipe=there(recipe) if recipe and recipe.endswith(SUFFIXES) else recipe,
        space=None,
        data=data and parse_data(data).resolved().text,
        inherit=there(experiment.inherit),
        weights=there(weights),
    )


def _trained(run: Run, built: BuiltTraining) -> Evaluation:
    """Trains or resumes to the end; writes the summary last."""
    train, ranks = built.recipe.train, built.place.ranks
    run.display.say(f"{train.epochs} epochs")
    learner = make_learner(built)
    best = Best()
    hooks: list[Hook] = []
    if train.drop_path:
        hooks.append(DropPath(learner, lambda at: train.drop_path * at.share))
    hooks.append(Measured(learner, lambda epoch: _due(built, epoch)))
    hooks += [Average(learner, train.ema, built.recipe.optimizer.average_after, best), best]
    if not run.start(learner, hooks):
        said = load_initial(learner.module, built.experiment)
        if said:
            run.display.say(said)
    run.folder.write_final("genotype.json", nasir.dump_genotype(built.genotype).encode())
    run.fit(training_epochs(built.recipe, built.experiment.seed))
    kept = best.best
    if train.keep == "best" and kept is not None:
        run.load(ranks.told(lambda: run.folder.load(kept)))
    summary = ranks.told(lambda: _write_final(learner, built, run.folder, kept))
    return Evaluation(summary, run.folder.path)


def make_learner(built: BuiltTraining) -> Learner:
    """Returns the network to train, with new weights."""
    recipe, place, seed = built.recipe, built.place, built.experiment.seed
    learner = Learner(built.task, place, seed, recipe.optimizer, recipe.train.accumulate)
    module = lowering.to_torch(built.graph, seed, device=place.device, together=built.together)
    module = module.to(place.device, place.dtype).train()
    compiling = "off" if built.together else recipe.run.compile
    learner.use(module, lowering.prepare_training(module, compiling, recipe.run.layout))
    return learner


def _due(built: BuiltTraining, epoch: Epoch) -> tuple[Split, ...]:
    """Returns the splits to measure: a text's test words only at the end, as published."""
    number, last = epoch.at.number + 1, epoch.at.number + 1 == epoch.at.epochs
    if number % built.recipe.train.measure and not last:
        return ()
    return built.task.splits if built.task.name != "language" or last else ("valid",)


def _write_final(
    learner: Learner, built: BuiltTraining, folder: RunFolder, best: int | None
) -> dict[str, Any]:
    """Measures the final network; returns the summary as plain data.

    Writes `weights.safetensors`, `summary.json` and, for images, `confusion.json`.
    """
    cost = nasir.cost(built.graph)
    summary: dict[str, Any] = {
        "genotype": built.genotype.name,
        "recipe": built.recipe.name,
        "size": size_facts(built.graph),
        "params": cost.params,
        "macs": cost.macs,
        "best_epoch": best,
    }
    for split in built.task.splits:
        with learner.measuring():
            found = answers(built.task, split, learner.run)
        summary[split] = dict(found.accuracy.measures)
        if built.task.classes and split == built.task.splits[-1]:
            table = to_list(found.confusion(len(built.task.classes)))
            facts = {"split": split, "classes": list(built.task.classes), "counts": table}
            folder.write_final("confusion.json", f"{json.dumps(facts)}\n".encode())
    about = {
        "genotype": nasir.dump_genotype(built.genotype),
        "size": json.dumps(size_facts(built.graph)),
        "auxiliary": json.dumps(bool(built.recipe.train.auxiliary)),
        "recipe": built.recipe.name,
        "nasir": nasir.__version__,
    }
    with learner.averaged():
        folder.write_final("weights.safetensors", pack(learner.module.state_dict(), about))
    summary["latency"] = _latencies(learner, built)
    text = json_text(summary, indent=2)
    folder.write_final("summary.json", f"{text}\n".encode())
    return summary


def _latencies(learner: Learner, built: BuiltTraining) -> dict[str, float | Literal["eager"]]:
    """Measures seconds for one image (text: STEPS words), eager and with batch norms folded."""
    with learner.measuring():
        folded = lowering.to_inference(built.graph, learner.module)
        folded = folded.to(built.place.device, built.place.dtype)
        inputs = tuple(
            x.to(built.place.device, built.place.dtype if x.is_floating_point() else x.dtype)
            for x in example(built.graph, 1)
        )
        found = measure({"eager": learner.module, "folded": folded}, inputs)
    return {name: each.seconds for name, each in found.items()}


class Best(Hook):
    """Keeps the checkpoint of the epoch with the lowest validation loss.

    `losses` has an entry for each measurement.
    """

    keys = ("losses", "best")

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.best: int | None = None

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Updates the best epoch."""
        if "valid" in row:
            loss = row["valid"]["loss"]
            if not self.losses or loss < min(self.losses):
                self.best = epoch.at.number
            self.losses.append(loss)
        run.folder.pinned = set() if self.best is None else {self.best}


class Average(Hook):
    """A running average of the network's state, which is then measured and saved.

    With a `decay` d, the exponential average moves by 1 - d at each step; with 0 all states have
    equal weight: averaged SGD (Polyak and Juditsky, 1992). It starts at once, or with a `patience`
    n when validation loss is above the minimum of all but the last n measurements, from the sixth
    on: Merity and others (arXiv:1708.02182, algorithm 1), as in DARTS' code.
    """

    keys = ("averaging", "count", "values")

    def __init__(self, learner: Learner, decay: float, patience: int, best: Best) -> None:
        self.learner, self.patience, self.best = learner, patience, best
        self._update: Any = get_ema_multi_avg_fn(decay) if decay else get_swa_multi_avg_fn()
        self.averaging = bool(decay)
        self.count = 0
        self.values: dict[str, Tensor] = {}
        learner.averaged = self.applied

    def after(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        """Adds the current state to the average."""
        if not self.averaging:
            return
        state = self.learner.module.state_dict()
        if not self.count:
            self.values = {key: value.detach().clone() for key, value in state.items()}
        else:
            with torch.no_grad():
                now = [state[key].detach() for key in self.values]
                self._update(list(self.values.values()), now, torch.tensor(self.count))
        self.count += 1

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Starts averaging if validation stagnates; `losses` are those before this epoch."""
        losses, patience = self.best.losses, self.patience
        before = losses[:-patience] if patience and "valid" in row else []
        if before and not self.averaging and row["valid"]["loss"] > min(before):
            self.averaging = True
            run.display.say("validation loss stagnates: weights are averaged from here on")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads a `state_dict`."""
        own = self.learner.module.state_dict()
        self.values = {key: value.to(own[key]).clone() for key, value in state["values"].items()}
        self.averaging, self.count = bool(state["averaging"]), int(state["count"])

    @contextmanager
    def applied(self) -> Generator[None]:
        """Sets the module's state to the average within the context, if there is one."""
        if not self.count:
            yield
            return
        module = self.learner.module
        kept = {key: value.detach().clone() for key, value in module.state_dict().items()}
        try:
            module.load_state_dict(self.values)
            yield
        finally:
            module.load_state_dict(kept)


def summary_table(summary: Mapping[str, Any]) -> TextTable:
    """Formats size, cost, metrics and latency."""
    rows: list[tuple[Cell, ...]] = [
        ("network", describe_size(summary["size"])),
        ("parameters", summary["params"]),
        ("multiply-adds", summary["macs"]),
    ]
    rows += [
        (f"{split} {name}", measure_text(name, value))
        for split in ("valid", "test")
        for name, value in summary.get(split, {}).items()
    ]
    rows += [
        (f"latency, {name}", f"{1e3 * seconds:.2f} ms")
        for name, seconds in summary.get("latency", {}).items()
    ]
    return TextTable("", (summary["genotype"], ""), tuple(rows))

"""Training a genotype from scratch: its learner, hooks and loop in a run, and what is kept."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lowering
import nasir
from lowering.torch.weights import pack
from nasir import dump_genotype
from nasir.quoting import json_text
from nasir.wanted import checked
from runners.data import absolute
from runners.experiment.build_training import BuiltTraining, build
from runners.experiment.experiment import Experiment
from runners.experiment.guard import guarded, resumed, started
from runners.experiment.hooks import Average, Best, DropPath, Hook, Measured
from runners.experiment.inherit import begin
from runners.experiment.learner import Learner
from runners.experiment.recipe_file import SUFFIXES
from runners.experiment.run import Run
from runners.experiment.schedule import Epoch, training_epochs
from runners.experiment.size import describe_size, size_facts
from runners.experiment.trained import weights_of
from runners.folder.display import Display
from runners.folder.run_folder import RunFolder
from runners.inputs import is_run, read_named
from runners.machine.device import listed
from runners.output import Cell, TextTable, measure_text
from runners.task import measure
from runners.task.accuracy import answers
from runners.task.task import Split


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The summary of a training (`summary.json`), and its run directory."""

    summary: Mapping[str, Any]
    folder: Path


@checked
def evaluate(experiment: Experiment, out: str | Path, display: Display | None = None) -> Evaluation:
    """Trains a genotype's network into the new run directory `out`, measures and keeps it.

    Raises E741, E744, E75x, and what genotypes, data and folders raise.
    """
    return started(Path(out), "evaluate", lambda: _begun(_placed(experiment)), _run, display)


def resume(out: Path, asked: Mapping[str, Any], display: Display | None = None) -> Evaluation:
    """Resumes the training in `out`, which gives what it would have given undisturbed.

    `asked` are fields of `Experiment` that the caller names again; one that differs is E726, and so
    are other data, or another recipe under the same name.
    """
    parts = ("genotype", "data", "seed", "recipe", "size")
    return resumed(out, "evaluate", asked, build, parts, _run, display)


def _begun(experiment: Experiment) -> BuiltTraining:
    """What the experiment needs; weights that do not fit are an error before there is a folder."""
    built = build(experiment)
    if experiment.inherit or experiment.weights:
        begin(lowering.to_torch(built.graph), experiment)
    return built


def _placed(experiment: Experiment) -> Experiment:
    """The experiment with paths that hold wherever it is resumed, and the genotype itself for a
    file's: the file may change, or be that of the run that began it.
    """

    def there(path: str | None) -> str | None:
        return None if path is None else str(Path(path).absolute())

    recipe, data = experiment.recipe, experiment.data
    return experiment.having(
        {
            "of": dump_genotype(read_named(experiment.of, experiment.space)),
            "recipe": there(recipe) if recipe and recipe.endswith(SUFFIXES) else recipe,
            "space": None,
            "data": data and absolute(data),
            "inherit": there(experiment.inherit),
            "weights": there(_weights(experiment.weights)),
        }
    )


def _weights(named: str | None) -> str | None:
    """The weights file, also of a training's run directory. Raises E755."""
    return str(weights_of(Path(named))) if named is not None and is_run(named) else named


def _run(built: BuiltTraining, folder: RunFolder, shown: Display) -> Evaluation:
    run = Run(folder, shown, built.experiment.run.steps)
    summary = guarded(
        run,
        built.experiment.seed,
        built.place,
        lambda: _trained(run, built),
        built.recipe.train.batch,
        ("--set train.batch=", "train.accumulate splits a batch"),
    )
    return Evaluation(summary, folder.path)


def _trained(run: Run, built: BuiltTraining) -> Mapping[str, Any]:
    """Trains, or resumes, to the end; the summary, which is written last."""
    train = built.recipe.train
    run.display.say(f"{train.epochs} epochs")
    learner = make_learner(built)
    best = Best()
    hooks: list[Hook] = []
    if train.drop_path:
        hooks.append(DropPath(learner, lambda at: train.drop_path * at.epoch / at.epochs))
    hooks.append(Measured(learner, lambda epoch: _due(built, epoch), train.measure))
    hooks += [Average(learner, train.ema, built.recipe.optimizer.average_after, best), best]
    if not run.start(learner, hooks):
        said = begin(learner.module, built.experiment)
        if said:
            run.display.say(said)
    run.folder.write_final("genotype.json", nasir.dump_genotype(built.genotype).encode())
    run.fit(training_epochs(built.recipe, built.experiment.seed))
    kept = best.best
    if train.keep == "best" and kept is not None:
        run.load(run.folder.load(kept))
    return _write_final(learner, built, run.folder, kept)


def make_learner(built: BuiltTraining) -> Learner:
    """The network that is trained, with fresh weights."""
    recipe, place, seed = built.recipe, built.place, built.experiment.seed
    learner = Learner(built.task, place, seed, recipe.optimizer, recipe.train.accumulate)
    module = lowering.to_torch(built.graph, seed, device=place.device)
    module = module.to(place.device, place.dtype).train()
    learner.use(module, lowering.prepare_training(module, recipe.run.compile, recipe.run.layout))
    return learner


def _due(built: BuiltTraining, epoch: Epoch) -> tuple[Split, ...]:
    """The parts to measure: a text's test words only at the end, as published."""
    if built.task.name == "images" or epoch.at.number + 1 == epoch.at.epochs:
        return built.task.splits
    return ("valid",)


def _write_final(
    learner: Learner, built: BuiltTraining, folder: RunFolder, best: int | None
) -> dict[str, Any]:
    """Measures the network as it is kept, and writes `weights.safetensors`, `summary.json` and, of
    images, `confusion.json`; the summary as plain data.
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
        if built.task.name == "images" and split == built.task.splits[-1]:
            table = listed(found.confusion(len(_classes(built))))
            facts = {"split": split, "classes": list(_classes(built)), "counts": table}
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


def _classes(built: BuiltTraining) -> tuple[str, ...]:
    task: Any = built.task
    return task.data.classes


def _latencies(learner: Learner, built: BuiltTraining) -> dict[str, float | Literal["eager"]]:
    """Seconds for one image (of text: STEPS words), as it is and with batch norms folded."""
    with learner.measuring():
        folded = lowering.to_inference(built.graph, learner.module)
        folded = folded.to(built.place.device, built.place.dtype)
        inputs = tuple(
            x.to(built.place.device, built.place.dtype if x.is_floating_point() else x.dtype)
            for x in measure.example(built.graph, 1)
        )
        found = measure.measure({"eager": learner.module, "folded": folded}, inputs)
    return {name: each.seconds for name, each in found.items()}


def summary_table(summary: Mapping[str, Any]) -> TextTable:
    """Size, cost, measures and latency."""
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

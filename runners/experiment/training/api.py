"""Training a found network from scratch, and going on with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lowering
from nasir import dump_genotype
from nasir.wanted import checked
from runners.data import absolute
from runners.experiment.experiment import Experiment, experiment_in
from runners.experiment.guard import guarded, resumed
from runners.experiment.inherit import begin
from runners.experiment.recipe_file import SUFFIXES
from runners.experiment.run import Run
from runners.experiment.train import train_in
from runners.experiment.trained import weights_of
from runners.experiment.training.build import BuiltTraining, build
from runners.folder.facts import facts_of
from runners.folder.live import Display, display_for_stderr
from runners.folder.run_folder import RunFolder, standing
from runners.inputs import is_run, read_named
from runners.machine.signals import told


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a training came to (`summary.json`), and where everything lies."""

    summary: Mapping[str, Any]
    folder: Path


@checked
def evaluate(experiment: Experiment, out: str | Path, display: Display | None = None) -> Evaluation:
    """Trains a genotype's network into the new run directory `out`, measures and keeps it.

    Raises E741, E744, E75x, and what genotypes, data and folders raise.
    """
    out = Path(out)
    with told(lambda: standing(out, "evaluate")):
        built = build(_placed(experiment))
        if built.experiment.inherit or built.experiment.weights:  # said before there is a folder
            begin(lowering.to_torch(built.graph), built.experiment)
        shown = display_for_stderr() if display is None else display
        return _run(built, RunFolder.create(out, built.facts(), shown.say), shown)


def resume(out: Path, asked: Mapping[str, Any], display: Display | None = None) -> Evaluation:
    """Goes on with the training in `out`, which gives what it would have given undisturbed.

    `asked` are fields of `Experiment` that the caller names again; one that differs is E726, and so
    are other data, or another recipe under the same name.
    """
    facts = facts_of(out, "evaluate")
    parts = ("genotype", "data", "seed", "recipe", "size")
    experiment = experiment_in(out, facts)
    with told(lambda: standing(out, "evaluate")):
        built, moved = resumed(facts, asked, lambda: build(experiment), parts)
        shown = display_for_stderr() if display is None else display
        if moved:
            shown.say(moved)
        return _run(built, RunFolder.open(out, shown.say), shown)


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
        lambda: train_in(run, built),
        built.recipe.train.batch,
        ("--set train.batch=", "train.accumulate splits a batch"),
    )
    return Evaluation(summary, folder.path)

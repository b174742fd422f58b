"""Searching, and going on with a search."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir import Genotype
from nasir.wanted import checked
from runners.data import absolute
from runners.experiment.experiment import Experiment, experiment_in
from runners.experiment.guard import guarded, resumed
from runners.experiment.loop.build import DATA_SET, BuiltSearch, build
from runners.experiment.run import Run
from runners.experiment.schedule import EpochPlan
from runners.experiment.search import search_in
from runners.folder.facts import facts_of
from runners.folder.live import Display, display_for_stderr
from runners.folder.run_folder import RunFolder, standing
from runners.machine.signals import told


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found, the last epoch's measures, where everything lies, and what was done."""

    genotype: Genotype
    row: Mapping[str, Any]
    folder: Path
    plan: EpochPlan


@checked
def search(experiment: Experiment, out: str | Path, display: Display | None = None) -> Result:
    """Searches into the new run directory `out`. Raises E74x, and what data and folders raise."""
    out = Path(out)
    with told(lambda: standing(out, "search")):
        built = build(_placed(experiment))
        shown = display_for_stderr() if display is None else display
        return _run(built, RunFolder.create(out, built.facts(), shown.say), shown)


@checked
def resume(out: str | Path, asked: Mapping[str, Any], display: Display | None = None) -> Result:
    """Goes on with the search in `out`, which gives what it would have given undisturbed.

    `asked` are fields of `Experiment` that the caller names again; one that differs is E726, and so
    are other data or another space under the same name.
    """
    out = Path(out)
    facts = facts_of(out, "search")
    parts = ("space", "data", "seed", "settings", "method")
    experiment = experiment_in(out, facts)
    with told(lambda: standing(out, "search")):
        built, moved = resumed(facts, asked, lambda: build(experiment), parts)
        shown = display_for_stderr() if display is None else display
        if moved:
            shown.say(moved)
        return _run(built, RunFolder.open(out, shown.say), shown)


def _placed(experiment: Experiment) -> Experiment:
    """The experiment with a path of data that holds wherever it is resumed."""
    return experiment.having({"data": absolute(experiment.data or DATA_SET)})


def _run(built: BuiltSearch, folder: RunFolder, shown: Display) -> Result:
    run = Run(folder, shown, built.experiment.run.steps)
    found = guarded(
        run,
        built.experiment.seed,
        built.place,
        lambda: search_in(run, built),
        built.settings.train.batch,
        ("--batch ", "--memory states keeps less"),
    )
    return Result(found.genotype, found.row, folder.path, built.plan)

"""Searching: a supernet, its hooks and its loop in a run directory, and the genotype at its end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nasir
from nasir import Genotype
from nasir.wanted import checked
from runners.data import absolute
from runners.experiment.build_search import DATA_SET, BuiltSearch, build
from runners.experiment.experiment import Experiment
from runners.experiment.guard import guarded, resumed, started
from runners.experiment.hooks import DropPath, Hook
from runners.experiment.run import Run
from runners.experiment.schedule import EpochPlan, search_epochs
from runners.experiment.search_hooks import (
    Architecture,
    ArchitectureRecord,
    Eigenvalue,
    Mixed,
    Projections,
    Stages,
    Validated,
    stage_graph,
)
from runners.experiment.supernet import Supernet
from runners.folder.display import Display
from runners.folder.run_folder import RunFolder


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
    return started(Path(out), "search", lambda: build(_placed(experiment)), _run, display)


@checked
def resume(out: str | Path, asked: Mapping[str, Any], display: Display | None = None) -> Result:
    """Resumes the search in `out`, which gives what it would have given undisturbed.

    `asked` are fields of `Experiment` that the caller names again; one that differs is E726, and so
    are other data or another space under the same name.
    """
    parts = ("space", "data", "seed", "settings", "method")
    return resumed(Path(out), "search", asked, build, parts, _run, display)


def _placed(experiment: Experiment) -> Experiment:
    """The experiment with a path of data that holds wherever it is resumed."""
    return experiment.having({"data": absolute(experiment.data or DATA_SET)})


def _run(built: BuiltSearch, folder: RunFolder, shown: Display) -> Result:
    run = Run(folder, shown, built.experiment.run.steps)
    genotype = guarded(
        run,
        built.experiment.seed,
        built.place,
        lambda: _searched(run, built),
        built.settings.train.batch,
        ("--batch ", "--memory states keeps less"),
    )
    return Result(genotype, run.row, folder.path, built.plan)


def _searched(run: Run, built: BuiltSearch) -> Genotype:
    """The genotype at the end of the search, or of the rest of it; writes `genotype.json` last."""
    genotype = _trained(run, built) if built.settings.stages else _drawn(built)
    genotype = replace(genotype, name=f"{built.method.name}_{built.experiment.seed}")
    run.folder.write_genotype(nasir.dump_genotype(genotype), None)
    return genotype


def _drawn(built: BuiltSearch) -> Genotype:
    return nasir.sample(built.space, built.experiment.seed)


def _trained(run: Run, built: BuiltSearch) -> Genotype:
    """The genotype that a trained supernet gives."""
    method, settings, search = built.method, built.settings, built.search
    assert built.supernet is not None, "what trains has a supernet"
    run.display.say(built.plan.words)
    graph = stage_graph(built.supernet, method, settings.stages[0], {}, built.space)
    learner = Supernet(built, graph, run.display.say)
    record, stop = ArchitectureRecord(learner), method.stop and Eigenvalue(learner, method.stop)
    hooks: list[Hook] = [Stages(learner, built.supernet), Projections(learner)]
    hooks.append(Architecture(learner))
    if settings.train.drop_path:
        hooks.append(DropPath(learner, lambda at: settings.train.drop_path * at.progress))
    hooks += [
        Mixed(learner),
        Validated(learner, search.measure),
        *([stop] if stop else ()),
        record,
    ]
    run.start(learner, hooks)
    epochs = search_epochs(
        settings,
        method.select.tuning(learner),
        restarts=search.as_published,
        seed=built.experiment.seed,
    )
    run.fit(epochs)
    if stop is not None and stop.stopped is not None:
        return nasir.load_genotype(record.genotypes[stop.stopped])
    return method.select.genotype(learner, replace(epochs[-1].at, purpose="selection"))

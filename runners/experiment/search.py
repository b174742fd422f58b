"""A search in a run directory: its learner, its hooks, its loop, and the genotype at its end."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import nasir
from nasir import Genotype
from runners.experiment.hooks import DropPath, Hook
from runners.experiment.run import Run
from runners.experiment.schedule import search_epochs
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

if TYPE_CHECKING:
    from runners.experiment.loop.build import BuiltSearch


@dataclass(frozen=True, slots=True)
class Found:
    """The result: a genotype, and the last epoch's measures."""

    genotype: Genotype
    row: dict[str, Any]


def search_in(run: Run, built: "BuiltSearch") -> Found:
    """Searches, or resumes, to the end; writes `genotype.json` last."""
    genotype = _trained(run, built) if built.settings.stages else _drawn(built)
    genotype = replace(genotype, name=f"{built.method.name}_{built.experiment.seed}")
    run.folder.write_genotype(nasir.dump_genotype(genotype), None)
    return Found(genotype, run.row)


def _drawn(built: "BuiltSearch") -> Genotype:
    return nasir.sample(built.space, built.experiment.seed)


def _trained(run: Run, built: "BuiltSearch") -> Genotype:
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

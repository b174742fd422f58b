"""Documents of run directories and of compilations."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nasir import Genotype, NasirError, Where, load_genotype
from nasir.errors import shortened
from runners.experiment.sizes import describe_size
from runners.folder.facts import SearchFacts, checked, damaged, flat, read_object
from runners.forms.compile import REPORT
from runners.plot.run import LONGEST, Metrics, NothingToDrawError, PlottedRun, read_run, slot_of
from runners.view.architecture import Document, genotype_facts


def runs_document(paths: Sequence[Path], benchmark: Path | None) -> Document:
    """Returns one run, or several to be shown side by side.

    `benchmark` has accuracies of the genotypes. Raises errors of reading runs and benchmark.
    """
    runs = [read_run(path) for path in paths]
    found = [_run(run, benchmark) for run in runs]
    title = found[0]["description"] if len(found) == 1 else f"{len(found)} runs"
    return {"kind": "run" if len(found) == 1 else "runs", "title": title, "runs": found}


def _run(run: PlottedRun, benchmark: Path | None) -> Document:
    if not run.metrics and not run.genotypes and run.final is None:
        raise NasirError("E721", "the run has no epoch yet", Where(str(run.path)))
    distinct: dict[Genotype, int] = {}
    at = {epoch: distinct.setdefault(g, len(distinct)) for epoch, g in run.genotypes.items()}
    final = run.final
    return {
        "name": shortened(run.path.resolve().name),
        "description": run.description or shortened(run.path.name, LONGEST),
        "facts": _facts(run),
        "metrics": [_row(row) for row in run.metrics],
        "choices": {name: list(options) for name, options in run.choices.items()},
        "slots": {name: _slot(name) for name in run.choices},
        "weights": {
            str(row.epoch): {
                name: [_short(weight) for weight in weights]
                for name, weights in row.weights.items()
            }
            for row in run.architecture
        },
        "genotypes": [genotype_facts(genotype) for genotype in distinct],
        "genotypeAt": at,
        "final": None if final is None else genotype_facts(final),
        "truth": None if benchmark is None else _truth(run, benchmark),
    }


def _facts(run: PlottedRun) -> Document:
    """Settings by path, as text; those that other commands need are left out."""
    if run.facts is None:
        return {}
    model = run.facts
    facts = {"kind": model.kind, "space": model.space.name, "data": model.data.text}
    if isinstance(model, SearchFacts):
        facts |= {"method": model.method.name}
    else:
        facts |= {"genotype": shortened(model.genotype.name)}
    facts |= {"seed": str(model.seed)}
    settings = dict(flat(model.experiment, "."))
    return facts | {
        name: shortened(str(value))
        for name, value in settings.items()
        if value is not None and name != "of"
    }


def _slot(name: str) -> Document:
    slot = slot_of(name)
    return {"kind": slot.kind, "role": slot.role, "node": slot.node, "source": slot.source}


def _row(row: Metrics) -> Document:
    splits = {
        split: {name: _short(value) for name, value in getattr(row, split).items()}
        for split in ("train", "valid", "test")
    }
    entropy = {name: _short(value) for name, value in row.entropy.items()}
    return {
        "epoch": row.epoch,
        "stage": row.stage,
        "phase": shortened(row.phase),
        "lr": _short(row.lr),
        **splits,
        "eigenvalue": _short(row.eigenvalue),
        "entropy": entropy,
        "skips": row.skips,
    }


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _truth(run: PlottedRun, benchmark: Path) -> Document:
    """True accuracies of the epochs' genotypes, and the range of those drawn by the weights."""
    from runners.plot.truth import look_up

    try:
        found = look_up(run, benchmark)
    except NothingToDrawError as error:
        raise NasirError("E721", str(error), Where(str(run.path))) from None
    return {
        "title": shortened(found.title),
        "accuracy": {str(epoch): _short(value) for epoch, value in found.chosen.items()},
        "bands": {str(epoch): [_short(x) for x in band] for epoch, band in found.bands.items()},
        "best": _short(found.best.accuracy),
    }


class _PassRow(BaseModel):
    name: str
    before: int
    after: int
    changed: bool
    seconds: float


class _Named(BaseModel):
    seconds: float


class _Latency(_Named):
    lowest: float


class _Stage(_Named):
    name: str


class _Difference(BaseModel):
    difference: float
    magnitude: float


class _Accuracy(BaseModel):
    measures: dict[str, float]
    count: int
    split: str


class _FormRow(BaseModel):
    form: str
    difference: _Difference | None
    latency: _Latency | None
    accuracy: _Accuracy | None
    note: str


class _Report(BaseModel):
    """The fields of `report.json` that the page shows."""

    nasir: str
    genotype: str
    name: str
    size: dict[str, str | int]
    weights: str
    seed: int
    batch: int
    passes: list[_PassRow]
    stages: list[_Stage]
    forms: list[_FormRow]
    machine: dict[str, Any]
    cost: dict[str, Any]
    target: str
    files: list[str]


def compilation_document(folder: Path) -> Document:
    """Returns a compilation from its report. Raises an error for a damaged one."""
    file = folder / REPORT
    facts = read_object(file)
    if facts is None:
        hint = f"`nasir compile GENOTYPE -o DIR` writes {REPORT}"
        raise NasirError("E721", "the folder has no compilation", Where(str(folder)), hint)
    report = checked(folder, _Report, facts, Where(str(file)))
    try:
        genotype = load_genotype(report.genotype)
    except NasirError as error:
        raise damaged(folder, f"its genotype: {error.message}", Where(str(file))) from None
    return {
        **report.model_dump(exclude={"genotype"}),
        "kind": "compilation",
        "title": shortened(report.name),
        "size": describe_size(report.size),
        "genotype": genotype_facts(genotype),
        "files": [Path(name).name for name in report.files],
    }

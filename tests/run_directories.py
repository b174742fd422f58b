"""Run directories as `nasir search` leaves them, made by formulas: every number has its place."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import nasir
from runners.folder.facts import FORMAT


@dataclass(frozen=True)
class Course:
    """How a made-up run goes. Epochs from `projection` on are of that phase."""

    space: str
    epochs: int
    stages: tuple[int, ...] = ()
    projection: int | None = None
    eigenvalues: bool = False
    prune: bool = False
    metric: str = "accuracy"
    data: str = "cifar10"
    method: str = "darts"


def write_run(path: Path, course: Course) -> Path:
    """Write the directory, with rows, genotypes, times and the final genotype."""
    (path / "genotypes").mkdir(parents=True)
    choices = {each.name: list(each.options) for each in nasir.supernet(course.space).choices}
    space, random = nasir.load_space(course.space), Random(7)
    write_facts(
        path,
        course.space,
        method={"name": course.method},
        data={"text": course.data, "fingerprint": "0" * 64},
        metric=course.metric,
        choices=choices,
    )
    pull = {name: [random.gauss(0, 1) for _ in row] for name, row in choices.items()}
    genotype = nasir.sample(space, random)
    for epoch in range(course.epochs):
        weights = {name: _weights(course, row, epoch) for name, row in pull.items()}
        append(path / "architecture.jsonl", {"epoch": epoch, "weights": weights})
        append(path / "metrics.jsonl", metrics(course, epoch, weights))
        append(path / "times.jsonl", {"epoch": epoch, "seconds": 1.5, "steps": 10})
        if epoch % 2:
            genotype = nasir.mutate(space, genotype, random)
        write_genotype(path / "genotypes" / f"{epoch:04d}.json", genotype)
    write_genotype(path / "genotype.json", genotype)
    return path


def write_facts(path: Path, space: str, **changes: object) -> None:
    """The `run.json` of a search, with these fields of its own."""
    facts: dict[str, object] = {
        "nasir": nasir.__version__,
        "format": FORMAT,
        "kind": "search",
        "machine": {},
        "experiment": {},
        "method": {"name": "darts"},
        "space": {"name": space, "hash": "0" * 64},
        "data": {"text": "cifar10", "fingerprint": "0" * 64},
        "seed": 3,
        "settings": {"network": {}},
        "metric": "accuracy",
        "choices": {},
    }
    (path / "run.json").write_text(json.dumps(facts | changes))


def metrics(course: Course, epoch: int, weights: Mapping[str, list[float]]) -> dict[str, object]:
    """The row of an epoch."""
    part = (epoch + 1) / course.epochs
    kinds = dict.fromkeys(name.rpartition("/")[0] for name in weights)
    row: dict[str, object] = {
        "epoch": epoch,
        "stage": sum(epoch >= start for start in course.stages),
        "phase": "search",
        "lr": 0.0125 * (1 + math.cos(math.pi * part)),
        "train": _scores(course, 2.2 - 1.6 * part**0.5),
        "valid": _scores(course, 2.25 - 1.3 * part**0.5 + 0.03 * math.sin(2.1 * epoch)),
        "entropy": {name: _entropy(each) for name, each in weights.items()},
        "skips": {kind: (epoch + place) // 3 % 5 for place, kind in enumerate(kinds)},
    }
    if course.projection is not None and epoch >= course.projection:
        row["phase"] = "projection"
    if course.eigenvalues and epoch % 2:
        row["eigenvalue"] = 0.2 + 0.9 * part**3 + 0.02 * math.sin(5.0 * epoch)
    return row


def write_genotype(file: Path, genotype: nasir.Genotype) -> None:
    """The genotype in nasir's own format."""
    file.write_text(nasir.dump_genotype(genotype, "nasir"))


def append(file: Path, row: Mapping[str, object]) -> None:
    """A row at the end of a file of rows."""
    with file.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def _scores(course: Course, loss: float) -> dict[str, float]:
    if course.metric == "perplexity":
        return {"loss": 2.3 * loss, "perplexity": math.exp(2.3 * loss)}
    return {"loss": loss, "accuracy": 100 * math.exp(-loss)}


def _weights(course: Course, pull: list[float], epoch: int) -> list[float]:
    """Weights that move from equal ones towards `pull`; half are pruned where the course says."""
    part = epoch / max(1, course.epochs - 1)
    live = sorted(pull)[len(pull) // 2 :] if course.prune and part >= 0.5 else pull
    heights = [math.exp(2.5 * part * each) * (each in live) for each in pull]
    return [height / sum(heights) for height in heights]


def _entropy(weights: list[float]) -> float:
    return -sum(weight * math.log(weight) for weight in weights if weight > 0)

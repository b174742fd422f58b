"""What lies in a run directory, read as far as it goes: a run may be unfinished or resumed."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nasir import Genotype, NasirError, Where, load_genotype, load_genotypes
from nasir.errors import quoted
from runners.folder.facts import checked, read_facts

Number = float | None
"""A number as rows have it; null stands for one that is not finite."""

Split = Literal["train", "valid", "test"]

SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PlottedNamed(_Read):
    """A part of the run's facts that has a name."""

    name: str = ""


class PlottedData(_Read):
    """What the run learnt from, as it was named on the command line."""

    text: str = ""


class Facts(_Read):
    """`run.json`, as far as figures need it."""

    method: PlottedNamed = PlottedNamed()
    genotype: PlottedNamed = PlottedNamed()
    recipe: PlottedNamed = PlottedNamed()
    space: PlottedNamed = PlottedNamed()
    data: PlottedData = PlottedData()
    seed: int | None = None
    metric: str = "accuracy"
    choices: dict[str, tuple[str, ...]] = Field(default_factory=dict[str, tuple[str, ...]])
    genotype_space: str | None = None


class Metrics(_Read):
    """A row of `metrics.jsonl`: an epoch. Losses and entropies in nats, accuracies in percent."""

    epoch: int = Field(ge=0)
    stage: int = 0
    phase: str = "search"
    rate: Number = None
    train: dict[str, Number] = Field(default_factory=dict[str, Number])
    valid: dict[str, Number] = Field(default_factory=dict[str, Number])
    test: dict[str, Number] = Field(default_factory=dict[str, Number])
    eigenvalue: Number = None
    entropy: dict[str, Number] = Field(default_factory=dict[str, Number])
    skips: dict[str, int] = Field(default_factory=dict[str, int])

    def score(self, split: Split, name: str) -> float:
        """What the epoch reached on a split, NaN where nobody measured."""
        scores = {"train": self.train, "valid": self.valid, "test": self.test}[split]
        return plain(scores.get(name))


class ArchitectureRow(_Read):
    """A row of `architecture.jsonl`: the weight of every option of every choice in an epoch."""

    epoch: int = Field(ge=0)
    weights: dict[str, tuple[Number, ...]]


Row = TypeVar("Row", Metrics, ArchitectureRow)


@dataclass(frozen=True)
class PlottedRun:
    """A run directory. Rows are in the order of epochs, and each epoch has one: its last.

    `logged` are the genotypes of another program's log, by number, in place of a run's files.
    """

    path: Path
    facts: Facts
    metrics: tuple[Metrics, ...] = ()
    architecture: tuple[ArchitectureRow, ...] = ()
    logged: Mapping[int, Genotype] | None = None

    @cached_property
    def genotypes(self) -> Mapping[int, Genotype]:
        """The genotype of each epoch that has one. Raises what reading them raises."""
        if self.logged is not None:
            return self.logged
        files = sorted((self.path / "genotypes").glob("*.json"))
        numbered = [(int(file.stem), file) for file in files if file.stem.isdecimal()]
        return {epoch: load_genotype(file) for epoch, file in sorted(numbered)}

    @cached_property
    def final(self) -> Genotype | None:
        """The genotype that the run ended with; None while it has not. Raises as above."""
        file = self.path / "genotype.json"
        if self.logged is not None:
            return None
        return load_genotype(file) if file.exists() else None

    @property
    def description(self) -> str:
        """Method and space, or genotype and recipe, then data and seed, on one line."""
        facts = self.facts
        seed = "" if facts.seed is None else f"seed {facts.seed}"
        data = Path(facts.data.text).name if "/" in facts.data.text else facts.data.text
        about = (facts.method.name, facts.space.name)
        if facts.genotype.name:
            about = (facts.genotype.name, f"recipe {facts.recipe.name}")
        return ", ".join(part for part in (*about, data, seed) if part)

    def weights(self, choice: str) -> list[tuple[float, ...]]:
        """The weights of a choice's options, a row for each row of `architecture`."""
        options = len(self.facts.choices[choice])
        missing = (math.nan,) * options
        rows = [row.weights.get(choice) for row in self.architecture]
        return [missing if row is None else tuple(map(plain, row)) for row in rows]


def read_run(path: Path) -> PlottedRun:
    """The run in a directory, or the genotypes of a log where they change.

    A last line that was cut off while it was written is left out. Raises E721 (not a run
    directory), E722 (one of its files is damaged).
    """
    if path.is_file():
        return PlottedRun(path, Facts(), logged=_changes(load_genotypes(path)))
    facts = checked(path, Facts, read_facts(path))
    run = PlottedRun(
        path,
        facts,
        _rows(Metrics, path / "metrics.jsonl"),
        _rows(ArchitectureRow, path / "architecture.jsonl"),
    )
    _check_weights(run)
    return run


def _changes(genotypes: Mapping[str, Genotype]) -> dict[int, Genotype]:
    """The genotypes that differ from the one before, by number."""
    found: dict[int, Genotype] = {}
    before: Genotype | None = None
    for number, genotype in enumerate(genotypes.values()):
        if genotype != before:
            found[number] = before = genotype
    return found


def plain(value: Number) -> float:
    """The number, NaN for none."""
    return math.nan if value is None else value


def _rows(model: type[Row], file: Path) -> tuple[Row, ...]:
    """The rows of a file by epoch; where an epoch repeats, after a resume, the last one holds."""
    if not file.exists():
        return ()
    lines = _text(file).split("\n")
    by_epoch: dict[int, Row] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _parsed(model, line, Where(str(file), number))
        except NasirError:
            if number == len(lines):  # no line break follows: the run writes it, or was killed
                break
            raise
        by_epoch[row.epoch] = row
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))


Model = TypeVar("Model", bound=_Read)


def _parsed(model: type[Model], text: str, where: Where) -> Model:
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = f"{f'{quoted(place)}: ' if place else ''}{first['msg']}"
    except (ValueError, RecursionError) as error:
        message = f"it is no JSON: {error}"
    raise _damaged(message, where)


def _check_weights(run: PlottedRun) -> None:
    """Raises E722 unless each row has one weight for each option of a choice that there is."""
    file = str(run.path / "architecture.jsonl")
    for row in run.architecture:
        for choice, weights in row.weights.items():
            options: Sequence[str] | None = run.facts.choices.get(choice)
            # Older runs do not name the choices of edges.
            if options is not None and len(weights) != len(options):
                count = f"{len(weights)} weights for {len(options)} options"
                message = f"epoch {row.epoch} has {count} of {quoted(choice)}"
                raise _damaged(message, Where(file))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise _damaged(f"it cannot be read: {reason}", Where(str(file))) from error


def _damaged(message: str, where: Where) -> NasirError:
    hint = "put a copy of the file back, or start the run again in another folder"
    return NasirError("E722", f"the run's file is damaged: {message}", where, hint)

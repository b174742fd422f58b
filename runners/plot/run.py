"""A run directory for plotting, perhaps unfinished or resumed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from nasir import Genotype, Where, load_genotype, load_genotypes
from nasir.errors import quoted, shortened
from nasir.node import ChoiceKind, Slot
from runners.folder.facts import (
    SearchFacts,
    TrainingFacts,
    checked,
    damaged,
    facts_in,
    read_object,
)
from runners.folder.logs import read_rows

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number in a row; null (not finite) becomes NaN."""

Split = Literal["train", "valid", "test"]

SPLITS: tuple[Split, ...] = ("train", "valid", "test")

LONGEST = 200
"""Maximum length of a heading in characters."""


class NothingToDrawError(Exception):
    """A run lacks the content of a figure; the message names it."""


class Metrics(BaseModel, frozen=True):
    """A row of `metrics.jsonl`: an epoch, or a query of a search without a supernet.

    Losses and entropies in nats, accuracies in percent.
    """

    epoch: int = Field(ge=0)
    stage: int = 0
    phase: str = "search"
    lr: Number = math.nan
    train: dict[str, Number] = {}
    valid: dict[str, Number] = {}
    test: dict[str, Number] = {}
    eigenvalue: Number = math.nan
    entropy: dict[str, Number] = {}
    skips: dict[str, int] = {}
    value: Number = math.nan
    best: Number = math.nan

    def score(self, split: Split, name: str) -> float:
        """Returns the measure of a split; NaN if missing."""
        measures: Mapping[str, float] = getattr(self, split)
        return measures.get(name, math.nan)


class ArchitectureRow(BaseModel, frozen=True):
    """A row of `architecture.jsonl`: the weight of each option of each choice in an epoch."""

    epoch: int = Field(ge=0)
    weights: dict[str, tuple[Number, ...]]


class Confusion(BaseModel, frozen=True):
    """`confusion.json`: counts by true class (rows) and predicted class, in `split`."""

    split: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @model_validator(mode="after")
    def _square(self) -> "Confusion":
        size = len(self.classes)
        if len(self.counts) != size or any(len(row) != size for row in self.counts):
            raise ValueError(f"the counts are no {size} rows of {size}")
        return self


@dataclass(frozen=True)
class PlottedRun:
    """A run directory, with one row per epoch, in order.

    `logged` has the genotypes of another program's log, by number, instead of a run's files; a log
    has no facts. `benchmark` is a store or file with accuracies of its genotypes.
    """

    path: Path
    facts: SearchFacts | TrainingFacts | None = None
    metrics: tuple[Metrics, ...] = ()
    architecture: tuple[ArchitectureRow, ...] = ()
    logged: Mapping[int, Genotype] | None = None
    benchmark: Path | None = None

    @cached_property
    def genotypes(self) -> Mapping[int, Genotype]:
        """The genotypes by epoch. Raises errors of reading them."""
        if self.logged is not None:
            return self.logged
        files = sorted((self.path / "genotypes").glob("*.json"))
        numbered = [(int(file.stem), file) for file in files if file.stem.isdecimal()]
        return {epoch: load_genotype(file) for epoch, file in sorted(numbered)}

    @cached_property
    def final(self) -> Genotype | None:
        """The final genotype; None for an unfinished run. Raises errors of reading it."""
        file = self.path / "genotype.json"
        return load_genotype(file) if file.exists() else None

    @cached_property
    def confusion(self) -> Confusion | None:
        """The confusion matrix of a finished training. Raises an error for a damaged one."""
        file = self.path / "confusion.json"
        facts = read_object(file)
        if facts is None:
            return None
        return checked(self.path, Confusion, facts, Where(str(file)))

    @property
    def choices(self) -> Mapping[str, Sequence[str]]:
        """The options of each choice of a search's supernet."""
        return self.facts.choices if isinstance(self.facts, SearchFacts) else {}

    @property
    def description(self) -> str:
        """Method and space, or genotype and recipe, then data and seed, in a line."""
        facts = self.facts
        if facts is None:
            return ""
        data = Path(facts.data.text).name if "/" in facts.data.text else facts.data.text
        if isinstance(facts, SearchFacts):
            about = f"{facts.method.name}, {facts.space.name}"
        else:
            about = f"{facts.genotype.name}, recipe {facts.recipe.get('name', '')}"
        return shortened(f"{about}{data and f', {data}'}, seed {facts.seed}", LONGEST)

    def weights(self, choice: str) -> list[tuple[float, ...]]:
        """Returns the weights of a choice's options, a row for each row of `architecture`."""
        missing = (math.nan,) * len(self.choices[choice])
        return [row.weights.get(choice, missing) for row in self.architecture]

    @property
    def decided(self) -> list[str]:
        """The choices that have weights."""
        return [
            name
            for name in self.choices
            if any(math.isfinite(weight) for row in self.weights(name) for weight in row)
        ]


def read_run(path: Path) -> PlottedRun:
    """Reads the run in a directory, or a log's genotypes where they change.

    Skips an incomplete last line. Raises an error for other directories, or for damaged files.
    """
    if path.is_file():
        return PlottedRun(path, logged=_changes(load_genotypes(path)))
    architecture = _rows(path / "architecture.jsonl", ArchitectureRow)
    metrics = _rows(path / "metrics.jsonl", Metrics)
    run = PlottedRun(path, facts_in(path), metrics, architecture)
    for row in architecture:
        for choice, weights in row.weights.items():
            options = run.choices.get(choice, weights)  # older runs do not name choices of edges
            if len(weights) != len(options):
                count = f"{len(weights)} weights for {len(options)} options"
                message = f"epoch {row.epoch} has {count} of {quoted(choice)}"
                raise damaged(path, message, Where(str(path / "architecture.jsonl")))
    return run


def _changes(genotypes: Mapping[str, Genotype]) -> dict[int, Genotype]:
    """Returns the genotypes that differ from the previous one, by number."""
    found: dict[int, Genotype] = {}
    before: Genotype | None = None
    for number, genotype in enumerate(genotypes.values()):
        if genotype != before:
            found[number] = before = genotype
    return found


Row = TypeVar("Row", Metrics, ArchitectureRow)


def _rows(file: Path, model: type[Row]) -> tuple[Row, ...]:
    """Reads the rows of a file by epoch; of repeated epochs (after a resume) the last."""
    by_epoch: dict[int, Row] = {}
    for number, facts in enumerate(read_rows(file), start=1):
        row = checked(file.parent, model, facts, Where(str(file), number))
        by_epoch[row.epoch] = row
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))


def named(text: str) -> str:
    """Returns a name as the label of a line or tick; legends skip labels that start with _."""
    return shortened(f" {text}" if text.startswith("_") else text)


def kinds(names: Iterable[str]) -> dict[str, list[str]]:
    """Groups names of choices by kind of cell, in order."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(slot_of(name).kind, []).append(name)
    return found


def slot_of(name: str, *roles: ChoiceKind) -> Slot:
    """The address of a choice; a name that has none is taken for an output's."""
    try:
        return Slot.parse(name, *roles)
    except ValueError:
        return Slot("", "output")


def cell_title(kind: str) -> str:
    """Returns the title of a kind of cell in a figure."""
    return named(f"{kind} cell") if kind not in ("", "cell") else "cell"

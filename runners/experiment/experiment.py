"""Searches and evaluations as values: from commands and files, and in `run.json`."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, StrictBool, model_validator

import nasir
from nasir import NasirError
from nasir.document import check_version, parse_document
from nasir.errors import quoted
from nasir.files import read_source
from nasir.passes import MemoryLevel
from runners.experiment.fields import (
    SUFFIXES,
    AnyCount,
    Count,
    FieldError,
    Limit,
    Model,
    Repeats,
    Seed,
    Share,
    merged,
)
from runners.folder.facts import damaged, flat

Facts = dict[str, Any]

KINDS = (
    *("mixture", "edges", "perturb", "architect", "regularise", "select", "stop"),
    *("ask", "value"),
)
"""The kinds of parts, in the order of `Search`'s fields."""


class Search(Model):
    """The method of a search, overrides of its parts, and data options."""

    code: ClassVar[str] = "E505"

    method: str = "darts"
    """A method (`nasir methods`), or a YAML file."""
    mixture: str | None = None
    """softmax, dirichlet, gumbel, hard-gumbel, uniform, controller."""
    edges: str | None = None
    """none, softmax, uniform or controller: weigh edges."""
    perturb: str | None = None
    """none, noise or pgd."""
    architect: str | None = None
    """first, second, frozen or reinforce."""
    regularise: str | None = None
    """l2, kl or beta."""
    select: str | None = None
    """argmax, projection, best-of or draw."""
    stop: str | None = None
    """none or eigenvalue."""
    ask: str | None = None
    """random, evolution, local, predictor, halving or pareto."""
    value: str | None = None
    """table:FILE, recipe:NAME, proxy:NAME, supernet:RUN."""
    queries: Count | None = None
    """Values asked for; 150."""
    together: Count | None = None
    """Genotypes that an asker chooses before their values are known."""
    channels_fraction: str | None = None
    """Share of the channels that ops process, 1/K."""
    interval: Repeats | None = None
    """Epochs between projections; 5."""
    candidates: Count | None = None
    """Architectures measured by best-of."""
    batches: AnyCount | None = None
    """Held-out batches for selection; 0 for all."""
    split: Share = 0.5
    """Share of the training data for the weights."""
    shuffled: StrictBool = False
    """Split by the seed, not in file order."""
    measure: Literal["each", "last"] = "each"
    """Measure held-out data after each epoch, or the last."""
    as_published: StrictBool = False
    """Keep known defects of the published code."""

    @property
    def parts(self) -> dict[str, str]:
        """The parts that replace the method's, by kind."""
        found = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: name for kind, name in found.items() if name is not None}


class RunOptions(Model):
    """Device, precision, memory and limits of a run."""

    code: ClassVar[str] = "E505"

    device: str = "cpu"
    """cpu, cuda, cuda:1."""
    precision: str | None = None
    """float32 or bf16."""
    deterministic: StrictBool = False
    """Bitwise reproducible on a GPU too."""
    sync_batch_norm: StrictBool = False
    """Batch norms over all processes (torchrun)."""
    workers: AnyCount = 0
    """Processes that decode ImageNet's images ahead."""
    memory: MemoryLevel = "none"
    """none, cells or states: recomputed in a search's backward pass."""
    limit: Limit | None = None
    """Maximum number of images (tokens) per split."""
    steps: Limit | None = None
    """Maximum number of steps per epoch."""
    track: str = "tensorboard"
    """tensorboard, csv, mlflow, wandb: several with commas, or none."""


class Experiment(Model):
    """A search (`search` is set) or an evaluation.

    `values` override the recipe's or the method's settings, by name (`train.batch`) or by section
    (`train: {batch: 64}`). `recipe` may be a mapping of a recipe's `name` and such sections.
    """

    code: ClassVar[str] = "E505"

    of: str
    """The space of a search; the genotype of an evaluation: a name, a file, a text, or a run."""
    recipe: str | None = None
    """A recipe (`nasir recipes`), or a YAML file; cifar10."""
    search: Search | None = None
    data: str | None = None
    """digits, cifar10:PATH, imagefolder:PATH, FILE.npz, text:PATH, …"""
    seed: Seed = 0
    """Seed of all random numbers."""
    values: dict[str, bool | int | float | str] = Field(default_factory=dict)
    space: str | None = None
    """The genotype's space: a name or a YAML file; by default, the space that the genotype names.
    """
    inherit: str | None = None
    """Start from the weights of this search."""
    weights: str | None = None
    """Start from these weights, or those of a run."""
    without_head: StrictBool = False
    """Leave the head out of the weights: for other classes."""
    run: RunOptions = RunOptions()

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, given: Any) -> Any:
        """Splits `recipe: {name: cifar10, train: {batch: 64}}` into a name and values."""
        if not isinstance(given, dict):
            return given
        found: Facts = dict(cast("Facts", given))
        values: Any = found.get("values", {})
        if isinstance(values, dict):
            values = dict(flat(cast("Facts", values), "."))
            if isinstance(found.get("recipe"), dict):
                sections = dict(cast("Facts", found["recipe"]))
                found["recipe"] = sections.pop("name", None)
                values = {**dict(flat(sections, ".")), **values}
            for name, value in values.items():
                if not isinstance(value, bool | int | float | str):
                    message = f"{quoted(name)} must be a number, a word, true or false"
                    raise FieldError("E505", message, path=("values", name))
            found["values"] = values
        return found

    @property
    def searching(self) -> Search:
        """`search`. Raises an error for an evaluation."""
        if self.search is None:
            hint = "`search` names a method; nasir evaluate runs evaluations"
            raise NasirError("E505", "the experiment is not a search", hint=hint)
        return self.search

    def facts(self) -> dict[str, Any]:
        """Returns plain data."""
        return self.model_dump(mode="json")


OBJECTS = "objects"
"""The extension with the objects of a run, and the name of each."""


@contextmanager
def with_objects(**given: Any) -> Generator[dict[str, Any]]:
    """Yields the given fields of an experiment, with names instead of objects.

    Within the context the objects have these names: `method` and `recipe` (or what would be in
    their files), and `data`, a task's maker such as `DataTask`. Values that are names already are
    kept, None is left out.
    """
    rows: Any = {}
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if name in _OBJECTS and value is not None and not isinstance(value, str):
            made: Any = partial(_of_any, value) if name == "data" else value
            rows[_OBJECTS[name]] = {OBJECTS: made}
            value = OBJECTS
        if value is not None:
            fields[name] = value
    if "method" in fields:
        fields = merged(fields, {"search": {"method": fields.pop("method")}})
    with nasir.use(*((nasir.Extension(name=OBJECTS, **rows),) if rows else ())):
        yield fields


def _of_any(made: Any, argument: str) -> Any:
    del argument
    return made


_OBJECTS = {"method": "methods", "recipe": "recipes", "data": "tasks"}


def experiment_in(path: Path, facts: Mapping[str, Any]) -> Experiment:
    """Returns the experiment of a run's facts. Raises an error for a wrong field."""
    try:
        return Experiment(**facts["experiment"])
    except NasirError as error:
        raise damaged(path, error.message) from None


def read_experiment(text: str) -> Experiment | None:
    """Returns the experiment of a YAML or JSON file; None for other files, which have no `of`.

    Raises an error with its place (E1xx for the file).
    """
    if not text.endswith(SUFFIXES) or not Path(text).is_file():
        return None
    root = parse_document(read_source(Path(text))).root
    if not isinstance(root.value, dict) or "of" not in root.value:
        return None
    check_version(root, "an experiment")
    given: Any = {name: value for name, value in root.value.items() if name != "nasir"}
    try:
        return Experiment(**given)
    except FieldError as error:
        names = ".".join(map(str, error.path[1:])).split(".")
        ways = (error.path, ("values", *names), ("recipe", *names))
        known = root.document.places.values
        raise error.at(root.place(*next((way for way in ways if way in known), ways[0]))) from None

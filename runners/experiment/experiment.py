"""A search or an evaluation as one value: what a command and a file say, and `run.json` keeps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from pydantic import Field, StrictBool, model_validator

from nasir import NasirError
from nasir.document import check_version, parse_document
from nasir.errors import quoted
from nasir.passes import MemoryLevel
from nasir.source import read_source
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
)
from runners.folder.facts import damaged, flat

Facts = dict[str, Any]

KINDS = ("mixture", "edges", "perturb", "architect", "regularise", "select", "stop")
"""The kinds of parts, as `Search` names them."""


class Search(Model):
    """What makes an experiment a search: a method, and other parts than the method's own."""

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
    channels_fraction: str | None = None
    """Ops see this share of the channels, 1/K."""
    interval: Repeats | None = None
    """Epochs between projections; 5."""
    candidates: Count | None = None
    """Architectures that best-of measures."""
    batches: AnyCount | None = None
    """Held-out batches that selection measures on; 0 for all."""
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
    """How it runs, and on how much."""

    code: ClassVar[str] = "E505"

    device: str = "cpu"
    """cpu, cuda, cuda:1."""
    precision: str | None = None
    """float32 or bf16."""
    deterministic: StrictBool = False
    """Repeat to the bit on a GPU too."""
    memory: MemoryLevel = "none"
    """none, cells or states: what a search's backward pass computes again."""
    limit: Limit | None = None
    """At most so many images (tokens) of each part."""
    steps: Limit | None = None
    """End each epoch after so many steps."""


class Experiment(Model):
    """What a search (`search` is set) or an evaluation is asked for.

    `values` are those of the recipe, or of the method's settings, that are replaced, by name
    (`train.batch`) or by section (`train: {batch: 64}`). A mapping as `recipe` has a recipe's
    `name` and such sections.
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
    """Of all random numbers."""
    values: dict[str, bool | int | float | str] = Field(default_factory=dict)
    space: str | None = None
    """The genotype's space: a name or a YAML file; the one it names by default."""
    inherit: str | None = None
    """Begin with the weights of that search."""
    weights: str | None = None
    """Begin with these weights, or those of a run."""
    run: RunOptions = RunOptions()

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, given: Any) -> Any:
        """`recipe: {name: cifar10, train: {batch: 64}}` as a name and values."""
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
                    message = f"{quoted(name)} has to be a number, a word, true or false"
                    raise FieldError("E505", message, path=("values", name))
            found["values"] = values
        return found

    @property
    def searching(self) -> Search:
        """`search`. Raises an error for an evaluation."""
        if self.search is None:
            hint = "`search` names a method; nasir evaluate runs evaluations"
            raise NasirError("E505", "the experiment is no search", hint=hint)
        return self.search

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return self.model_dump(mode="json")


def experiment_in(path: Path, facts: Mapping[str, Any]) -> Experiment:
    """The experiment of a run's facts. Raises an error where a field of it is wrong."""
    try:
        return Experiment(**facts["experiment"])
    except NasirError as error:
        raise damaged(path, error.message) from None


def read_experiment(text: str) -> Experiment | None:
    """The experiment of a YAML or JSON file; None for a file of something else, which has no `of`.

    Raises E1xx, an error with the place.
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

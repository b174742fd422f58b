"""A search or an evaluation as one value: what a command and a file say, and `run.json` keeps."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, cast, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from nasir import NasirError
from nasir.document import Cursor, check_version, parse_document
from nasir.errors import nearest, quoted
from nasir.passes import MemoryLevel
from nasir.source import read_source
from runners.experiment.fields import (
    SUFFIXES,
    AnyCount,
    Count,
    Limit,
    Repeats,
    Seed,
    Share,
    code_for,
    fault,
)
from runners.folder.facts import damaged

Facts = dict[str, Any]

KINDS = ("mixture", "edges", "perturb", "architect", "regularise", "select", "stop")
"""The kinds of parts, as `Search` names them."""


_NAMES = {"Experiment": "an experiment", "Search": "`search`", "RunOptions": "`run`"}


class FieldError(NasirError):
    """A wrong field of a model, with its path there."""

    def __init__(self, kind: type[BaseModel], error: ValidationError) -> None:
        first = error.errors(include_url=False)[0]
        self.kind, self.path = kind, tuple(map(str, first["loc"]))
        name, hint = self.path[0] if self.path else "", ""
        if first["type"] == "extra_forbidden":
            code, message = "E109", f"an experiment has no field {quoted(name)}"
            hint = nearest(name, kind.model_fields)
        elif not self.path:
            code, message = "E109", f"{_NAMES[kind.__name__]} must be a mapping"
        elif first["type"] == "missing":
            code, message = "E109", f"the field '{name}' is missing"
        elif name == "values":
            code = "E753"
            message = f"{quoted('.'.join(self.path[:2]))} has to be a number, a word, true or false"
        else:
            wrong = fault(error, get_type_hints(kind, include_extras=True))
            code, message = code_for(wrong, "E743" if kind is Search else "E753"), str(wrong)
        super().__init__(code, message, hint=hint)


class Model(BaseModel):
    """A frozen, strict model. Raises FieldError (E107, E109, E743, E753) for what is wrong."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="wrap")
    @classmethod
    def _located(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(given)
        except ValidationError as error:
            raise FieldError(cls, error) from None


class Search(Model):
    """What makes an experiment a search: a method, and other parts than the method's own."""

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
    shuffled: bool = False
    """Split by the seed, not in file order."""
    measure: Literal["each", "last"] = "each"
    """Measure held-out data after each epoch, or the last."""
    as_published: bool = False
    """Keep known defects of the published code."""

    @property
    def parts(self) -> dict[str, str]:
        """The parts that replace the method's, by kind."""
        found = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: name for kind, name in found.items() if name is not None}


class RunOptions(Model):
    """How it runs, and on how much."""

    device: str = "cpu"
    """cpu, cuda, cuda:1."""
    precision: str | None = None
    """float32 or bf16."""
    deterministic: bool = False
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

    of: str
    """The space of a search; the genotype of an evaluation: a name, a file, a text, or a run."""
    recipe: str | None = None
    """A recipe (`nasir recipes`), or a YAML file; cifar10."""
    search: Search | None = Field(default=None, strict=False)
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
    run: RunOptions = Field(default_factory=RunOptions, strict=False)

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, given: Any) -> Any:
        """`recipe: {name: cifar10, train: {batch: 64}}` as a name and values."""
        if not isinstance(given, dict):
            return given
        found: Facts = dict(cast("Facts", given))
        values: Any = found.get("values", {})
        if isinstance(values, dict):
            values = dict(_flat_values(cast("Facts", values)))
            if isinstance(found.get("recipe"), dict):
                sections = dict(cast("Facts", found["recipe"]))
                found["recipe"] = sections.pop("name", None)
                values = {**dict(_flat_values(sections)), **values}
            found["values"] = values
        return found

    @property
    def searching(self) -> Search:
        """`search`. Raises E743 for an evaluation."""
        if self.search is None:
            hint = "`search` names a method; nasir evaluate runs evaluations"
            raise NasirError("E743", "the experiment is no search", hint=hint)
        return self.search

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return self.model_dump(mode="json")

    def having(self, asked: Mapping[str, Any]) -> "Experiment":
        """The experiment with other fields: a mapping changes those of a model that it names."""
        return Experiment.model_validate(merged(self.facts(), asked))


def _flat_values(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """`{train: {batch: 64}}` as `train.batch`."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", each) for key, each in cast("Facts", value).items())
        else:
            yield name, value


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`old` with the values of `new`; mappings are merged at every level."""
    found = dict(old)
    for name, value in new.items():
        before = found.get(name)
        both = isinstance(value, dict) and isinstance(before, dict)
        found[name] = merged(cast("Facts", before), cast("Facts", value)) if both else value
    return found


def experiment_in(path: Path, facts: Mapping[str, Any]) -> Experiment:
    """The experiment of a run's facts. Raises E722 where a field of it is wrong."""
    try:
        return Experiment.model_validate(facts["experiment"])
    except NasirError as error:
        raise damaged(path, error.message) from None


def read_experiment(text: str) -> Experiment | None:
    """The experiment of a YAML or JSON file; None for a file of something else, which has no `of`.

    Raises E1xx, E743 and E753 with the place.
    """
    if not text.endswith(SUFFIXES) or not Path(text).is_file():
        return None
    root = parse_document(read_source(Path(text))).root
    if not isinstance(root.value, dict) or "of" not in root.value:
        return None
    check_version(root, "an experiment")
    try:
        given: Any = {name: value for name, value in root.value.items() if name != "nasir"}
        return Experiment.model_validate(given)
    except FieldError as error:
        raise error.at(_place(root, error).where) from None


def _place(root: Cursor, error: FieldError) -> Cursor:
    """The innermost value of the document on the error's path; values may be in `recipe`, too."""
    outer = {"Search": "search", "RunOptions": "run"}.get(error.kind.__name__, "")
    names = [part for name in (outer, *error.path) for part in (name, *name.split("."))]
    ways: list[list[Cursor]] = []
    for start in (root, _entries(root).get("recipe", root)):
        ways.append([start])
        for name in names:
            if name in _entries(ways[-1][-1]):
                ways[-1].append(_entries(ways[-1][-1])[name])
    return max(ways, key=len)[-1]


def _entries(cursor: Cursor) -> Mapping[str, Cursor]:
    return cursor.entries("a field") if isinstance(cursor.value, dict) else {}

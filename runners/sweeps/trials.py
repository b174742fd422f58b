"""Sweep files: an experiment whose fields may be lists, and the trials that it expands to."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any, TypeVar, cast

from nasir import NasirError
from nasir.document import Cursor, check_version, parse_document
from nasir.errors import nearest, quoted
from nasir.files import read_source
from runners.experiment.experiment import Experiment, RunOptions, Search
from runners.experiment.fields import FieldError, Model, Number
from runners.folder.facts import FACTS, Kind, flat, has_ended
from runners.machine.cluster import extensions

MOST = 10_000
"""Maximum number of trials."""

_RANGE = re.compile(r"(\d{1,15})\.\.(\d{1,15})")
_EXTRA = ("nasir", "include", "exclude", "resources")

Path_ = tuple[str, ...]
"""A field of an experiment: `("search", "method")`, `("values", "train.epochs")`, `("seed",)`."""

Assignment = dict[Path_, Any]

Field = TypeVar("Field")


class Resources(Model):
    """CPUs and GPUs that a trial needs, for Ray; shares of a GPU are possible."""

    cpus: Number = 1
    gpus: Number = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """A run of a sweep. `folder` is its run directory, which may not exist yet."""

    name: str
    experiment: Experiment
    folder: Path

    @property
    def kind(self) -> Kind:
        """Whether it is a search or an evaluation."""
        return "evaluate" if self.experiment.search is None else "search"

    @property
    def started(self) -> bool:
        """Whether the run directory holds a run."""
        return (self.folder / FACTS).is_file()

    @property
    def done(self) -> bool:
        """Whether the run has ended: its last file is written."""
        return self.started and has_ended(self.folder, self.kind)

    @property
    def command(self) -> str:
        """The command that runs or resumes it, quoted for a shell."""
        words = ["nasir", *(word for name in extensions() for word in ("--use", name)), self.kind]
        if self.started:
            return shlex.join([*words, "--resume", str(self.folder)])
        words += [self.experiment.of, *_options(self.experiment)]
        return shlex.join([*words, "-o", str(self.folder)])


@dataclass(frozen=True, slots=True)
class Sweep:
    """The trials of a sweep in order, and what each needs."""

    trials: tuple[Trial, ...]
    resources: Resources


def read_sweep(path: Path, out: Path) -> Sweep:
    """Returns the sweep of a YAML or JSON file, with run directories in `out`.

    The fields are those of an experiment; fields of `search` and `run`, and settings such as
    `train.epochs`, may stand at the top, as on the command line. A list, or a range `0..4`, stands
    for each of its values, null for the default. Each entry of `include` is the sweep with other
    fields; trials with all fields of an entry of `exclude` are left out. Raises errors with their
    places.
    """
    root = parse_document(read_source(path)).root
    check_version(root, "a sweep")
    given = root.entries("a sweep")
    base = _fields({key: each.value for key, each in given.items() if key not in _EXTRA}, root)
    resources = _resources(given.get("resources"))
    entries = [(root, base)] + [
        (entry, base | _fields(cast("Any", entry.value), entry))
        for entry in _entries(given, "include")
    ]
    excluded = [_fields(cast("Any", entry.value), entry) for entry in _entries(given, "exclude")]
    searching = "search" in given
    found: list[tuple[Assignment, Experiment]] = []
    for cursor, fields in entries:
        for assignment in _expanded(fields, cursor):
            if any(_matches(assignment, each) for each in excluded):
                continue
            experiment = _experiment(assignment, cursor, searching=searching)
            if all(experiment != other for _, other in found):
                found.append((assignment, experiment))
    if not found:
        raise root.fault("E109", "the sweep has no trials", "`exclude` leaves none out of all")
    names = _names([assignment for assignment, _ in found])
    trials = tuple(
        Trial(name, experiment, out / name)
        for name, (_, experiment) in zip(names, found, strict=True)
    )
    return Sweep(trials, resources)


def _entries(given: Mapping[str, Cursor], name: str) -> list[Cursor]:
    """Returns the mappings in the list of a field, if any."""
    if name not in given:
        return []
    items = list(given[name].items(f"`{name}`"))
    for item in items:
        item.entries(f"an entry of `{name}`")
    return items


def _resources(cursor: Cursor | None) -> Resources:
    if cursor is None:
        return Resources()
    cursor.entries("`resources`")
    try:
        return Resources(**cast("Any", cursor.value))
    except FieldError as error:
        raise error.within(cursor) from None


def _fields(given: Mapping[str, Any], cursor: Cursor) -> Assignment:
    """Returns the fields of a mapping by their place in an experiment."""
    found: Assignment = {}
    for name, value in given.items():
        nested = isinstance(value, dict)
        inner = cast("dict[str, Any]", value) if nested else {}
        if nested and name in ("search", "run"):
            found |= {(name, key): each for key, each in inner.items()}
        elif nested and name in ("values", "recipe"):
            found |= {("values", key): each for key, each in flat(inner, ".")}
            if name == "recipe":
                found[name,] = found.pop(("values", "name"), None)
        else:
            found[_place(name, cursor)] = value
    return found


def _place(name: str, cursor: Cursor) -> Path_:
    """Returns the place of a field of any of an experiment's models, or of a setting."""
    if "." in name:
        return ("values", name)
    for path, model in (((), Experiment), (("search",), Search), (("run",), RunOptions)):
        if name in model.model_fields:
            return (*path, name)
    known = [*Experiment.model_fields, *Search.model_fields, *RunOptions.model_fields, *_EXTRA]
    message = f"unknown field {quoted(name)}"
    raise NasirError("E109", message, cursor.place(name), nearest(name, known))


def _alternatives(value: Any) -> Sequence[Any]:
    """Returns the values of a list or a range, or the value alone."""
    if isinstance(value, list):
        return [each for item in cast("list[Any]", value) for each in _alternatives(item)]
    ends = _RANGE.fullmatch(value) if isinstance(value, str) else None
    return range(int(ends[1]), int(ends[2]) + 1) if ends else [value]


def _expanded(fields: Assignment, cursor: Cursor) -> Iterator[Assignment]:
    """Yields every combination of the fields' values; the last field varies fastest."""
    axes = [_alternatives(value) for value in fields.values()]
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MOST:
        raise cursor.fault("E106", f"the sweep has {count:,} trials; at most {MOST:,} are possible")
    for values in islice(product(*axes), MOST):
        yield dict(zip(fields, values, strict=True))


def _matches(assignment: Assignment, pattern: Assignment) -> bool:
    return all(assignment.get(path) in _alternatives(each) for path, each in pattern.items())


def _experiment(assignment: Assignment, cursor: Cursor, *, searching: bool) -> Experiment:
    """Returns the experiment of an assignment. Raises an error with the field's place."""
    given: dict[str, Any] = {"search": {}} if searching else {}
    for (*outer, name), value in assignment.items():
        if value is not None:
            inner = given.setdefault(outer[0], {}) if outer else given
            inner[name] = value
    try:
        return Experiment(**given)
    except FieldError as error:
        names = tuple(each for each in error.path if isinstance(each, str))
        known = cursor.document.places.values
        ways = (names, names[-1:], ("search", *names), ("run", *names))
        place = next((way for way in ways if way and (*cursor.path, *way) in known), ())
        raise error.at(cursor.place(*place)) from None


def _names(assignments: Sequence[Assignment]) -> list[str]:
    """Returns a folder name for each trial: `darts-0`.

    It has the fields with several values, and those that some trials lack if trials need them.
    """
    known = [{p: v for p, v in each.items() if v is not None} for each in assignments]
    several, varied = (sorted(each, key=_rank) for each in differing(known))
    for shown in (several, varied):
        names = [_name(each, shown) for each in known]
        if len(set(names)) == len(names):
            return names
    return [f"{_name(each, varied)}-{number}" for number, each in enumerate(known)]


def _rank(path: Path_) -> tuple[bool, bool]:
    """The method comes first in a name, the seed last."""
    return path != ("search", "method"), path == ("seed",)


def differing(known: Sequence[Mapping[Field, object]]) -> tuple[list[Field], list[Field]]:
    """Returns the fields with several values, and also those that only some have.

    A name has the first; the second only where names would be equal without them.
    """
    names = list(dict.fromkeys(name for each in known for name in each))
    varied = [name for name in names if len({str(each.get(name)) for each in known}) > 1]
    several = [n for n in varied if len({str(each[n]) for each in known if n in each}) > 1]
    return several, varied


def _name(known: Assignment, shown: Sequence[Path_]) -> str:
    text = "-".join(_part(path, known[path]) for path in shown if path in known)
    return re.sub(r"[^\w.+=-]+", "_", text).strip(".")[:150] or "trial"


def _part(path: Path_, value: Any) -> str:
    short = str(value).lower() if isinstance(value, bool) else Path(str(value)).name
    bare = path in (("search", "method"), ("seed",), ("of",))
    return short if bare else f"{path[-1]}={short}"


def _options(experiment: Experiment) -> Iterator[str]:
    """Yields the options of `nasir search` or `nasir evaluate` that make the experiment."""
    facts = experiment.model_dump(mode="json", exclude_defaults=True)
    for section in (facts, facts.pop("search", None) or {}, facts.pop("run", {})):
        for name, value in section.items():
            option = f"--{name.replace('_', '-')}"
            if name == "values":
                for key, each in value.items():
                    text = str(each).lower() if isinstance(each, bool) else str(each)
                    yield from ("--set", f"{key}={text}")
            elif isinstance(value, bool):
                yield option
            elif name != "of":
                yield from (option, str(value))

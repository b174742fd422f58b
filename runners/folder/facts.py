"""The facts of a run (`run.json`): reading, validation, and comparison on resuming."""

import json
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from nasir import NasirError, Space, Where
from nasir.document import Json, read_json
from nasir.errors import json_text, quoted
from nasir.extension import in_use
from nasir.files import Source

FACTS = "run.json"

FORMAT = 2
"""The version of run.json's format; nasir 0.1 wrote none."""

Kind = Literal["search", "evaluate"]

DAMAGED_HINT = "restore the file, or start the run again in another folder"

_ABSENT = object()


class StrictFacts(BaseModel):
    """A part of the facts with strict types."""

    model_config = ConfigDict(strict=True)


class NamedFacts(StrictFacts):
    """The space, method or genotype of a run."""

    name: str


class DataFacts(StrictFacts):
    """The requested data, and its hash."""

    text: str
    fingerprint: str


class SettingsFacts(StrictFacts):
    """The supernet's sizes in a search's settings."""

    network: dict[str, int | None]


class RunFacts(StrictFacts):
    """The facts of every run."""

    kind: str
    machine: dict[str, JsonValue]
    space: NamedFacts
    data: DataFacts
    metric: str
    seed: Annotated[int, Field(ge=0)]
    experiment: dict[str, JsonValue]


class SearchFacts(RunFacts):
    """The facts of a search."""

    method: NamedFacts
    settings: SettingsFacts
    choices: dict[str, list[str]]


class TrainingFacts(RunFacts):
    """The facts of a training."""

    genotype: NamedFacts
    recipe: dict[str, JsonValue]
    size: dict[str, int | str]
    auxiliary: bool


_MODELS: Mapping[str, type[RunFacts]] = {"search": SearchFacts, "evaluate": TrainingFacts}


def read_facts(path: str | os.PathLike[str]) -> dict[str, Json]:
    """Reads the facts of a run, without its lock. Raises an error for no run or a damaged one."""
    file = Path(path) / FACTS
    facts = read_object(file)
    if facts is None:
        raise _no_run(Path(path))
    if "nasir" in facts and facts.get("format") != FORMAT:
        version = quoted(str(facts["nasir"]))
        message = f"the run was written by nasir {version}, which this version cannot read"
        raise NasirError("E721", message, Where(str(file)), "use that version, or start it again")
    return facts


def read_object(file: Path) -> dict[str, Json] | None:
    """Reads a JSON object of a run; None if the file is missing."""
    try:
        source = Source(str(file), file.read_bytes())
        facts = read_json(source)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise damaged(file.parent, f"it cannot be read: {error}", Where(str(file))) from None
    except NasirError as error:
        raise damaged(file.parent, error.message, error.where) from None
    if not isinstance(facts, dict):
        raise damaged(file.parent, "no mapping", source.at(0))
    return facts


def facts_of(path: Path, kind: Kind) -> dict[str, Any]:
    """Reads the facts of a run of that kind, with all required fields.

    Raises an error for a run of another kind, or for a missing or wrong field.
    """
    facts = read_facts(path)
    found = facts.get("kind")
    if isinstance(found, str) and found in _MODELS and found != kind:
        message = f"the folder is a run of '{found}', not of '{kind}'"
        raise NasirError("E721", message, Where(str(path)))
    checked(path, _MODELS[kind], facts)
    return cast("dict[str, Any]", facts)


def has_ended(path: Path, kind: str) -> bool:
    """Whether a run has written its last file."""
    return (path / ("genotype.json" if kind == "search" else "summary.json")).is_file()


def facts_in(path: Path) -> SearchFacts | TrainingFacts:
    """Reads the facts of a run of either kind. Raises an error as `facts_of` does."""
    facts = read_facts(path)
    model = TrainingFacts if facts.get("kind") == "evaluate" else SearchFacts
    return checked(path, model, facts)


Model = TypeVar("Model", bound=BaseModel)


def checked(
    path: Path, model: type[Model], facts: Mapping[str, Json], where: Where | None = None
) -> Model:
    """Validates facts, or a row, as a model. Raises an error that names the wrong field."""
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = f"{quoted('.'.join(map(str, first['loc'])))}: " if first["loc"] else ""
        raise damaged(path, f"{place}{first['msg']}", where) from None


def damaged(path: str | os.PathLike[str], reason: str, where: Where | None = None) -> NasirError:
    """Returns the error for damaged facts or another damaged file of a run."""
    place = where or Where(str(Path(path) / FACTS))
    message = f"{Path(place.file).name} is damaged: {reason[:1].lower()}{reason[1:]}"
    return NasirError("E604", message, place, DAMAGED_HINT)


def same_settings(old: Mapping[str, object], new: Mapping[str, object]) -> None:
    """Raises an error that lists settings with different values, nested ones by path.

    Values are compared as in JSON: a tuple equals a list, 1 equals 1.0, but not true.
    """
    differing = _differences(old, new)
    if differing:
        hint = "omit the options to keep the run's own, or start another run"
        raise NasirError("E726", f"the run has other settings: {differing}", hint=hint)


def require_extensions(path: Path, facts: Mapping[str, Any]) -> str:
    """Raises an error if an extension of the run is not in use, or in another version.

    Returns a warning if its code differs, else "".
    """
    now = {each.extension.name: each for each in in_use()}
    changed: list[str] = []
    for name, known in facts.get("extensions", {}).items():
        hint = f"--use, or nasir.use in Python, with the extension {quoted(name)}"
        if name == "objects":
            hint = "give the run's objects again, for example runners.resume(run, {}, data=task)"
        if name not in now:
            message = f"the run was made with the extension {quoted(name)}, which is not in use"
            raise NasirError("E726", message, Where(str(path)), hint)
        version = now[name].extension.version
        if version != known["version"]:
            message = f"the extension {quoted(name)} was {known['version']} and is {version}"
            raise NasirError("E726", message, Where(str(path)), "use that version")
        if known["digest"] and known["digest"] != now[name].digest:
            changed.append(name)
    names = ", ".join(map(quoted, changed))
    return f"the code of {names} has changed since the run started" * bool(changed)


def other_machine(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """Describes the differences between the machine that started a run and this one; "" if none.

    Not an error: a run resumes anywhere, but the last bits of sums may differ.
    """
    differing = _differences(old, new)
    return f"the run started elsewhere and may not repeat to the bit: {differing}" * bool(differing)


def space_hash(space: Space) -> str:
    """Returns a hash of a space's data (sha256, 64 hexadecimal digits).

    Format (YAML, JSON), white space and the order of keys do not matter; the order of cells does,
    because decisions follow it.
    """
    data = cast("dict[str, Json]", json.loads(space.text)) if space.text else {"is": repr(space)}
    cells = data.get("cells")
    order: Json = list(cells) if isinstance(cells, dict) else []
    text = json.dumps([data, order], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


def flat(
    values: Mapping[str, object], separator: str, prefix: str = ""
) -> Iterator[tuple[str, object]]:
    """Yields the values of nested mappings with their paths."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            inner = cast("Mapping[str, object]", value)
            yield from flat(inner, separator, f"{prefix}{key}{separator}")
        else:
            yield prefix + key, value


def _differences(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    plain: list[dict[str, object]] = [json.loads(json.dumps(dict(each))) for each in (old, new)]
    before, after = (dict(flat(each, ".")) for each in plain)
    pairs = {
        key: (before.get(key, _ABSENT), after.get(key, _ABSENT)) for key in {**before, **after}
    }
    return "; ".join(
        f"{key} was {_shown(one)} and is {_shown(other)}"
        for key, (one, other) in pairs.items()
        if one != other or isinstance(one, bool) != isinstance(other, bool)
    )


def _shown(value: object) -> str:
    if value is _ABSENT:
        return "not there"
    return quoted(value if isinstance(value, str) else json_text(value))


def _no_run(path: Path) -> NasirError:
    what = f"it has no {FACTS}" if path.is_dir() else "it is a file" if path.exists() else ""
    message = f"the folder is not a run: {what}" if what else "there is no such run"
    hint = "`nasir search` and `nasir evaluate` create runs"
    return NasirError("E721", message, Where(str(path)), hint)

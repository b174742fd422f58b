"""The facts of a run (`run.json`): read, validated, and compared when the run is resumed."""

import json
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from nasir import NasirError, Space, Where
from nasir.errors import quoted
from nasir.plain import Json
from nasir.quoting import json_text
from nasir.reading import read_json
from nasir.source import Source

FACTS = "run.json"

FORMAT = 2
"""The version of run.json's format; nasir 0.1 wrote none."""

Kind = Literal["search", "evaluate"]

DAMAGED_HINT = "put back a copy of the file, or start the run again in another folder"

_ABSENT = object()


class StrictFacts(BaseModel):
    """A part of the facts; a field of another type is an error."""

    model_config = ConfigDict(strict=True)


class NamedFacts(StrictFacts):
    """The space, method or genotype of a run."""

    name: str


class DataFacts(StrictFacts):
    """The data as it was asked for, and a hash of it."""

    text: str
    fingerprint: str


class SettingsFacts(StrictFacts):
    """The sizes of the supernet among a search's settings."""

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
    """The facts of a run, without its lock. Raises an error (no run) or (damaged)."""
    file = Path(path) / FACTS
    facts = read_object(file)
    if facts is None:
        raise _no_run(Path(path))
    if "nasir" in facts and facts.get("format") != FORMAT:
        version = quoted(str(facts["nasir"]))
        message = f"the run is of nasir {version}, whose runs this version does not read"
        raise NasirError("E721", message, Where(str(file)), "use that version, or start it again")
    return facts


def read_object(file: Path) -> dict[str, Json] | None:
    """The object in a JSON file of a run; None where there is no file."""
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
    """The facts of a run of that kind, with every field that is needed.

    Raises an error for a run of another kind, or where a field is missing or wrong.
    """
    facts = read_facts(path)
    found = facts.get("kind")
    if isinstance(found, str) and found in _MODELS and found != kind:
        message = f"the folder is the run of: {found}, not of: {kind}"
        raise NasirError("E721", message, Where(str(path)))
    checked(path, _MODELS[kind], facts)
    return cast("dict[str, Any]", facts)


def facts_in(path: Path) -> SearchFacts | TrainingFacts:
    """The facts of a run of either kind. Raises an error as `facts_of` does."""
    facts = read_facts(path)
    model = TrainingFacts if facts.get("kind") == "evaluate" else SearchFacts
    return checked(path, model, facts)


Model = TypeVar("Model", bound=BaseModel)


def checked(
    path: Path, model: type[Model], facts: Mapping[str, Json], where: Where | None = None
) -> Model:
    """The facts, or a row at that place, as a model. Raises an error with the field that is
    wrong.
    """
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = f"{quoted('.'.join(map(str, first['loc'])))}: " if first["loc"] else ""
        raise damaged(path, f"{place}{first['msg']}", where) from None


def damaged(path: str | os.PathLike[str], reason: str, where: Where | None = None) -> NasirError:
    """an error for the facts of a run, or another of its files."""
    place = where or Where(str(Path(path) / FACTS))
    message = f"{Path(place.file).name} is damaged: {reason[:1].lower()}{reason[1:]}"
    return NasirError("E604", message, place, DAMAGED_HINT)


def same_settings(old: Mapping[str, object], new: Mapping[str, object]) -> None:
    """Raises an error naming every setting that differs with both values; nested ones by their
    path.

    Values are compared as JSON holds them: a tuple equals a list, 1 equals 1.0, but not true.
    """
    differing = _differences(old, new)
    if differing:
        hint = "leave the options out to go on with the run's own, or start another run"
        raise NasirError("E726", f"the run has other settings: {differing}", hint=hint)


def other_machine(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """A line naming what differs between the machine that began a run and this one, or "".

    Not an error: a run resumes anywhere, but sums may then differ in their last bits.
    """
    differing = _differences(old, new)
    return f"the run began elsewhere, and may not repeat to the bit: {differing}" * bool(differing)


def space_hash(space: Space) -> str:
    """A hash of the data in a space's file (sha256, 64 hexadecimal digits).

    Neither its form (YAML, JSON), its white space nor the order of its keys counts, but the order
    of its cells does: decisions follow it.
    """
    data = cast("dict[str, Json]", json.loads(space.text)) if space.text else {"is": repr(space)}
    cells = data.get("cells")
    order: Json = list(cells) if isinstance(cells, dict) else []
    text = json.dumps([data, order], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


def flat(
    values: Mapping[str, object], separator: str, prefix: str = ""
) -> Iterator[tuple[str, object]]:
    """The values with their paths; mappings in them are entered."""
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
    hint = "`nasir search` and `nasir evaluate` make runs"
    return NasirError("E721", message, Where(str(path)), hint)

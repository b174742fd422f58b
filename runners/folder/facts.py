"""The facts of a run (`run.json`): read, validated, and compared when the run is resumed."""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, Field, JsonValue, StrictBool, StrictInt, StrictStr, ValidationError

from nasir import NasirError, Space, Where
from nasir.errors import quoted
from nasir.json_text import parse_json
from nasir.plain import Json
from nasir.quoting import json_text
from nasir.source import Source

FACTS = "run.json"

FORMAT = 2
"""Of run.json; version 0.1 wrote none."""

Kind = Literal["search", "evaluate"]

_HINT = "it is written when a run begins; start the run again in another folder"


class NamedFacts(BaseModel):
    """A part that has a name."""

    name: StrictStr


class DataFacts(BaseModel):
    """What the run learns from, as it was asked for, and a hash of it."""

    text: StrictStr
    fingerprint: StrictStr


class RunFacts(BaseModel):
    """What every run says of itself."""

    kind: StrictStr
    machine: dict[str, JsonValue]
    data: DataFacts
    seed: Annotated[StrictInt, Field(ge=0)]
    experiment: dict[str, JsonValue]


class SettingsFacts(BaseModel):
    """Of a search's settings, the sizes that its method gives the supernet."""

    network: dict[StrictStr, StrictInt]


class SearchFacts(RunFacts):
    """What a search says of itself."""

    space: NamedFacts
    method: NamedFacts
    settings: SettingsFacts
    choices: dict[str, list[StrictStr]]


class TrainingFacts(RunFacts):
    """What a training says of itself."""

    genotype: NamedFacts
    recipe: dict[str, JsonValue]
    size: dict[str, StrictInt | StrictStr]
    auxiliary: StrictBool


_MODELS: Mapping[str, type[RunFacts]] = {"search": SearchFacts, "evaluate": TrainingFacts}


def read_facts(path: str | os.PathLike[str]) -> dict[str, Json]:
    """What a run says of itself, for readers, who need no lock. Raises E721, E722."""
    file = Path(path) / FACTS
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise _no_run(Path(path)) from None
    except OSError as error:
        raise NasirError("E722", f"{FACTS} cannot be read: {error}", Where(str(file))) from None
    try:
        source = Source(str(file), content)
        facts = parse_json(source)
    except NasirError as error:
        raise damaged(path, error.message, error.where) from None
    if not isinstance(facts, dict):
        raise damaged(path, "no mapping", source.at(0))
    if "nasir" in facts and facts.get("format") != FORMAT:
        version = quoted(str(facts["nasir"]))
        message = f"the run is of nasir {version}, whose runs this version does not read"
        raise NasirError("E721", message, Where(str(file)), "use that version, or start it again")
    return facts


def facts_of(path: Path, kind: Kind) -> dict[str, Any]:
    """What a run of that kind says of itself, with every field that is needed.

    Raises E721 for a run of something else, and E722 where a field is missing or wrong.
    """
    facts = read_facts(path)
    found = facts.get("kind")
    if isinstance(found, str) and found in _MODELS and found != kind:
        message = f"the folder is the run of: {found}, not of: {kind}"
        raise NasirError("E721", message, Where(str(path)))
    checked(path, _MODELS[kind], facts)
    return cast("dict[str, Any]", facts)


Model = TypeVar("Model", bound=BaseModel)


def checked(path: Path, model: type[Model], facts: Mapping[str, Json]) -> Model:
    """The facts as a model. Raises E722 with the field that is wrong."""
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = quoted(".".join(map(str, first["loc"])))
        raise damaged(path, f"{place}: {first['msg']}") from None


def damaged(path: str | os.PathLike[str], reason: str, where: Where | None = None) -> NasirError:
    """E722 for a run's facts."""
    place = where or Where(str(Path(path) / FACTS))
    reason = reason[:1].lower() + reason[1:]
    return NasirError("E722", f"{FACTS} is damaged: {reason}", place, _HINT)


def _no_run(path: Path) -> NasirError:
    what = f"it has no {FACTS}" if path.is_dir() else "it is a file" if path.exists() else ""
    message = f"the folder is not a run: {what}" if what else "there is no such run"
    hint = "`nasir search` and `nasir evaluate` make runs"
    return NasirError("E721", message, Where(str(path)), hint)


_ABSENT = object()


def same_settings(old: Mapping[str, object], new: Mapping[str, object]) -> None:
    """Raises E726 naming every setting that differs with both values; nested ones by their path.

    Values are compared as JSON holds them: a tuple equals a list.
    """
    before, after = _flat(old), _flat(new)
    keys = [*before, *(key for key in after if key not in before)]
    differing = [
        f"{key} was {_shown(before.get(key, _ABSENT))} and is {_shown(after.get(key, _ABSENT))}"
        for key in keys
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    ]
    if differing:
        raise NasirError(
            "E726",
            f"the run has other settings: {'; '.join(differing)}",
            hint="leave the options out to go on with the run's own, or start another run",
        )


def other_machine(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """What differs of the machine (`runners.machine.machine`) that began the run, or "".

    Not an error: a run goes on anywhere, but sums may then differ in their last bits.
    """
    differing = [
        f"{key} was {_shown(old.get(key, _ABSENT))} and is {_shown(value)}"
        for key, value in new.items()
        if old.get(key, _ABSENT) != value
    ]
    if not differing:
        return ""
    return f"the run began elsewhere, and may not repeat to the bit: {'; '.join(differing)}"


def space_hash(space: Space) -> str:
    """A hash of what the space's file says (sha256, 64 hexadecimal digits).

    Neither its form (YAML, JSON), its white space nor the order of its keys counts, but the order
    of its cells does: decisions follow it.
    """
    data = cast("dict[str, Json]", json.loads(space.text)) if space.text else {"is": repr(space)}
    cells = data.get("cells")
    order: Json = list(cells) if isinstance(cells, dict) else []
    text = json.dumps([data, order], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    data: dict[str, Json] = json.loads(json.dumps(dict(settings)))
    for key, value in data.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = _typed(value)
    return flat


def _typed(value: object) -> object:
    """True is not 1 here, but 1.0 is."""
    return ("bool", value) if isinstance(value, bool) else value


def _shown(value: object) -> str:
    if value is _ABSENT:
        return "not there"
    value = cast("tuple[str, bool]", value)[1] if isinstance(value, tuple) else value
    return quoted(value if isinstance(value, str) else json_text(value))

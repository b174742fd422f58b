"""Whether a run that goes on is the run that began."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import cast

from nasir import NasirError, Space
from nasir.errors import quoted
from nasir.plain import Json
from nasir.quoting import json_text

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

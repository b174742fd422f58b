"""Whether two runs are of the same settings."""

from collections.abc import Iterator, Mapping
from typing import Any

from nasir import NasirError


def same_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raises E724 that names each setting that differs, with both values."""
    apart = list(_apart(old, new, ""))
    if apart:
        raise NasirError(
            "E724",
            f"the run was begun with other settings: {'; '.join(apart)}",
            hint="resume without options, or start a new run",
        )


def _apart(old: Mapping[str, Any], new: Mapping[str, Any], above: str) -> Iterator[str]:
    for name in (*old, *(name for name in new if name not in old)):
        before, after = _plain(old.get(name)), _plain(new.get(name))
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _apart(before, after, f"{above}{name}.")
        elif before != after:
            yield f"{above}{name} was {before}, now {after}"


def _plain(value: Any) -> Any:
    """As JSON would give it back."""
    return list(value) if isinstance(value, tuple) else value

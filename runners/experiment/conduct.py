"""Runs in folders, of whatever kind: going on with one, guarding its work, comparing two."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nasir import NasirError, Where
from runners.experiment.planner import is_out_of_memory
from runners.folder.live import Display
from runners.folder.run_folder import RunFolder
from runners.folder.seeds import deterministic
from runners.folder.settings import other_machine, same_settings
from runners.machine.machine import spinning
from runners.machine.place import Place


class Built(Protocol):
    """A request with everything that it names made."""

    @property
    def place(self) -> Place:
        """Where it runs."""
        ...

    def facts(self) -> dict[str, Any]:
        """What `run.json` says of it."""
        ...


Made = TypeVar("Made", bound=Built)
Found = TypeVar("Found")


def resumed(
    facts: Mapping[str, Any],
    asked: Mapping[str, Any],
    make: Callable[[], Made],
    parts: Sequence[str],
) -> tuple[Made, str]:
    """What goes on in a run's folder, and a line to say where the machine is another one.

    `asked` are fields of the request that the caller names again; one that differs is E726, and so
    are other `parts` of the facts: data, settings, or a space under the same name.
    """
    same_settings(facts["request"], {**facts["request"], **asked})
    built = make()
    now = built.facts()
    for part in parts:
        same_settings({part: facts[part]}, {part: now[part]})
    return built, other_machine(facts["machine"], now["machine"])


def guarded(
    folder: RunFolder,
    shown: Display,
    seed: int,
    place: Place,
    work: Callable[[], Found],
    too_large: Callable[[], NasirError],
) -> Found:
    """What `work` gives; the folder and the display are closed whatever happens.

    Raises what `too_large` makes where the memory is not enough.
    """
    if place.deterministic:
        deterministic(seed)
    slow = spinning()
    if slow:
        shown.say(slow)
    with folder:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise too_large() from None
        finally:
            shown.close()


@contextmanager
def restoring(path: Path) -> Generator[None]:
    """Around what puts a checkpoint back: E727 where it is that of another network or optimiser."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        message = "the checkpoint is not of what run.json says"
        hint = "put run.json back as it was, or start the run again in another folder"
        raise NasirError("E727", message, Where(str(path)), hint) from error


def memory_error(
    device: str, batch: int, fits: Callable[[], int | None], hint: str, option: str
) -> NasirError:
    """E744 with the largest batch that would fit, where that can be found."""
    try:
        found = fits()
    except (RuntimeError, MemoryError):
        found = None
    if found:
        hint = f"{option}{min(found, max(batch // 2, 1))} should fit; {hint}"
    return NasirError(
        "E744", f"the memory of '{device}' is not enough for batches of {batch}", hint=hint
    )


def difference(one: Path, other: Path, names: Sequence[str]) -> str:
    """The first place where these files of two runs differ; "" where they are equal."""
    for name in names:
        before, after = _lines(one / name), _lines(other / name)
        for number, (a, b) in enumerate(zip(before, after, strict=False), start=1):
            if a != b:
                return f"{name}, line {number}: {_apart(a, b)}"
        if len(before) != len(after):
            return f"{name} has {len(before)} lines, then {len(after)}"
    return ""


def _lines(path: Path) -> list[str]:
    """The lines of a text, or what a file of tensors is."""
    if not path.exists():
        return []
    if path.suffix == ".safetensors":
        from hashlib import sha256

        return [sha256(path.read_bytes()).hexdigest()]
    return path.read_text(encoding="utf-8").splitlines()


def _apart(one: str, other: str) -> str:
    """The place where two lines part, some characters of each."""
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    start = max(0, at - 30)
    return f"…{one[start : at + 20]}… became …{other[start : at + 20]}…"

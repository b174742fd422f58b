"""Searching, going on with a search, and checking that a search repeats."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir import Genotype, NasirError
from runners.live import Display, find_display
from runners.loop.build import Built, build
from runners.loop.request import Request, request_of
from runners.loop.search import Search
from runners.planner import is_out_of_memory, largest_batch
from runners.state import RunFolder, deterministic, same_settings


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found, the last epoch's measures, and where everything lies."""

    genotype: Genotype
    row: Mapping[str, Any]
    folder: Path


def search(request: Request, out: Path, display: Display | None = None) -> Result:
    """Searches into the new run directory `out`. Raises E74x, and what data and folders raise."""
    built = build(request)
    folder = RunFolder.create(out, built.facts())
    return _run(built, folder, display)


def resume(out: Path, asked: Mapping[str, Any], display: Display | None = None) -> Result:
    """Goes on with the search in `out`, which gives what it would have given undisturbed.

    `asked` are fields of `Request` that the caller names again; one that differs is an error, and
    so are other data or another space under the same name.
    """
    folder = RunFolder.open(out)
    facts = folder.facts
    request = request_of(facts["request"])
    same_settings(facts["request"], {**facts["request"], **asked})
    built = build(request)
    now = built.facts()
    for part in ("space", "data", "settings", "method"):
        same_settings(facts[part], now[part])
    return _run(built, folder, display)


@dataclass(frozen=True, slots=True)
class Replay:
    """Whether a run repeats, and the first difference where it does not."""

    epochs: int
    difference: str


def replay(out: Path, display: Display | None = None) -> Replay:
    """Runs a finished search again beside it and compares measures, weights and genotypes."""
    folder = RunFolder.open(out)
    request = request_of(folder.facts["request"])
    with tempfile.TemporaryDirectory() as parent:
        again = search(request, Path(parent) / "run", display)
        return _compared(out, again.folder)


def _compared(one: Path, other: Path) -> Replay:
    rows = (one / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    for name in ("metrics.jsonl", "architecture.jsonl", "genotype.json"):
        before = _lines(one / name)
        after = _lines(other / name)
        for number, (a, b) in enumerate(zip(before, after, strict=False), start=1):
            if a != b:
                return Replay(len(rows), f"{name}, line {number}: {_apart(a, b)}")
        if len(before) != len(after):
            return Replay(len(rows), f"{name} has {len(before)} lines, then {len(after)}")
    return Replay(len(rows), "")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _apart(one: str, other: str) -> str:
    """The place where two lines part, some characters of each."""
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    start = max(0, at - 30)
    return f"…{one[start : at + 20]}… became …{other[start : at + 20]}…"


def _run(built: Built, folder: RunFolder, display: Display | None) -> Result:
    place = built.place
    deterministic(built.request.seed, strict=built.request.deterministic)
    shown = find_display() if display is None else display
    with folder:
        run = Search(built, folder, shown)
        try:
            found = run.run()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise _too_large(run, place.device) from None
        finally:
            shown.close()
    return Result(found.genotype, found.row, folder.path)


def _too_large(run: Search, device: str) -> NasirError:
    """E744 with the largest batch that would fit."""
    learner, batch = run.learner, run.settings.batch
    hint = "a smaller --batch, or --memory states"
    if learner is not None:
        try:
            fits = largest_batch(learner)
        except (RuntimeError, MemoryError):
            fits = None
        if fits:
            hint = f"--batch {min(fits, max(batch // 2, 1))} should fit; --memory states keeps less"
    return NasirError(
        "E744", f"the memory of '{device}' is not enough for batches of {batch}", hint=hint
    )

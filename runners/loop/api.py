"""Searching, going on with a search, and checking that a search repeats."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nasir import Genotype, NasirError, Where
from runners.data import absolute
from runners.live import Display, display_for_stderr
from runners.loop.build import Built, build
from runners.loop.request import Request, request_of
from runners.loop.run import Search
from runners.planner import is_out_of_memory, largest_batch
from runners.state import RunFolder, deterministic, other_machine, read_facts, same_settings


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found, the last epoch's measures, and where everything lies."""

    genotype: Genotype
    row: Mapping[str, Any]
    folder: Path


def search(request: Request, out: Path, display: Display | None = None) -> Result:
    """Searches into the new run directory `out`. Raises E74x, and what data and folders raise."""
    built = build(replace(request, data=absolute(request.data)))
    shown = display_for_stderr() if display is None else display
    return _run(built, RunFolder.create(out, built.facts(), shown.say), shown)


def resume(out: Path, asked: Mapping[str, Any], display: Display | None = None) -> Result:
    """Goes on with the search in `out`, which gives what it would have given undisturbed.

    `asked` are fields of `Request` that the caller names again; one that differs is an error, and
    so are other data or another space under the same name.
    """
    facts: dict[str, Any] = read_facts(out)
    request = request_of(_request_facts(facts, out))
    same_settings(facts["request"], {**facts["request"], **asked})
    built = build(request)
    now = built.facts()
    for part in ("space", "data", "settings", "method"):
        same_settings({part: facts[part]}, {part: now[part]})
    shown = display_for_stderr() if display is None else display
    moved = other_machine(facts["machine"], now["machine"])
    if moved:
        shown.say(moved)
    return _run(built, RunFolder.open(out, shown.say), shown)


def _request_facts(facts: Mapping[str, Any], out: Path) -> Mapping[str, Any]:
    """What the search was asked for. Raises E721 for a run of something else."""
    if facts.get("kind") != "search":
        raise NasirError("E721", "the folder is not the run of a search", Where(str(out)))
    return facts["request"]


@dataclass(frozen=True, slots=True)
class Replay:
    """Whether a run repeats, and the first difference where it does not."""

    epochs: int
    difference: str


def replay(out: Path, display: Display | None = None) -> Replay:
    """Runs a finished search again beside it and compares measures, weights and genotypes."""
    request = request_of(_request_facts(read_facts(out), out))
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


def _run(built: Built, folder: RunFolder, shown: Display) -> Result:
    if built.place.deterministic:
        deterministic(built.request.seed)
    with folder:
        run = Search(built, folder, shown)
        try:
            found = run.run()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise _too_large(run, str(built.place.device)) from None
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

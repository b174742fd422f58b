"""Runs the trials of a sweep, one after another or as tasks of Ray, and shows their progress."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nasir import NasirError, Where
from nasir.document import Json
from nasir.errors import json_text
from nasir.files import write_atomically
from runners.folder.disk import Lock, write_errors
from runners.folder.display import Display, facts_text, is_terminal
from runners.folder.facts import read_facts, read_object, same_settings
from runners.folder.logs import read_rows
from runners.folder.run_folder import METRICS
from runners.machine.cluster import joined, when_free
from runners.output import print_note
from runners.sweeps.trials import Resources, Sweep, Trial, read_sweep

if TYPE_CHECKING:
    from rich.table import Table as Drawn

TRIALS = "sweep.json"
"""The experiments of a sweep's trials by name, in the folder of results."""

Failures = dict[str, NasirError]
"""The errors of failed trials, by name."""


def sweep(path: str | Path, out: str | Path, ray: str | None = None) -> Failures:
    """Runs the trials of a sweep's file, each in a folder of `out`; returns errors of failed ones.

    Finished trials are not run again, and others resume. `ray` is `local`, or the address of a Ray
    cluster that shares the file system. Raises an error for a wrong file, for results of another
    sweep, and if another process works in `out`.
    """
    found = read_sweep(Path(path), Path(out))
    with _locked(Path(out)):
        _remember(found, Path(out))
        left = [trial for trial in found.trials if not trial.done]
        board = Board(found.trials)
        work = (
            _one_by_one(left, board) if ray is None else _on_ray(left, ray, found.resources, board)
        )
        with board.shown():
            for trial, error in work:
                board.end(trial, error)
    return board.failed


@contextmanager
def _locked(out: Path) -> Generator[None]:
    with write_errors(out, lambda: "nothing was started: give another folder"):
        out.mkdir(parents=True, exist_ok=True)
        lock = Lock(out / "lock")
    try:
        yield
    finally:
        lock.release()


def _remember(found: Sweep, out: Path) -> None:
    """Writes the trials; raises an error if one of that name had another experiment."""
    now: dict[str, Json] = {trial.name: trial.experiment.facts() for trial in found.trials}
    before = read_object(out / TRIALS) or {}
    common = before.keys() & now.keys()
    try:
        same_settings({name: before[name] for name in common}, {name: now[name] for name in common})
    except NasirError as error:
        hint = "give another folder (-o), or the sweep's own settings"
        message = error.message.replace("the run has", "the sweep had", 1)
        raise NasirError(error.code, message, Where(str(out)), hint) from None
    write_atomically(out / TRIALS, f"{json_text(before | now, indent=2)}\n".encode())


def run_trial(trial: Trial) -> None:
    """Runs or resumes a trial to its end."""
    from runners.experiment import search, train

    if trial.done:
        return
    if trial.started:
        (search if trial.kind == "search" else train).resume(trial.folder, {}, Display())
    elif trial.kind == "search":
        search.search(trial.experiment, trial.folder, Display())
    else:
        train.evaluate(trial.experiment, trial.folder, Display())


def _try_trial(trial: Trial) -> NasirError | None:
    """Returns the error of a trial that fails."""
    try:
        when_free(lambda: run_trial(trial))
    except NasirError as error:
        return error
    return None


Ended = tuple[Trial, NasirError | None]


def _one_by_one(trials: Sequence[Trial], board: "Board") -> Iterator[Ended]:
    for trial in trials:
        board.begin(trial)
        yield trial, _try_trial(trial)


def _on_ray(
    trials: Sequence[Trial], address: str, resources: Resources, board: "Board"
) -> Iterator[Ended]:
    """Yields trials as their tasks end. A task whose worker dies is started again, and resumes."""
    if not trials:
        return
    with joined(address, "nasir sweep --ray", resources.cpus, resources.gpus) as cluster:
        for trial in trials:
            board.begin(trial, "submitted")
        for place, error in cluster.ended(_try_trial, trials):
            yield trials[place], error


@dataclass
class TrialState:
    word: str
    about: str = ""


class Board:
    """The trials with their states: a live table on a terminal, else a line for each change."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.failed: Failures = {}
        self._trials = trials
        self._states = {
            each.name: TrialState("done" if each.done else "waiting") for each in trials
        }
        self._moves = is_terminal()
        done = sum(each.done for each in trials)
        if done:
            print_note(f"{done} of {len(trials)} trials are done")

    def begin(self, trial: Trial, word: str = "") -> None:
        """Shows that a trial is started, or another state."""
        self._change(trial, word or ("resumed" if trial.started else "started"))

    def end(self, trial: Trial, error: NasirError | None) -> None:
        """Shows that a trial has ended, or failed."""
        if error is None:
            self._change(trial, "done", progress(trial))
        else:
            self.failed[trial.name] = error
            self._change(trial, "failed", f"{error.code} {error.message}")

    @contextmanager
    def shown(self) -> Generator[None]:
        """Shows the table on a terminal within the context."""
        if not self._moves:
            yield
            return
        from rich.console import Console
        from rich.live import Live

        draw: Callable[[], Drawn] = self.table
        with Live(get_renderable=draw, console=Console(stderr=True), refresh_per_second=1):
            yield

    def table(self) -> "Drawn":
        """Returns the table; rows of running trials are read from their folders."""
        from rich.table import Table as Drawn
        from rich.text import Text

        ended = sum(each.word in ("done", "failed") for each in self._states.values())
        drawn = Drawn("trial", "state", "", title=f"{ended} of {len(self._trials)} trials")
        order = {"failed": 0, "waiting": 2, "done": 3}
        for trial in sorted(
            self._trials, key=lambda each: order.get(self._states[each.name].word, 1)
        ):
            state = self._states[trial.name]
            about = state.about if state.word in order else progress(trial)
            drawn.add_row(Text(trial.name), state.word, Text(about))
        return drawn

    def _change(self, trial: Trial, word: str, about: str = "") -> None:
        self._states[trial.name] = TrialState(word, about)
        if not self._moves:
            ended = sum(each.word in ("done", "failed") for each in self._states.values())
            place = f"{ended}/{len(self._trials)} {trial.name}: {word}"
            print_note(f"{place}  {about}" if about else place)


def progress(trial: Trial) -> str:
    """Describes the last epoch or query of a trial's run; "" before the first."""
    try:
        rows = read_rows(trial.folder / METRICS)
        plan = read_facts(trial.folder).get("plan") if rows else None
    except NasirError:  # being written, or not there yet
        return ""
    if not rows:
        return ""
    total = plan.get("epochs") or plan.get("queries") if isinstance(plan, dict) else None
    row = {name: rows[-1][name] for name in ("train", "valid", "test", "best") if name in rows[-1]}
    of = f"/{total}" if total else ""
    return f"{len(rows)}{of}  {facts_text(row)}"

"""Runs the trials of a sweep, one after another or as tasks of Ray, and shows their progress."""

import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nasir
from nasir import NasirError, Where
from nasir.document import Json
from nasir.errors import json_text
from nasir.files import write_atomically
from nasir.lazy import import_optional
from runners.folder.disk import Lock, write_errors
from runners.folder.display import Display, facts_text, is_terminal
from runners.folder.facts import read_facts, read_object, same_settings
from runners.folder.logs import read_rows
from runners.folder.run_folder import METRICS
from runners.output import print_note
from runners.sweeps.trials import Resources, Sweep, Trial, extensions, read_sweep

if TYPE_CHECKING:
    from rich.table import Table as Drawn

TRIALS = "sweep.json"
"""The experiments of a sweep's trials by name, in the folder of results."""

RETRIES = 3
"""Number of times that Ray runs a trial again whose worker died."""

PATIENCE = 30.0
"""Seconds to wait for the dying process of a killed sweep to let go of a run directory."""

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


def run_trial(trial: Trial) -> NasirError | None:
    """Runs or resumes a trial to its end; returns its error if it fails."""
    from runners.experiment import search, train

    until = time.monotonic() + PATIENCE
    while not trial.done:
        try:
            if trial.started:
                (search if trial.kind == "search" else train).resume(trial.folder, {}, Display())
            elif trial.kind == "search":
                search.search(trial.experiment, trial.folder, Display())
            else:
                train.evaluate(trial.experiment, trial.folder, Display())
        except NasirError as error:
            if error.code != "E724" or time.monotonic() > until:
                return error
            time.sleep(0.5)
    return None


Ended = tuple[Trial, NasirError | None]


def _one_by_one(trials: Sequence[Trial], board: "Board") -> Iterator[Ended]:
    for trial in trials:
        board.begin(trial)
        yield trial, run_trial(trial)


def _on_ray(
    trials: Sequence[Trial], address: str, resources: Resources, board: "Board"
) -> Iterator[Ended]:
    """Yields trials as their tasks end. A task whose worker dies is started again, and resumes."""
    if not trials:
        return
    ray = import_optional("ray", "nasir sweep --ray")
    try:
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        hint = "--ray local, or the address of a running cluster (ray start)"
        raise NasirError("E502", f"Ray cannot be used: {error}", Where(address), hint) from None
    try:
        _check_resources(ray.cluster_resources(), resources)
        asked = {"num_cpus": resources.cpus, "num_gpus": resources.gpus}
        task: Any = ray.remote(**asked, max_retries=RETRIES)(_in_worker)
        place, names = str(Path.cwd()), [_absolute(name) for name in extensions()]
        waiting = {task.remote(trial, place, names): trial for trial in trials}
        for trial in trials:
            board.begin(trial, "submitted")
        while waiting:
            ended, _ = ray.wait(list(waiting), timeout=1.0)
            for reference in ended:
                yield waiting.pop(reference), _answer(ray, reference)
    finally:
        ray.shutdown()


def _absolute(name: str) -> str:
    return str(Path(name).absolute()) if Path(name).exists() else name


def _check_resources(there: dict[str, float], resources: Resources) -> None:
    """Raises an error if the cluster can never run a trial, which would wait for ever."""
    for name, wanted in (("CPU", resources.cpus), ("GPU", resources.gpus)):
        if wanted > there.get(name, 0):
            message = f"a trial asks for {wanted:g} {name}s, and Ray has {there.get(name, 0):g}"
            raise NasirError("E502", message, hint="fewer in `resources` of the sweep")


def _answer(ray: Any, reference: Any) -> NasirError | None:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError:
        raise  # an error of nasir itself
    except ray.exceptions.RayError as error:
        reason = str(error).partition("\n")[0]
        message = f"the worker ended {RETRIES + 1} times: {reason}"
        return NasirError(
            "E502", message, hint="the memory may be too small; start the sweep again"
        )


def _in_worker(trial: Trial, place: str, names: Sequence[str]) -> NasirError | None:
    """Runs a trial in a worker, where paths mean what they mean in the sweep's own process."""
    os.chdir(place)
    with nasir.use(*names):
        return run_trial(trial)


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

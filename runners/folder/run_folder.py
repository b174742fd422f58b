"""Run directories: facts, logs, checkpoints, and signals that end a run."""

import json
import shlex
import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, Self

import typer

from nasir import NasirError, Where
from nasir.document import Json
from nasir.errors import json_text, visible
from runners.folder.checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    checkpoint_file,
    pack_checkpoint,
    read_checkpoint,
    saved_epochs,
)
from runners.folder.disk import PART, Lock, remove_parts, synchronise, write_durably, write_errors
from runners.folder.facts import FACTS, read_facts
from runners.folder.logs import NEVER, Row, append_row, read_rows, rewind_rows
from runners.folder.trackers import Trackers
from runners.machine.machine import rank_here

METRICS, ARCHITECTURE, TIMES = LOGS = ("metrics.jsonl", "architecture.jsonl", "times.jsonl")
LOCK = "lock"
FINALS = ("genotype.json", "weights.safetensors", "summary.json", "confusion.json")
"""The final files of a run; rewinding removes them."""

GENOTYPES = "genotypes"

Say = Callable[[str], None]
"""Prints a line for the user."""


class RunFolder:
    """A run directory, locked by this process until `close`.

    An epoch is logged, then saved; after a kill, `latest` and `rewind` restore the last epoch with
    both. `keep` checkpoints are kept, and those of `pinned` epochs, a set that the caller changes
    (not saved). If the disk refuses a write, methods raise an error and leave the files unchanged.
    Without a `lock` another process of the run writes, and this one reads. Mutable.
    """

    def __init__(self, path: Path, lock: Lock | None, facts: Mapping[str, Json], say: Say) -> None:
        self.path = path
        self.facts: Mapping[str, Json] = facts
        self.keep = 2
        self.pinned: set[int] = set()
        self._epochs = 0
        self._lock = lock
        self._say = say
        self._trackers = None if lock is None else Trackers(path, facts, say)
        self._weights: object = {}

    @classmethod
    def create(cls, path: str | Path, facts: Mapping[str, object], say: Say = typer.echo) -> Self:
        """Creates a run in an empty or new folder.

        Raises an error for any other folder, or for one in use.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise NasirError("E723", "a run needs a folder, not a file", Where(str(path)))
        with write_errors(path, lambda: "nothing was written: give another folder"):
            path.mkdir(parents=True, exist_ok=True)
            lock = Lock(path / LOCK)
        text = json_text(facts, indent=2)
        try:
            _check_empty(path)
            with write_errors(path / FACTS, lambda: "the run has not started"):
                write_durably(path / FACTS, f"{text}\n".encode())
        except BaseException:
            lock.release()
            raise
        return cls(path, lock, json.loads(text), say)

    @classmethod
    def open(cls, path: str | Path, say: Say = typer.echo) -> Self:
        """Opens an existing run. Raises an error if there is none, or it is damaged or in use."""
        path = Path(path)
        facts = read_facts(path)
        with write_errors(path, lambda: "nothing was changed"):
            lock = Lock(path / LOCK)
        for directory in (path, path / CHECKPOINTS, path / GENOTYPES):
            remove_parts(directory)
        return cls(path, lock, facts, say)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the trackers and releases the lock."""
        if self._trackers is not None:
            self._trackers.close()
        if self._lock is not None:
            self._lock.release()

    def log(self, row: Row) -> None:
        """Appends an epoch's metrics, without times; trackers get them with its weights."""
        self._append(METRICS, row)
        if self._trackers is not None:
            whole, self._weights = {**row, "weights": self._weights}, {}
            self._trackers.log(whole, lambda: read_rows(self.path / METRICS))

    def log_architecture(self, row: Row) -> None:
        """Appends an epoch's architecture weights, before its metrics."""
        self._append(ARCHITECTURE, row)
        self._weights = row["weights"]

    def log_times(self, row: Row) -> None:
        """Appends an epoch's times."""
        self._append(TIMES, row)

    def write_genotype(self, text: str, epoch: int | None) -> Path:
        """Writes the genotype of an epoch, or the final one (None)."""
        name = "genotype.json" if epoch is None else f"{GENOTYPES}/{epoch:04d}.json"
        return self._write(name, text.encode())

    def write_final(self, name: str, content: bytes) -> Path:
        """Writes a final file (`FINALS`)."""
        assert name in FINALS, f"'{name}' would stay when the run goes back"
        return self._write(name, content)

    def save(self, epoch: int, state: Mapping[str, Any]) -> Path:
        """Writes the state after an epoch; then removes old checkpoints."""
        path = checkpoint_file(self.path, epoch)
        if self._lock is None:
            return path
        with self._writing(path):
            path.parent.mkdir(exist_ok=True)
            for name in LOGS:
                if (self.path / name).exists():
                    synchronise(self.path / name)
            write_durably(path, pack_checkpoint(epoch, state))
            stay = {*self.saved()[-self.keep :], *self.pinned, epoch}
            for other in self.saved():
                if other not in stay:
                    checkpoint_file(self.path, other).unlink(missing_ok=True)
        self._epochs = epoch + 1
        return path

    def saved(self) -> list[int]:
        """Returns the epochs with a checkpoint, damaged ones included, in order."""
        return saved_epochs(self.path)

    def latest(self) -> Checkpoint | None:
        """Returns the latest valid checkpoint; prints a line for each damaged one after it.

        None before the first is saved. Raises an error if all are damaged, or for one that cannot
        be read now but may be valid: `rewind` to an earlier one would remove it.
        """
        for epoch in reversed(self.saved()):
            try:
                found = self.load(epoch)
                self._epochs = epoch + 1
                return found
            except NasirError as error:
                if error.code != "E604":
                    raise
                self._say(f"{error.where}: {error.message}; using the one before it")
        self._check_unsaved()
        return None

    def load(self, epoch: int) -> Checkpoint:
        """Reads the checkpoint of an epoch. Raises an error if it is missing or damaged."""
        return read_checkpoint(checkpoint_file(self.path, epoch))

    def rewind(self, epoch: int) -> None:
        """Removes everything after an epoch (-1: everything), as if the run had stopped there.

        This covers metrics, architectures, genotypes, checkpoints and final files, but not times,
        except an incomplete last row. Raises an error for damaged rows.
        """
        if self._lock is None:
            return
        with self._writing(self.path):
            dropped = 0
            decides = self.facts.get("kind") == "search" and self.facts.get("choices") != {}
            for name in LOGS[:2] if decides else LOGS[:1]:
                dropped += rewind_rows(self.path / name, epoch)
            rewind_rows(self.path / TIMES, NEVER)
            for path in (self.path / GENOTYPES).glob("*.json"):
                if path.stem.isdecimal() and int(path.stem) > epoch:
                    path.unlink()
            for other in self.saved():
                if other > epoch:
                    checkpoint_file(self.path, other).unlink()
            for name in FINALS if dropped else ():
                (self.path / name).unlink(missing_ok=True)
        if self._trackers is not None:
            self._trackers.rewind(epoch)

    def _append(self, name: str, row: Row) -> None:
        if self._lock is not None:
            with self._writing(self.path / name):
                append_row(self.path / name, row)

    def _write(self, name: str, content: bytes) -> Path:
        path = self.path / name
        if self._lock is None:
            return path
        with self._writing(path):
            if path.parent != self.path:
                path.parent.mkdir(exist_ok=True)
            write_durably(path, content)
        return path

    def _check_unsaved(self) -> None:
        """Raises an error unless the run was stopped before its first checkpoint."""
        rows = [row["epoch"] for row in read_rows(self.path / METRICS)]
        times = [row["epoch"] for row in read_rows(self.path / TIMES)]
        # An epoch is logged, then saved, then its time is logged.
        lost = [epoch for epoch in rows if epoch != 0 or 0 in times]
        if self.saved() or lost:
            count = f"{len(rows)} epochs were done, and " if rows else ""
            message = f"{count}there is no valid checkpoint: the run cannot resume"
            hint = "restore a checkpoint, or start the run again in another folder"
            raise NasirError("E604", message, Where(str(self.path / CHECKPOINTS)), hint)

    @contextmanager
    def _writing(self, path: Path) -> Generator[None]:
        """Turns OSErrors of a write to `path` into NasirError; raises one if the folder is gone."""
        self._check_there()
        with write_errors(path, self._safe):
            yield

    def _check_there(self) -> None:
        """Raises an error if the folder was removed, so that nothing is written."""
        if self._lock is None or self._lock.is_there():
            return
        what = "another run took the folder" if (self.path / FACTS).exists() else "it was removed"
        lost = f"the {self._epochs} epochs that were saved" if self._epochs else "the run"
        message = f"the run's folder is gone ({what} or moved while the run worked), and {lost} too"
        hint = "if it was moved, use --resume there; else start the run again"
        raise NasirError("E112", message, Where(str(self.path)), hint)

    def _safe(self) -> str:
        """Describes the saved state and how to resume."""
        self._check_there()
        saved = self.saved()
        if not saved:
            return "no checkpoint is written yet: make room and start again"
        return f"the checkpoint of epoch {saved[-1]} is safe: make room, then use --resume"


class Stopped(KeyboardInterrupt):
    """Raised by a signal. The command line exits with 128 + `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def stopped_by_signals(path: Path, command: str) -> Generator[None]:
    """Makes signals raise Stopped within the context; a line on stderr reports the progress.

    Signals that the process ignores (nohup) or handles itself are not changed, nor is any outside
    the main thread. A second signal has its previous effect.
    """
    usual = (signal.SIG_DFL, signal.default_int_handler)
    names = ("SIGINT", "SIGTERM", "SIGHUP") if current_thread() is main_thread() else ()
    ending = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in ending}
    ours = {number: handler for number, handler in before.items() if handler in usual}

    def restore() -> None:
        for number, handler in ours.items():
            signal.signal(number, handler)

    def stop(number: int, _: FrameType | None) -> None:
        restore()
        raise Stopped(number)

    try:
        for number in ours:
            signal.signal(number, stop)
        yield
    except Stopped as stopped:
        if rank_here() == 0:
            typer.echo(visible(f"nasir: {stopped}: {describe_progress(path, command)}"), err=True)
        raise
    finally:
        restore()


def describe_progress(path: Path, command: str) -> str:
    """Describes how many epochs of a run are saved, and the command that resumes it."""
    if not (path / FACTS).is_file():
        return "the run had not started"
    saved = saved_epochs(path)
    plan = read_facts(path).get("plan")
    total = f" of {plan.get('epochs')}" if isinstance(plan, dict) else ""
    units = "queries" if isinstance(plan, dict) and plan.get("queries") else "epochs"
    done = f"{saved[-1] + 1}{total} {units} are saved" if saved else f"no {units} are saved yet"
    return f"{done}; resume with: nasir {command} --resume {shlex.quote(str(path))}"


def _check_empty(path: Path) -> None:
    """Raises an error unless the folder is empty or holds only leftovers of a killed `create`."""
    names = {entry.name for entry in path.iterdir()} - {LOCK, f"{LOCK}.pid", f".{FACTS}{PART}"}
    if FACTS in names:
        hint = "resume it (--resume), or give another folder"
        raise NasirError("E723", "the folder already holds a run", Where(str(path)), hint)
    if names:
        message = f"the folder is not empty: it has '{min(names)}'"
        raise NasirError("E723", message, Where(str(path)), "give another folder")

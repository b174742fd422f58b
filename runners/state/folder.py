"""A run directory: settings, logs that survive a kill, genotypes and checkpoints."""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from torch import Tensor

from nasir import NasirError, Where
from nasir.files import write_atomically
from runners.output import print_warning
from runners.state.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from runners.state.events import Events

METRICS, ARCHITECTURE, TIMES = "metrics.jsonl", "architecture.jsonl", "times.jsonl"
KEPT = 2
"""Checkpoints that are kept: the last, and one in case that is damaged."""


class RunFolder:
    """One run's directory. Within `with`, no other process uses it.

    `run.json` is written once. Rows are appended and flushed to the disk; `rewind` drops those
    behind a checkpoint, so that the logs of a run that was killed are those of one that was not.
    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path, self.facts = path, facts
        self._lock: IO[str] | None = None
        self._events = Events(path / "events")

    @classmethod
    def create(cls, path: Path, facts: Mapping[str, Any]) -> "RunFolder":
        """A new run. Raises E721 where something else is there, E112 where nothing can be."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise NasirError(
                "E721",
                "the run directory is not empty",
                Where(str(path)),
                hint=f"another --out, or --resume {path} to go on with the run there",
            )
        plain = json.loads(json.dumps(facts))
        content = json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
        write_atomically(path / "run.json", content.encode())
        return cls(path, plain)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """A run that is there. Raises E722 where there is none or its `run.json` is damaged."""
        file = path / "run.json"
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            message = "there is no run in this directory: it has no run.json"
            raise NasirError("E722", message, Where(str(path))) from None
        except (OSError, ValueError) as error:
            message = f"run.json cannot be read: {error}"
            raise NasirError("E722", message, Where(str(file))) from None
        if not isinstance(facts, dict):
            raise NasirError("E722", "run.json is no mapping", Where(str(file)))
        return cls(path, facts)

    def __enter__(self) -> "RunFolder":
        """Raises E723 where another process is at work in it."""
        self._lock = _locked(self.path / "lock")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def log(self, row: Mapping[str, Any]) -> None:
        """Appends to `metrics.jsonl`, and to the events."""
        self._append(METRICS, row)
        self._events.add(row)

    def log_architecture(self, row: Mapping[str, Any]) -> None:
        """Appends to `architecture.jsonl`."""
        self._append(ARCHITECTURE, row)
        self._events.add_weights(row)

    def log_times(self, row: Mapping[str, Any]) -> None:
        """Appends to `times.jsonl`, the one log that differs from run to run."""
        self._append(TIMES, row)

    def rows(self, name: str = METRICS) -> list[dict[str, Any]]:
        """The rows of a log; a torn last line is left out."""
        return [json.loads(line) for line in _whole_lines(self.path / name)]

    def rewind(self, epoch: int) -> None:
        """Drops what lies behind the epoch's end; -1 drops all. Times are kept."""
        for name in (METRICS, ARCHITECTURE):
            path = self.path / name
            lines = _whole_lines(path)
            kept = [line for line in lines if json.loads(line)["epoch"] <= epoch]
            if path.exists():
                write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
        for path in (self.path / "genotypes").glob("*.json"):
            if path.stem.isdecimal() and int(path.stem) > epoch:
                path.unlink()
        self._events.rewind(epoch + 1)

    def write_genotype(self, text: str, epoch: int | None) -> Path:
        """Writes an epoch's genotype, or the run's result (`genotype.json`)."""
        name = "genotype.json" if epoch is None else f"genotypes/{epoch:04}.json"
        return write_atomically(self.path / name, (text.rstrip("\n") + "\n").encode())

    def save(
        self,
        epoch: int,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        pinned: Collection[int] = (),
    ) -> None:
        """Writes a checkpoint; of those before it the last and the pinned ones stay."""
        write_checkpoint(self._checkpoint(epoch), tensors, facts)
        before = sorted(e for e in self.checkpoints if e != epoch and e not in pinned)
        for old in before[: max(0, len(before) - KEPT + 1)]:
            self._checkpoint(old).unlink(missing_ok=True)

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The epochs of which there is a file."""
        files = (self.path / "checkpoints").glob("*.safetensors")
        return tuple(sorted(int(file.stem) for file in files if file.stem.isdecimal()))

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; a damaged one is named in a warning."""
        for epoch in reversed(self.checkpoints):
            found = read_checkpoint(self._checkpoint(epoch), epoch)
            if found is not None:
                return found
            print_warning(f"{self._checkpoint(epoch)} is damaged; taking the one before it")
            self._checkpoint(epoch).unlink()
        return None

    def _checkpoint(self, epoch: int) -> Path:
        return self.path / "checkpoints" / f"{epoch:04}.safetensors"

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False)
        path = self.path / name
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise NasirError(
                "E112",
                f"cannot write: {error.strerror or error}",
                Where(str(path)),
                hint=f"the run is whole up to its last checkpoint: make room, then --resume "
                f"{self.path}",
            ) from None


def _whole_lines(path: Path) -> list[str]:
    """The lines of a log that were written whole."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line for line in text[: text.rfind("\n") + 1].split("\n") if line]


def _locked(path: Path) -> IO[str]:
    """The file, locked until it is closed or the process ends. Raises E723."""
    file = path.open("a+", encoding="ascii")
    try:
        import fcntl
    except ImportError:  # no such locks here: two processes are the user's own care
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise NasirError(
            "E723",
            f"another process is at work in the run directory (number {owner})",
            Where(str(path.parent)),
            hint="wait for it, or end it",
        ) from None
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return file

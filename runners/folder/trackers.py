"""Trackers: programs that show the rows of a run, and the files that they read."""

import csv
import importlib.util
import io
import os
import re
import secrets
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, cast

from nasir import NasirError
from nasir.errors import nearest, quoted, visible
from nasir.lazy import import_optional, not_installed
from nasir.table import Table
from runners.folder.disk import write_durably
from runners.folder.facts import flat, has_ended
from runners.folder.logs import Row

PROJECT = "nasir"
"""The experiment of MLflow and the project of Weights & Biases."""

LAST = "last-epoch"
"""The file of a session of Weights & Biases that has ended."""

Facts = Mapping[str, Any]


class Tracker(ABC):
    """Writes the rows of the run directory `run`, whose `facts` are those of `run.json`.

    Of several processes only the first has one. An exception ends it, and not the run. Mutable.
    """

    needs = ""
    """The module that it imports, of an extra of nasir."""

    def __init__(self, run: Path, facts: Facts) -> None:
        self.run, self.facts = run, facts

    @abstractmethod
    def begin(self, epoch: int) -> int:
        """Runs before the first row of a run that goes on after `epoch` (-1: of a new one).

        Rows after `epoch` come again. Returns the last epoch whose row is written for good: earlier
        rows and this one do not come, even if they are after `epoch`, and others do.
        """

    @abstractmethod
    def log(self, row: Row) -> None:
        """Writes the row of an epoch or a query: numbers, words, mappings of them.

        `weights`, if any, are lists by choice: the weights of its options.
        """

    @abstractmethod
    def close(self) -> None:
        """Runs at the end of the run or of this part of it, if it has begun."""


def numbers(row: Row) -> dict[str, float]:
    """Returns the numbers of a row, nested ones as `outer/inner`, without its epoch."""
    return {
        tag: float(value)
        for tag, value in flat(row, "/")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and tag != "epoch"
    }


class TensorBoard(Tracker):
    """Events in the folder `events`, which is created with the first row.

    They are written synchronously by tensorboardX's RecordWriter: the SummaryWriters of
    tensorboardX and torch use a thread, and if that dies (full disk) the run waits for ever. Values
    are float32: larger numbers become infinite.
    """

    needs = "tensorboardX"

    def __init__(self, run: Path, facts: Facts) -> None:
        super().__init__(run, facts)
        self._writer: Any = None  # tensorboardX has no types
        self._epoch = -1

    def begin(self, epoch: int) -> int:
        """Makes TensorBoard discard events of earlier files after this epoch."""
        self._epoch = epoch
        return epoch

    def log(self, row: Row) -> None:
        """Writes numbers, and a histogram of each choice's weights, with the epoch as step."""
        values: list[Mapping[str, object]] = [
            {"tag": visible(tag), "simple_value": value} for tag, value in numbers(row).items()
        ]
        weights = cast("Mapping[str, Sequence[float]]", row.get("weights", {}))
        values += [
            {"tag": visible(f"weights/{choice}"), "histo": _histogram(heights)}
            for choice, heights in weights.items()
            if heights
        ]
        if values:
            if self._writer is None:
                self._open()
            self._put(step=row["epoch"], summary={"value": values})

    def close(self) -> None:
        """Closes the file; the next row starts another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> None:
        from tensorboardX.record_writer import RecordWriter

        folder = self.run / "events"
        folder.mkdir(exist_ok=True)
        goes_on = any(folder.iterdir())
        # The time comes first, since TensorBoard reads files in the order of their names.
        name = f"events.out.tfevents.{time.time_ns() // 1000:016d}.{socket.gethostname()}"
        # Absolute, since a path that starts with `s3:` means a bucket.
        self._writer = RecordWriter(str(folder.absolute() / f"{name}.{os.getpid()}"))
        self._put(file_version="brain.Event:2")
        if goes_on:
            self._put(step=self._epoch + 1, session_log={"status": 1})  # START

    def _put(self, **fields: object) -> None:
        from tensorboardX.proto import event_pb2

        event: Any = cast("Any", event_pb2).Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())
        self._writer.flush()


class CsvTable(Tracker):
    """`metrics.csv`, with a row for each epoch; written anew if a row has further columns."""

    def __init__(self, run: Path, facts: Facts) -> None:
        super().__init__(run, facts)
        self._path = run / "metrics.csv"
        self._columns: list[str] = []

    def begin(self, epoch: int) -> int:
        """Removes later rows, and an incomplete last one."""
        rows = [row for row in self._rows() if int(row["epoch"]) <= epoch]
        if self._path.exists():
            self._write(rows)
        return max((int(row["epoch"]) for row in rows), default=-1)

    def log(self, row: Row) -> None:
        """Appends numbers and words."""
        values = {
            name: each for name, each in flat(row, "/") if isinstance(each, str | int | float)
        }
        further = [name for name in values if name not in self._columns]
        if further:
            rows = self._rows()
            self._columns += further
            self._write([*rows, values])
            return
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerow(values)

    def close(self) -> None:
        """Does nothing: the file is closed after each row."""

    def _rows(self) -> list[dict[str, str]]:
        """Returns the complete rows, and remembers the columns."""
        if not self._path.exists():
            return []
        text = self._path.read_bytes()
        text = text[: text.rfind(b"\n") + 1].decode()
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = list(reader)
        self._columns = list(reader.fieldnames or ())
        return rows

    def _write(self, rows: Iterable[Mapping[str, object]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows(rows)
        write_durably(self._path, text.getvalue().encode())


class MLflow(Tracker):
    """A run in the file store `mlruns`: metrics by epoch, the experiment's fields as parameters."""

    needs = "mlflow"

    def __init__(self, run: Path, facts: Facts) -> None:
        super().__init__(run, facts)
        self._client: Any = None
        self._id = ""
        self._known: set[tuple[str, int]] = set()

    def begin(self, epoch: int) -> int:
        """Opens the run that is there, or a new one."""
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # else an error since MLflow 3
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        store = (self.run / "mlruns").absolute().as_uri()
        client = import_optional("mlflow.tracking").MlflowClient(store)
        found = client.get_experiment_by_name(PROJECT)
        home = client.create_experiment(PROJECT) if found is None else found.experiment_id
        runs = client.search_runs([home])
        if runs:
            self._id = runs[0].info.run_id
            client.update_run(self._id, "RUNNING")
        else:
            self._id = client.create_run(home, run_name=self.run.name).info.run_id
            for name, value in flat(self.facts.get("experiment", {}), "."):
                if value is not None:
                    client.log_param(self._id, _plain(name), str(value)[:500])
        for name in client.get_run(self._id).data.metrics:
            self._known |= {(name, old.step) for old in client.get_metric_history(self._id, name)}
        self._client = client
        return -1  # a killed process may have written a part of a row

    def log(self, row: Row) -> None:
        """Writes the numbers that the store lacks."""
        step = cast("int", row["epoch"])
        metric, now = import_optional("mlflow.entities").Metric, time.time_ns() // 1_000_000
        named = {_plain(name): value for name, value in numbers(row).items()}
        metrics = [
            metric(name, value, now, step)
            for name, value in named.items()
            if (name, step) not in self._known
        ]
        for start in range(0, len(metrics), 1000):  # as many as MLflow takes
            self._client.log_batch(self._id, metrics[start : start + 1000])

    def close(self) -> None:
        """Ends the run, as finished or killed."""
        ended = has_ended(self.run, str(self.facts.get("kind")))
        self._client.set_terminated(self._id, "FINISHED" if ended else "KILLED")


class WeightsAndBiases(Tracker):
    """An offline run in the folder `wandb`, for `wandb sync`.

    Each part of a run is a session with the same id. A killed process loses rows of its session:
    the session is removed, and its rows are written again.
    """

    needs = "wandb"

    def __init__(self, run: Path, facts: Facts) -> None:
        super().__init__(run, facts)
        self._session: Any = None
        self._last = -1

    def begin(self, epoch: int) -> int:
        """Removes sessions that did not end, and starts one."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # over the network
        wandb = import_optional("wandb")
        ident = secrets.token_hex(4)
        for session in sorted((self.run / "wandb").glob("offline-run-*")):
            ident = session.name.rpartition("-")[2]
            if (session / LAST).exists():
                self._last = max(self._last, int((session / LAST).read_text()))
            else:
                shutil.rmtree(session)
        settings = wandb.Settings(
            mode="offline",
            root_dir=str(self.run.absolute()),
            console="off",
            silent=True,
            save_code=False,
            disable_git=True,
            x_disable_stats=True,
            x_disable_meta=True,
        )
        self._session = wandb.init(
            project=PROJECT,
            name=self.run.name,
            id=ident,
            resume="allow",
            reinit="create_new",  # beside one of the user's own
            config=dict(self.facts.get("experiment", {})),
            settings=settings,
        )
        return self._last

    def log(self, row: Row) -> None:
        """Writes the numbers with the epoch as step."""
        self._last = cast("int", row["epoch"])
        self._session.log({"epoch": self._last, **numbers(row)}, step=self._last)

    def close(self) -> None:
        """Ends the session, which writes the file, and marks it as whole."""
        folder = Path(self._session.dir).parent
        self._session.finish()
        (folder / LAST).write_text(str(self._last))


TRACKERS: Table[Callable[[Path, Facts], Tracker]] = Table[Callable[[Path, Facts], Tracker]].of(
    {
        "tensorboard": TensorBoard,
        "csv": CsvTable,
        "mlflow": MLflow,
        "wandb": WeightsAndBiases,
    },
    "tracker",
)
"""Trackers by name."""

NONE = "none"


def tracker_names(text: str) -> list[str]:
    """Returns the names in a text, joined by commas. Raises an error for an unknown one, and for
    one whose package is not installed.
    """
    names = [] if text == NONE else list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in TRACKERS:
            message = f"unknown tracker {quoted(name)}"
            raise NasirError("E201", message, hint=nearest(name, [*TRACKERS, NONE]))
        needed = getattr(TRACKERS[name], "needs", "")
        if needed and importlib.util.find_spec(needed) is None:
            raise not_installed(ModuleNotFoundError(name=needed), f"run.track {name}")
    return names


class Trackers:
    """The trackers of a run, by its facts.

    The first failure of a tracker is reported and ends it; the run continues. Mutable.
    """

    def __init__(self, run: Path, facts: Facts, say: Callable[[str], None]) -> None:
        self._run, self._say = run, say
        asked = facts.get("experiment", {}).get("run", {}).get("track", "tensorboard")
        self._left = {name: TRACKERS[name](run, facts) for name in tracker_names(asked)}
        self._written: dict[str, int] = {}
        self._epoch = -1

    def rewind(self, epoch: int) -> None:
        """Makes rows after this epoch come again."""
        self.close()
        self._epoch = epoch

    def log(self, row: Row, rows: Callable[[], Iterable[Row]]) -> None:
        """Gives a row to the trackers, and those of `rows` before it that they lack."""
        for name in tuple(self._left):
            with self._guarded(name) as tracker:
                before: Iterable[Row] = ()
                if name not in self._written:
                    self._written[name] = -1
                    self._written[name] = tracker.begin(self._epoch)
                    before = (each for each in rows() if _at(each) < _at(row))
                for each in chain(before, (row,)):
                    if _at(each) > self._written[name]:
                        tracker.log(each)

    def close(self) -> None:
        """Closes the trackers that have begun."""
        for name in tuple(self._left):
            if name in self._written:
                with self._guarded(name) as tracker:
                    tracker.close()
        self._written.clear()

    @contextmanager
    def _guarded(self, name: str) -> Generator[Tracker]:
        try:
            yield self._left[name]
        except Exception as error:  # of another's program, by which a run does not end
            tracker = self._left.pop(name)
            with suppress(Exception):
                tracker.close()
            self._say(f"{self._run}: the tracker '{name}' ends here, the run continues: {error}")


def _at(row: Row) -> int:
    return cast("int", row["epoch"])


def _plain(name: str) -> str:
    """Replaces what MLflow does not allow in names."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)


def _histogram(heights: Sequence[float]) -> dict[str, object]:
    """Returns a histogram with one bucket per option: option i between i - 1 and i."""
    limits = range(len(heights))
    return {
        "min": -1.0,
        "max": limits[-1],
        "num": sum(heights),
        "sum": sum(limit * height for limit, height in enumerate(heights)),
        "sum_squares": sum(limit**2 * height for limit, height in enumerate(heights)),
        "bucket_limit": limits,
        "bucket": heights,
    }

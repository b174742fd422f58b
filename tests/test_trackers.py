"""Trackers: what TensorBoard, CSV, MLflow and Weights & Biases have of a run, killed or not."""

import csv
import importlib.util
import json
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto import event_pb2 as untyped

import nasir
from nasir import NasirError
from runners.benchmarks.sources import checked_records
from runners.experiment.search import search
from runners.experiment.trained import replay
from runners.folder.display import Display
from runners.folder.logs import Row, read_rows
from runners.folder.run_folder import RunFolder
from runners.folder.trackers import TRACKERS, Tracker, numbers
from tests.command_line import call
from tests.processes import Say, fork, needs_fork
from tests.searches import run, tiny

event_pb2: Any = untyped


def events(path: Path) -> list[list[Any]]:
    """The events of each file, in the order TensorBoard takes them."""
    return [_events(file) for file in sorted(path.glob("events/*tfevents*"))]


def _events(path: Path) -> list[Any]:
    with path.open("rb") as stream:
        return [event_pb2.Event.FromString(content) for content in checked_records(stream)]


def scalars(event: Any) -> dict[str, float]:
    return {value.tag: value.simple_value for value in event.summary.value}


def test_metrics_become_scalars_of_their_epoch(tmp_path: Path) -> None:
    row = {"epoch": 300, "phase": "search", "rate": 0.5, "train": {"loss": 0.25, "accuracy": None}}
    with RunFolder.create(tmp_path, {}) as folder:
        folder.log({**row, "huge": 1e300})
    ((version, event),) = events(tmp_path)
    assert version.file_version == "brain.Event:2"
    assert event.step == 300
    assert scalars(event) == {"rate": 0.5, "train/loss": 0.25, "huge": float("inf")}
    assert event.wall_time > 1e9


def test_architecture_weights_become_one_histogram_a_choice(tmp_path: Path) -> None:
    weights = {"normal/n2.e0": [0.25, 0.75, 0.0], "reduce/n2.e0": (1.0,), "empty": []}
    with RunFolder.create(tmp_path, {}) as folder:
        folder.log_architecture({"epoch": 1, "weights": weights, "logits": {}})
        folder.log({"epoch": 1})
    ((_, event),) = events(tmp_path)
    first, second = event.summary.value
    assert (first.tag, second.tag) == ("weights/normal/n2.e0", "weights/reduce/n2.e0")
    assert list(first.histo.bucket) == [0.25, 0.75, 0.0]
    assert list(first.histo.bucket_limit) == [0.0, 1.0, 2.0]
    assert (first.histo.min, first.histo.max, first.histo.num) == (-1.0, 2.0, 1.0)


def test_what_lies_behind_the_epoch_gone_back_to_is_purged(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, {}) as folder:
        for epoch in range(4):
            folder.log({"epoch": epoch, "loss": 1.0})
    with RunFolder.open(tmp_path) as folder:
        folder.rewind(1)
        folder.log({"epoch": 2, "loss": 2.0})
    first, (_, start, event) = events(tmp_path)
    assert [each.step for each in first[1:]] == [0, 1, 2, 3]
    assert start.session_log.status == event_pb2.SessionLog.START
    assert start.step == 2
    assert (event.step, scalars(event)) == (2, {"loss": 2.0})
    assert [set(row) for row in read_rows(tmp_path / "metrics.jsonl")] == [{"epoch", "loss"}] * 3


class Notes(Tracker):
    """A line for each row; raises in the method that the environment names."""

    def _note(self, method: str, line: str = "") -> None:
        if os.environ.get("NOTES_FAIL") == method:
            raise RuntimeError(f"no {method}")
        with (self.run / "notes").open("a", encoding="utf-8") as file:
            file.write(line)

    def begin(self, epoch: int) -> int:
        self._note("begin")
        lines = (self.run / "notes").read_text().splitlines()
        return max((int(line.split()[0]) for line in lines), default=-1)

    def log(self, row: Row) -> None:
        values = " ".join(f"{name}={value}" for name, value in numbers(row).items())
        self._note("log", f"{row['epoch']} {values}\n")

    def close(self) -> None:
        self._note("close")


NOTES = nasir.Extension(name="notes", trackers={"notes": Notes})

Written = list[tuple[int, dict[str, float]]]


def read_csv(path: Path) -> Written:
    with (path / "metrics.csv").open(newline="") as file:
        return [
            (int(row.pop("epoch")), {name: float(value) for name, value in row.items() if value})
            for row in csv.DictReader(file)
            if row.pop("phase") == "search"
        ]


def read_notes(path: Path) -> Written:
    lines = [line.split() for line in (path / "notes").read_text().splitlines()]
    pairs = [(epoch, [value.split("=") for value in values]) for epoch, *values in lines]
    return [(int(epoch), {name: float(value) for name, value in each}) for epoch, each in pairs]


def read_mlflow(path: Path) -> Written:
    """By MLflow itself, which has one run. Values of an epoch stand in the order written."""
    client: Any = import_module("mlflow.tracking").MlflowClient(
        (path / "mlruns").absolute().as_uri()
    )
    experiment = client.get_experiment_by_name("nasir")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params == {"seed": "7", "run.track": "mlflow"}
    assert run.info.status == "KILLED"  # no genotype.json
    found: Written = []
    for name in run.data.metrics:
        for each in client.get_metric_history(run.info.run_id, name):
            rows = [row for epoch, row in found if epoch == each.step and name not in row]
            row = rows[0] if rows else {}
            row[name] = each.value
            if not rows:
                found.append((each.step, row))
    return sorted(found, key=lambda each: each[0])


def read_wandb(path: Path) -> Written:
    """The sessions' files, which are logs of LevelDB's form with protobuf's messages."""
    proto: Any = import_module("wandb.proto.wandb_internal_pb2")
    found: Written = []
    files = sorted(path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len({file.name for file in files}) == 1  # the run's id
    for content in (each for file in files for each in _log_records(file.read_bytes())):
        record = proto.Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "history":
            items = {(each.key or each.nested_key[0]): each for each in record.history.item}
            values = {name: float(each.value_json) for name, each in items.items()}
            assert values["epoch"] == values["_step"]
            own = {name: each for name, each in values.items() if name[0] != "_"}
            found.append((int(own.pop("epoch")), own))
    return found


def _log_records(data: bytes) -> Iterator[bytes]:
    """Records may be in parts, in blocks of 32 KiB. Headers of the file and of parts: 7 bytes."""
    at, content = 7, b""
    while at < len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        content += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # full, last
            yield content
            content = b""


READERS = {"csv": read_csv, "notes": read_notes, "mlflow": read_mlflow, "wandb": read_wandb}


def in_row(epoch: int) -> dict[str, Any]:
    """A row; every third has held-out data."""
    row: dict[str, Any] = {"epoch": epoch, "phase": "search", "train": {"loss": 1 / (epoch + 1)}}
    return row if epoch % 3 else {**row, "valid": {"loss": epoch / 8}}


def worked(path: Path, facts: dict[str, Any], epochs: range, saved: int, *, killed: bool) -> None:
    """Logs epochs, saving those up to `saved`, in a process that is killed then, or goes on."""

    def work(say: Say) -> None:
        warnings.simplefilter("ignore")  # of others' programs
        said: list[str] = []
        with nasir.use(NOTES):
            make = RunFolder.open if (path / "run.json").exists() else partial(make_new, facts)
            folder = make(path, said.append)
            folder.rewind(epochs[0] - 1)
            for epoch in epochs:
                folder.log(in_row(epoch))
                if epoch <= saved:
                    folder.save(epoch, {})
            if killed:
                os.kill(os.getpid(), signal.SIGKILL)
            folder.close()
        assert said == []

    assert fork(work).wait() == (-signal.SIGKILL if killed else 0)


def make_new(facts: dict[str, Any], path: Path, say: Callable[[str], None]) -> RunFolder:
    return RunFolder.create(path, facts, say)


def facts_with(name: str) -> dict[str, Any]:
    experiment = {"seed": 7, "run": {"track": name}}
    return {"kind": "search", "choices": {}, "experiment": experiment}


def skip_without(name: str) -> None:
    needed = getattr(TRACKERS.get(name), "needs", "")
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed (nasir[{needed}])")


@needs_fork
@pytest.mark.parametrize("name", READERS)
@pytest.mark.filterwarnings("ignore")  # of others' programs
def test_a_run_that_was_killed_goes_on_with_each_row_once(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the row of epoch 4 and before its checkpoint, and again after epoch 5."""
    skip_without(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # to read it
    monkeypatch.chdir(tmp_path)
    path, facts = Path("run"), facts_with(name)
    worked(path, facts, range(5), 3, killed=True)
    worked(path, facts, range(4, 6), 5, killed=True)
    worked(path, facts, range(6, 7), 6, killed=False)
    expected = [
        (epoch, {k: pytest.approx(v) for k, v in numbers(in_row(epoch)).items()})
        for epoch in range(7)
    ]
    assert READERS[name](path) == expected


@pytest.mark.parametrize("fails", ["begin", "log", "close", ""])
def test_a_tracker_that_fails_ends_and_changes_nothing_else(
    tmp_path: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Heard(Display):
        def say(self, text: str) -> None:
            said.append(text)

    run(tiny(track="none"), tmp_path / "untracked")
    monkeypatch.setenv("NOTES_FAIL", fails)
    with nasir.use(NOTES):
        found = search(tiny(track="notes,csv"), tmp_path / "run", Heard())
    warned = [text for text in said if "the run continues" in text]
    assert [f"no {fails}" in text for text in warned] == [True] * bool(fails)
    assert found.row == json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    for file in ("metrics.jsonl", "architecture.jsonl", "genotype.json"):
        assert (tmp_path / "run" / file).read_bytes() == (
            tmp_path / "untracked" / file
        ).read_bytes()
    epochs = [epoch for epoch, _ in read_notes(tmp_path / "run")]
    assert epochs == ([] if fails in ("begin", "log") else [0, 1])
    assert [epoch for epoch, _ in read_csv(tmp_path / "run")] == [0, 1]
    assert not (tmp_path / "run/events").exists()


def test_trainings_that_a_search_asks_for_and_replays_are_not_tracked(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(path: Path, facts: Any) -> Tracker:
        made.append(path)
        return Notes(path, facts)

    with nasir.use(nasir.Extension(name="counted", trackers={"counted": make})):
        run(tiny(method="successive-halving", track="counted"), tmp_path / "run")
        assert replay(tmp_path / "run").difference == ""
    assert made == [tmp_path / "run"]
    assert [epoch for epoch, _ in read_notes(tmp_path / "run")] == [0, 1, 2]


def test_of_several_processes_the_first_alone_tracks(tmp_path: Path) -> None:
    with nasir.use(NOTES), RunFolder(tmp_path, None, facts_with("notes,csv"), print) as folder:
        folder.rewind(-1)
        folder.log(in_row(0))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_tracker_is_an_error_before_the_run(tmp_path: Path) -> None:
    done = call("search", "nasbench201", "--track", "csv,wandbb", "-o", tmp_path / "run")
    assert done.code == 2
    assert "E201 unknown tracker 'wandbb'" in done.err
    assert "did you mean 'wandb'?" in done.err
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_is_not_installed_is_an_error_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(NasirError, match="mlflow is not installed") as caught:
        run(tiny(track="mlflow"), tmp_path / "run")
    assert (caught.value.code, caught.value.hint) == ("E501", "pip install 'nasir[mlflow]'")
    assert not (tmp_path / "run").exists()

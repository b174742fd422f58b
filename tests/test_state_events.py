"""TensorBoard's events: records of the format, read with the benchmarks' checksum."""

from pathlib import Path
from typing import Any

from tensorboardX.proto import event_pb2 as untyped

from runners.benchmarks.sources import checked_records
from runners.folder.logs import read_rows
from runners.folder.run_folder import RunFolder

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

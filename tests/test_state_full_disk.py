"""A disk that refuses: what was there before is whole, and the error says what that is."""

import errno
import os
from pathlib import Path

import pytest
import torch

from nasir import NasirError
from runners.folder.logs import read_rows
from runners.folder.run_folder import RunFolder
from tests.processes import Say, fork, needs_fork


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run of one epoch."""
    folder = RunFolder.create(tmp_path / "run", {})
    folder.log({"epoch": 0})
    folder.save(0, {"w": torch.zeros(2)})
    return folder


def full(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["write", "replace", "fsync"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    call: str, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(NasirError) as caught:
            folder.save(1, {"w": torch.ones(2)})
    assert caught.value.code == "E112"
    assert "No space left" in caught.value.message
    assert "epoch 0 is safe" in caught.value.hint
    assert folder.saved() == [0]
    assert len(list((folder.path / "checkpoints").iterdir())) == 1
    folder.save(1, {"w": torch.ones(2)})
    latest = folder.latest()
    assert latest is not None
    assert latest.epoch == 1
    folder.close()


def test_a_row_that_fits_in_part_leaves_the_rows_before_it(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = os.write, [5]

    def nearly_full(file: int, content: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = write(file, content[: room[0]])
        room[0] -= part
        return part

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", nearly_full)
        with pytest.raises(NasirError) as caught:
            folder.log({"epoch": 1, "loss": 0.5})
    assert caught.value.code == "E112"
    assert caught.value.where.file.endswith("metrics.jsonl")
    folder.log({"epoch": 1, "loss": 0.25})
    folder.close()
    rows = read_rows(folder.path / "metrics.jsonl")
    assert rows == [{"epoch": 0}, {"epoch": 1, "loss": 0.25}]


def test_genotypes_and_going_back_say_it_too(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in (lambda: folder.write_genotype("{}", None), lambda: folder.rewind(-1)):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            with pytest.raises(NasirError, match="E112"):
                call()
    assert read_rows(folder.path / "metrics.jsonl") == [{"epoch": 0}]
    folder.close()


@needs_fork
def test_a_real_refusal_of_the_system_leaves_the_checkpoint_before(folder: RunFolder) -> None:
    import resource

    def work(say: Say) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            folder.save(1, {"w": torch.zeros(100_000)})
        except NasirError as error:
            say(f"{error.code} {error.message}")

    child = fork(work)
    assert child.line() == "E112 the run cannot be written: File too large"
    assert child.wait() == 0
    assert folder.saved() == [0]
    assert len(list((folder.path / "checkpoints").iterdir())) == 1
    folder.close()


def test_events_that_cannot_be_written_do_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with RunFolder.create(tmp_path, {}, said.append) as folder:
        (tmp_path / "events").write_text("in the way")
        folder.log({"epoch": 0, "loss": 1.0})
        folder.log({"epoch": 1, "loss": 1.0})
    assert len(said) == 1
    assert "the run continues" in said[0]
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 2


def test_a_disk_that_fills_ends_the_events_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with RunFolder.create(tmp_path, {}, said.append) as folder:
        folder.log({"epoch": 0, "loss": 1.0})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            folder.log({"epoch": 1, "loss": 1.0})
        folder.log({"epoch": 2, "loss": 1.0})
    assert len(said) == 1
    assert "No space left" in said[0]
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 3

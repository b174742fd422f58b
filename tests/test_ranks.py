"""Searches and evaluations in several processes, which gloo joins, equal those in one."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import runners
from lowering import BatchPart
from nasir import NasirError
from runners.experiment.experiment import Experiment, RunOptions
from runners.experiment.search import resume
from runners.folder.checkpoint import last_checkpoint
from runners.folder.display import Display
from runners.folder.logs import read_rows
from runners.machine.ranks import Ranks, join_ranks
from tests.image_files import write_npz
from tests.processes import Child, Say, fork, needs_fork, void
from tests.searches import ENAS, tiny, write_text

pytestmark = needs_fork

SHORT: dict[str, Any] = {
    "epochs": 1,
    "batch": 13,
    "limit": 64,
    "steps": 5,
    "precision": "float64",
    "sync_batch_norm": True,
}
"""Five steps of an epoch; parts of a batch differ in size, and the last batch is smaller."""


def _digits(method: str, **changes: Any) -> Experiment:
    return tiny(method=method, **(SHORT | changes))


def _cells(method: str, **changes: Any) -> Experiment:
    return tiny("darts", method, **(SHORT | changes))


def _text(folder: Path) -> Experiment:
    given: dict[str, Any] = {"batch": 6, "sizes": {"hidden": 8}}
    return tiny("darts_rnn", "darts", **(SHORT | given), data=write_text(folder / "text"))


def _enas(folder: Path) -> Experiment:
    (folder / "enas.yaml").write_text(ENAS)
    return _digits(str(folder / "enas.yaml"))


def _training(folder: Path) -> Experiment:
    values = {
        "network.channels": 4,
        "network.layers": 3,
        "train.epochs": 2,
        "train.batch": 12,
        "train.drop_path": 0.2,
        "train.ema": 0.9,
        "train.auxiliary": 0.4,
        "train.validation": 0.5,
        "run.precision": "float64",
    }
    source = np.random.default_rng(0)
    images = source.integers(256, size=(80, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(80) % 10
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:20], "y_test": labels[:20]}
    data = str(write_npz(folder / "images.npz", arrays))
    run = RunOptions(sync_batch_norm=True)
    return Experiment(of="darts_v2", recipe="digits", values=values, data=data, run=run)


EXPERIMENTS: Mapping[str, Callable[[Path], Experiment]] = {
    "darts": lambda _: _digits("darts"),
    "darts-2nd": lambda _: _digits("darts-2nd"),
    "pc-darts": lambda _: _cells("pc-darts"),
    "drnas": lambda _: _digits("drnas"),
    "sdarts-adv": lambda _: _digits("sdarts-adv"),
    "gdas": lambda _: _digits("gdas"),
    "darts-pt": lambda _: _digits("darts-pt", epochs=3),
    "enas": _enas,
    "eigenvalue": lambda _: _digits("darts", parts={"stop": "eigenvalue"}),
    "text": _text,
    "evaluation": _training,
}
FAST = ("pc-darts", "evaluation")


def _run(experiment: Experiment, out: Path) -> None:
    if experiment.search is None:
        runners.evaluate(experiment, out, Display())
    else:
        runners.search(experiment, out, Display())


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _together(count: int, work: Callable[[Say], None]) -> list[Child]:
    """That many processes with torchrun's variables."""
    port = _free_port()

    def joined(rank: int) -> Callable[[Say], None]:
        def run(say: Say) -> None:
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
            os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            work(say)

        return run

    return [fork(joined(rank)) for rank in range(count)]


def _tensors(value: Any, name: str = "") -> dict[str, Tensor]:
    if isinstance(value, Tensor):
        return {name: value}
    if isinstance(value, Mapping):
        pairs: Any = value.items()
        return {k: v for key, each in pairs for k, v in _tensors(each, f"{name}/{key}").items()}
    return {}


def _check_equal(one: Path, other: Path) -> None:
    first, second = last_checkpoint(one), last_checkpoint(other)
    assert first is not None
    assert second is not None
    expected, found = _tensors(first.state), _tensors(second.state)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-9, msg=name)
    rows = [read_rows(run / "metrics.jsonl") for run in (one, other)]
    for row, same in zip(*rows, strict=True):
        for split in {"train", "valid"} & row.keys():
            assert same[split] == pytest.approx(row[split], abs=1e-9)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        pytest.param(name, count, marks=() if name in FAST and count == 2 else pytest.mark.slow)
        for name in EXPERIMENTS
        for count in (2, 3)
    ],
)
def test_processes_equal_one(name: str, count: int, tmp_path: Path) -> None:
    experiment = EXPERIMENTS[name](tmp_path)
    children = _together(count, lambda _: _run(experiment, tmp_path / "together"))
    assert [child.wait() for child in children] == [0] * count
    _run(experiment, tmp_path / "alone")
    _check_equal(tmp_path / "alone", tmp_path / "together")


def test_a_resumed_run_takes_another_number_of_processes(tmp_path: Path) -> None:
    whole = _digits("darts", epochs=2)
    _run(whole, tmp_path / "alone")
    for child in _together(3, lambda _: _run(whole, tmp_path / "together")):
        child.wait()
    for path in (tmp_path / "together" / "checkpoints").glob("0001.pt"):
        path.unlink()
    children = _together(2, lambda _: void(resume(tmp_path / "together", {}, Display())))
    assert [child.wait() for child in children] == [0, 0]
    _check_equal(tmp_path / "alone", tmp_path / "together")


def test_a_killed_process_ends_the_others_with_one_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As from the command line, where each says its error; the checkpoint is whole."""

    class Watched(Display):
        def __init__(self, say: Say) -> None:
            self.said = say

        def epoch(self, row: Mapping[str, object], genotype_text: str) -> None:
            self.said(f"epoch {row['epoch']}")

    def work(say: Say) -> None:
        runners.search(_digits("darts", epochs=50), tmp_path / "run", Watched(say))

    first, second = _together(2, work)
    assert first.line() == "epoch 0"
    second.kill()
    started = time.monotonic()
    assert first.wait() == 1
    assert time.monotonic() - started < 30
    assert "E745" in capfd.readouterr().err
    checkpoint = last_checkpoint(tmp_path / "run")
    assert checkpoint is not None
    resume(tmp_path / "run", {}, Display())


def test_processes_with_other_values_end_with_the_tensors_name() -> None:
    def work(say: Say) -> None:
        ranks = join_ranks("cpu")
        values = {"a": torch.zeros(2), "b": torch.full((2,), float(ranks.rank))}
        with pytest.raises(NasirError, match=r"E745.*'b'"):
            ranks.require_equal(values)
        ranks.follow([values["b"]])
        ranks.require_equal(values)

    assert [child.wait() for child in _together(2, work)] == [0, 0]


def test_parts_cover_a_batch_and_none_is_empty() -> None:
    parts = [Ranks(rank, 3).part(8) for rank in range(3)]
    assert parts == [BatchPart(0, 3, 8), BatchPart(3, 3, 8), BatchPart(6, 2, 8)]
    with pytest.raises(NasirError, match="E728"):
        Ranks(0, 3).part(2)


@pytest.mark.slow
def test_torchrun_starts_a_killed_search_again(tmp_path: Path) -> None:
    """A rank kills itself once; --max-restarts resumes the run, with the same result."""
    out = tmp_path / "together"
    script = tmp_path / "search.py"
    script.write_text(
        "import os, signal, sys\n"
        "from runners.folder.run_folder import RunFolder\n"
        "saved = RunFolder.save\n"
        "def save(self, epoch, state):\n"
        "    found = saved(self, epoch, state)\n"
        "    first = os.environ['TORCHELASTIC_RESTART_COUNT'] == '0'\n"
        "    if first and os.environ['RANK'] == '1' and epoch == 0:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return found\n"
        "RunFolder.save = save\n"
        "from runners.cli.entry import main\n"
        "main()\n"
    )
    small = "nasbench201 --channels 4 --layers 1 --epochs 3 --batch 32 --limit 64 --json"
    exact = "--precision float64 --sync-batch-norm -o"
    asked = ["search", *small.split(), *exact.split()]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    done = subprocess.run(
        [sys.executable, "-m", *torchrun, str(script), *asked, str(out)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plan"]["epochs"] == 3
    subprocess.run([sys.executable, "-m", "nasir", *asked, str(tmp_path / "alone")], check=True)
    _check_equal(tmp_path / "alone", out)

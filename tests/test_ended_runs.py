"""Runs that something ends from outside: signals, and a folder that is removed."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runners.cli import main
from runners.folder.logs import read_rows
from tests.processes import Child, Say, fork, needs_fork

pytestmark = needs_fork

SEARCH = (
    "search", "nasbench201", "--epochs", "500", "--channels", "4", "--layers", "1",
    "--limit", "64", "--batch", "32", "--steps", "2",
)  # fmt: skip
TRAINING = (
    "evaluate", "darts_v2", "--recipe", "digits", "--epochs", "500", "--channels", "4",
    "--layers", "3", "--limit", "64", "--batch", "32", "--steps", "2",
)  # fmt: skip


def started(arguments: tuple[str, ...], out: Path) -> Child:
    """The command in a process that writes to `out`.err, after its first checkpoint."""

    def work(say: Say) -> None:
        del say
        os.dup2(os.open(f"{out}.err", os.O_WRONLY | os.O_CREAT), 2)
        sys.stderr = sys.__stderr__
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            usual = signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL
            signal.signal(each, usual)
        sys.argv = ["nasir", *arguments]
        try:
            main()
        except SystemExit as ended:
            os._exit(int(ended.code or 0))

    child = fork(work)
    until(lambda: any(out.glob("checkpoints/*.pt")))
    return child


def until(done: Callable[[], bool]) -> None:
    """Waits for it, a minute at most."""
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("command", "number"),
    [(SEARCH, signal.SIGINT), (TRAINING, signal.SIGTERM), (SEARCH, signal.SIGHUP)],
)
def test_a_signal_ends_a_run_and_says_how_to_go_on(
    command: tuple[str, ...], number: signal.Signals, tmp_path: Path
) -> None:
    out = tmp_path / "a run"
    child = started((*command, "-o", str(out)), out)
    os.kill(child.pid, number)
    assert child.wait() == 128 + number
    saved = max(int(file.stem) for file in out.glob("checkpoints/*.pt")) + 1
    last = Path(f"{out}.err").read_text().splitlines()[-1]
    assert last == (
        f"nasir: ended by {number.name}: {saved} of 500 epochs are saved; "
        f"resume with: nasir {command[0]} --resume '{out}'"
    )
    assert len(read_rows(out / "metrics.jsonl")) >= saved


def test_a_signal_that_is_ignored_does_not_end_a_run(tmp_path: Path) -> None:
    from runners.folder.run_folder import stopped_by_signals

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
    try:
        with stopped_by_signals(tmp_path, "search"):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("command", "moved"), [(SEARCH, False), (TRAINING, True)])
def test_a_folder_that_is_removed_ends_its_run_and_does_not_come_back(
    command: tuple[str, ...], moved: bool, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    child = started((*command, "-o", str(out)), out)
    out.rename(tmp_path / "other")
    if not moved:
        shutil.rmtree(tmp_path / "other")
    assert child.wait() == 1
    text = Path(f"{out}.err").read_text()
    assert "E112 the run's folder is gone" in text
    assert "epochs that were saved too" in text
    assert not out.exists()

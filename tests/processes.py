"""Other processes for tests: forked, because a fresh one takes seconds to import torch."""

import json
import os
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.command_line import start

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="ray is not installed (nasir[cluster])"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes can be forked here")

Say = Callable[[str], None]


@dataclass
class Child:
    """A forked process; `read` is the end of its pipe."""

    pid: int
    read: int

    def line(self) -> str:
        """The next line that it says, or "" when it has ended."""
        text = b""
        while not text.endswith(b"\n"):
            byte = os.read(self.read, 1)
            if not byte:
                break
            text += byte
        return text.decode().rstrip("\n")

    def kill(self) -> None:
        """Ends it as `kill -9` does, and waits for its end."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Its exit code."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.read)
        return os.waitstatus_to_exitcode(status)


def fork(work: Callable[[Say], None]) -> Child:
    """A process that does `work`, which is given a way to say lines to this one."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that this process has threads
        pid = os.fork()
    if pid:
        os.close(write)
        return Child(pid, read)
    code = 1
    try:
        torch.set_num_threads(1)  # the pool's threads are not here
        work(lambda line: void(os.write(write, f"{line}\n".encode())))
        code = 0
    except BaseException as error:
        os.write(2, f"{error!r}\n".encode())
    finally:
        os._exit(code)


def void(_: object) -> None:
    """Nothing, whatever is given."""


def wait_for_checkpoint(folder: Path) -> Path:
    """The run directory in a folder, or below it, that first has a checkpoint."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        for path in (*folder.glob("checkpoints/*.pt"), *folder.glob("*/checkpoints/*.pt")):
            if not path.name.startswith("."):
                return path.parent.parent
        time.sleep(0.002)
    raise AssertionError(f"{folder} has no checkpoint")


def holder(folder: Path) -> int:
    """The process that holds a run's lock."""
    text = (folder / "lock").read_bytes()[1:]
    return int(json.loads(text)["pid"])


def end_on_ray_despite_a_kill(
    killed: str, command: Sequence[str | Path], again: Sequence[str | Path], within: Path, last: str
) -> None:
    """The command ends well although its driver, or the worker of a run, is killed.

    It is killed as soon as a run in `within` has a checkpoint, while the run's file `last` is not
    there; `again` goes on where the driver was killed.
    """
    driver = start(*command, cwd=within.parent.parent, OMP_NUM_THREADS="1")
    try:
        folder = wait_for_checkpoint(within)
        pid = holder(folder)
        assert pid != driver.pid
        os.kill(driver.pid if killed == "driver" else pid, signal.SIGKILL)
        assert not (folder / last).exists()
        if killed == "driver":
            driver.communicate()
            driver = start(*again, cwd=within.parent.parent, OMP_NUM_THREADS="1")
        _, err = driver.communicate(timeout=600)
        assert driver.returncode == 0, err
    finally:
        driver.kill()

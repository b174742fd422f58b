"""Other processes for tests: forked, because a fresh one takes seconds to import torch."""

import os
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

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

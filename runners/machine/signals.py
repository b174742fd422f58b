"""Signals that end a run: SIGINT, SIGTERM and SIGHUP become one exception."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

import typer

from nasir.quoting import visible

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Stopped(KeyboardInterrupt):
    """A signal has ended the work. The command line exits with 128 + `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def told(standing: Callable[[], str]) -> Generator[None]:
    """Within, a signal raises Stopped at once, and a line on stderr tells where the work stands.

    Signals that the process ignores (nohup) or handles itself are left alone, and all are outside
    the main thread. A second signal has the effect that it had before.
    """
    before = {number: signal.getsignal(number) for number in ENDING}
    usual = (signal.SIG_DFL, signal.default_int_handler)
    mine = [number for number in ENDING if before[number] in usual]

    def restore() -> None:
        for number in mine:
            signal.signal(number, before[number])

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        restore()
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        for number in mine:
            signal.signal(number, stop)
        yield
    except Stopped as stopped:
        typer.echo(visible(f"nasir: {stopped}: {standing()}"), err=True)
        raise
    finally:
        restore()

"""Tasks on Ray, on this machine or on a running cluster that shares the file system."""

import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import nasir
from nasir import Extension, NasirError, Where
from nasir.extension import in_use
from nasir.lazy import import_optional

RETRIES = 3
"""Number of times that Ray runs a task again whose worker died."""

PATIENCE = 30.0
"""Seconds to wait for a dying process to let go of a run directory."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def extensions() -> list[str]:
    """Returns the names of the extensions in use, by which another process can use them."""
    return [each.source or each.extension.name for each in in_use()]


def when_free(work: Callable[[], Result]) -> Result:
    """Returns what `work` returns in a run directory of which a killed process may let go soon."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except NasirError as error:
            if error.code != "E724" or time.monotonic() > until:
                raise
            time.sleep(0.5)


class Cluster:
    """Ray's workers, of which each has `cpus` and `gpus`. Made by `joined`."""

    def __init__(self, ray: Any, cpus: float, gpus: float) -> None:
        self._ray = ray
        self._options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": RETRIES}

    def ended(
        self, work: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[int, Result | NasirError]]:
        """Yields place and result of each item as its task ends.

        Paths and extensions are those of this process. The result is an error if `work` raises it,
        or if the worker died too often.
        """
        ray = self._ray
        task: Any = ray.remote(**self._options)(_in_worker)
        used = [_movable(each.source) or each.extension for each in in_use()]
        try:
            given = ray.put((work, str(Path.cwd()), used))
        except (TypeError, AttributeError) as error:  # of pickle
            message = f"the work cannot be sent to Ray's workers: {error}"
            hint = "extensions and objects that pickle can write: of a file, with --use"
            raise NasirError("E505", message, hint=hint) from None
        waiting = {task.remote(given, item): place for place, item in enumerate(items)}
        while waiting:
            done, _ = ray.wait(list(waiting), timeout=1.0)
            for reference in done:
                yield waiting.pop(reference), self._result(reference)

    def _result(self, reference: Any) -> Any:
        ray = self._ray
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError:
            raise  # an error of nasir itself
        except ray.exceptions.RayError as error:
            reason = str(error).partition("\n")[0]
            message = f"the worker ended {RETRIES + 1} times: {reason}"
            hint = "the memory may be too small; start it again"
            return NasirError("E502", message, hint=hint)


@contextmanager
def joined(address: str, what: str, cpus: float = 1, gpus: float = 0) -> Generator[Cluster]:
    """Yields Ray, `local` or at an address; it is left, and a local one ended, after the context.

    Raises an error if it is not installed, cannot be used, or has too few CPUs or GPUs.
    """
    ray = import_optional("ray", what)
    try:
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        hint = "--ray local, or the address of a running cluster (ray start)"
        raise NasirError("E502", f"Ray cannot be used: {error}", Where(address), hint) from None
    try:
        there = ray.cluster_resources()
        for name, wanted in (("CPU", cpus), ("GPU", gpus)):
            if wanted > there.get(name, 0):  # or tasks would wait for ever
                message = f"a task asks for {wanted:g} {name}s, and Ray has {there.get(name, 0):g}"
                raise NasirError("E502", message, hint="fewer in `resources`, or another --device")
        yield Cluster(ray, cpus, gpus)
    finally:
        ray.shutdown()


def _movable(source: str) -> str:
    return str(Path(source).absolute()) if source and Path(source).exists() else source


def _in_worker(
    given: tuple[Callable[[Any], Any], str, Sequence[str | Extension]], item: object
) -> Any:
    """Works on an item in a worker."""
    work, place, used = given
    os.chdir(place)
    with nasir.use(*used):
        try:
            return work(item)
        except NasirError as error:
            return error

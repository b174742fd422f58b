"""Around a run: it starts or resumes in its directory; memory that is not enough is an error."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

import lowering
from nasir import NasirError, Where
from runners.experiment.experiment import Experiment, experiment_in, merged
from runners.experiment.learner import Learner
from runners.folder.display import Display, display_for_stderr
from runners.folder.facts import Kind, facts_of, other_machine, same_settings
from runners.folder.run_folder import RunFolder, stopped_by_signals
from runners.machine.device import Place, deterministic
from runners.machine.machine import spinning

if TYPE_CHECKING:
    from runners.experiment.run import Run

PROBE = 2
BACKWARD = 1.6
"""The peak of a step's memory, as a multiple of what forward keeps (measured: 1.2 to 1.5)."""


class Built(Protocol):
    """A request with everything that it names made."""

    @property
    def place(self) -> Place:
        """Where it runs."""
        ...

    def facts(self) -> dict[str, Any]:
        """What `run.json` says of it."""
        ...


Made = TypeVar("Made", bound=Built)
Found = TypeVar("Found")


def started(
    out: Path,
    kind: Kind,
    make: Callable[[], Made],
    work: Callable[[Made, RunFolder, Display], Found],
    display: Display | None,
) -> Found:
    """The result of `work` in the new run directory `out`, which is made once `make` has built."""
    with stopped_by_signals(out, kind):
        built = make()
        shown = display_for_stderr() if display is None else display
        return work(built, RunFolder.create(out, built.facts(), shown.say), shown)


def resumed(
    out: Path,
    kind: Kind,
    asked: Mapping[str, Any],
    make: Callable[[Experiment], Made],
    parts: Sequence[str],
    work: Callable[[Made, RunFolder, Display], Found],
    display: Display | None,
) -> Found:
    """The result of `work` in the run directory `out`; it says where the machine is another one.

    `asked` are fields of the experiment that the caller names again; one that differs is E726, and
    so are other `parts` of the facts: data, settings, or a space under the same name.
    """
    facts = facts_of(out, kind)
    experiment = experiment_in(out, facts)
    with stopped_by_signals(out, kind):
        same_settings(facts["experiment"], merged(facts["experiment"], asked))
        built = make(experiment)
        now = built.facts()
        for part in parts:
            same_settings({part: facts[part]}, {part: now[part]})
        shown = display_for_stderr() if display is None else display
        moved = other_machine(facts["machine"], now["machine"])
        if moved:
            shown.say(moved)
        return work(built, RunFolder.open(out, shown.say), shown)


def guarded(
    run: "Run",
    seed: int,
    place: Place,
    work: Callable[[], Found],
    batch: int,
    hints: tuple[str, str],
) -> Found:
    """The result of `work`; the folder and the display are closed whatever happens.

    Raises E744 with the largest batch that should fit where the memory is not enough; `hints` are
    the option that sets it, and what else helps.
    """
    if place.deterministic:
        deterministic(seed)
    slow = spinning()
    if slow:
        run.display.say(slow)
    with run.folder:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            device, (option, hint) = str(place.device), hints
            found = _largest_batch(run.learner)
            if found:
                hint = f"{option}{min(found, max(batch // 2, 1))} should fit; {hint}"
            message = f"the memory of '{device}' is not enough for batches of {batch}"
            raise NasirError("E744", message, hint=hint) from None
        finally:
            run.display.close()


@contextmanager
def restoring(path: Path) -> Generator[None]:
    """Around what puts a checkpoint back: E727 where it is that of another network or optimiser."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        message = "the checkpoint is not of what run.json says"
        hint = "put run.json back as it was, or start the run again in another folder"
        raise NasirError("E727", message, Where(str(path)), hint) from error


def _largest_batch(learner: Learner | None) -> int | None:
    """The largest batch that should fit, a power of two; None where that cannot be found."""
    try:
        free = None if learner is None else free_bytes(learner.place.device)
        return None if learner is None or free is None else _fitting(learner, free)
    except (RuntimeError, MemoryError):
        return None


def _fitting(learner: Learner, free: int) -> int:
    """From what a small step keeps."""
    batch = learner.task.train(0, 0)
    axis = 1 if learner.task.name == "language" else 0
    inputs = tuple(
        value.narrow(axis if value.dim() > 1 and number == 0 else 0, 0, PROBE)
        for number, value in enumerate(batch.inputs)
    )
    kept = lowering.saved_bytes(learner.module, *inputs, *learner.example()).bytes
    fits = int(free / (kept / PROBE * BACKWARD)) if kept else 0
    return 1 << (fits.bit_length() - 1) if fits else 0


def free_bytes(device: torch.device) -> int | None:
    """Memory that a process may still take on the device; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = {line.partition(":")[0]: line.split()[1] for line in lines}
    return int(found["MemAvailable"]) * 1024 if "MemAvailable" in found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory is not enough."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "out of memory" in text
    )

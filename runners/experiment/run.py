"""Starts, resumes and ends an experiment in its run directory; the training loop and its hooks.

At each point a run calls all hooks in order.
"""

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from nasir import NasirError, Where
from nasir.table import brought
from runners.experiment.build import Built
from runners.experiment.experiment import Experiment, experiment_in
from runners.experiment.fields import merged
from runners.experiment.learner import Epoch, Learner, Moment, is_out_of_memory
from runners.folder.checkpoint import Checkpoint
from runners.folder.display import Display, display_for_stderr
from runners.folder.facts import (
    FACTS,
    Kind,
    facts_of,
    other_machine,
    require_extensions,
    same_settings,
)
from runners.folder.run_folder import RunFolder, stopped_by_signals
from runners.folder.trackers import tracker_names
from runners.machine.device import deterministic
from runners.machine.machine import spinning_warning
from runners.machine.ranks import lost_rank
from runners.task.score import Tally
from runners.task.task import Batch, Split

Made = TypeVar("Made", bound=Built)
Found = TypeVar("Found")


def start_run(
    out: Path,
    kind: Kind,
    make: Callable[[], Made],
    again: Callable[[Experiment], Made],
    work: Callable[["Run", Made], Found],
    display: Display | None,
) -> Found:
    """Returns the result of `work` in the new run directory `out`, created after `make`.

    If torchrun started these processes again, the run that is there resumes, made by `again`.
    """
    if is_restart(out):
        return resume_run(out, kind, {}, again, work, display)
    with stopped_by_signals(out, kind):
        built = make()
        tracker_names(built.experiment.run.track)
        shown = _shown(display, built)
        folder = _folder(built, lambda: RunFolder.create(out, built.facts(), shown.say), shown)
        return _run_work(Run(folder, shown), built, work)


def resume_run(
    out: Path,
    kind: Kind,
    asked: Mapping[str, Any],
    make: Callable[[Experiment], Made],
    work: Callable[["Run", Made], Found],
    display: Display | None,
) -> Found:
    """Returns the result of `work` in the run directory `out`; prints differences of the machine.

    `asked` are fields of the experiment that the caller repeats. Raises an error if one differs, or
    a fact that the kind of run compares: data, settings, a space under the same name.
    """
    facts = facts_of(out, kind)
    extensions = require_extensions(out, facts)
    experiment = experiment_in(out, facts)
    tracker_names(experiment.run.track)
    with stopped_by_signals(out, kind):
        same_settings(facts["experiment"], merged(facts["experiment"], asked))
        built = make(experiment)
        now = built.facts()
        for part in built.compared:
            same_settings({part: facts[part]}, {part: now[part]})
        shown = _shown(display, built)
        moved = other_machine(facts["machine"], now["machine"])
        for said in filter(None, (moved, extensions)):
            shown.say(said)
        folder = _folder(built, lambda: RunFolder.open(out, shown.say), shown)
        return _run_work(Run(folder, shown), built, work)


def is_restart(out: Path) -> bool:
    """Whether torchrun started these processes again and `out` has their run, which they resume."""
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return restarts not in ("", "0") and (out / FACTS).is_file()


def _shown(display: Display | None, built: Built) -> Display:
    """Returns the display; of several processes only the first has one."""
    if not built.place.ranks.first:
        return Display()
    return display_for_stderr() if display is None else display


def _folder(built: Built, make: Callable[[], RunFolder], shown: Display) -> RunFolder:
    """Returns the run directory that the first process makes; the others only read it."""
    made: list[RunFolder] = []

    def first() -> tuple[Path, Mapping[str, Any]]:
        made.append(make())
        return made[0].path, made[0].facts

    path, facts = built.place.ranks.told(first)
    return made[0] if made else RunFolder(path, None, facts, shown.say)


def _run_work(run: "Run", built: Made, work: Callable[["Run", Made], Found]) -> Found:
    """Returns the result of `work`; always closes the folder and the display.

    If memory is too small, raises an error with the largest batch that should fit.
    """
    if built.place.deterministic:
        deterministic(built.experiment.seed)
    slow = spinning_warning()
    if slow:
        run.display.say(slow)
    run.steps = built.experiment.run.steps
    with run.folder:
        try:
            return work(run, built)
        except (RuntimeError, MemoryError) as error:
            lost = lost_rank(error)
            if lost is not None:
                raise lost from None
            if not is_out_of_memory(error):
                raise
            hint = built.memory_hint
            found = None if run.learner is None else run.learner.largest_batch()
            if found:
                smaller = min(found, max(built.batch // 2, 1))
                hint = f"{built.batch_option}{smaller} should fit; {hint}"
            device = built.place.device
            message = f"the memory of '{device}' is not enough for batches of {built.batch}"
            raise NasirError("E744", message, hint=hint) from None
        finally:
            run.display.close()


@contextmanager
def restoring(run: Path) -> Generator[None]:
    """Turns exceptions of restoring a checkpoint's state into an error."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        message = "the checkpoint does not match run.json"
        hint = "restore run.json, or start the run again in another folder"
        raise NasirError("E604", message, Where(str(run)), hint) from error


class Run:
    """The training of a network or a supernet in a run directory, resumable after a kill.

    `done` is the number of finished epochs, `row` the last one's metrics, `text` is shown beside
    it. `steps` ends epochs early.
    """

    def __init__(self, folder: RunFolder, display: Display, steps: int | None = None) -> None:
        self.folder, self.display, self.steps = folder, display, steps
        self.learner: Learner | None = None
        self.hooks: Sequence[Hook] = ()
        self.done = 0
        self.row: dict[str, Any] = {}
        self.text = ""

    def start(self, learner: Learner, hooks: Sequence["Hook"]) -> bool:
        """Starts, or resumes from the last checkpoint; returns whether it resumed."""
        own = [make(learner) for make in brought("hook").values()]
        self.learner, self.hooks = learner, (*hooks, *own)
        checkpoint = learner.place.ranks.told(self.folder.latest)
        if checkpoint is not None:
            self.load(checkpoint)
        self.folder.rewind(self.done - 1)
        return checkpoint is not None

    def fit(self, epochs: Sequence[Epoch]) -> None:
        """Trains the remaining epochs."""
        self.display.start(len(epochs), self.done)
        for epoch in epochs[self.done :]:
            if any(hook.ends for hook in self.hooks):
                break
            self._epoch(epoch)

    def load(self, checkpoint: Checkpoint) -> None:
        """Loads a checkpoint. Raises an error for another network's."""
        assert self.learner is not None, "a run is started first"
        state = checkpoint.state
        with restoring(self.folder.path):
            for hook in self.hooks:  # before the weights: they may lower another network
                hook.load_state_dict(state["hooks"][hook.name])
            self.learner.load_state_dict(state)
            self.row, self.done = state["row"], checkpoint.epoch + 1

    def _epoch(self, epoch: Epoch) -> None:
        assert self.learner is not None, "a run is started first"
        started = time.perf_counter()
        self.text = ""
        for hook in self.hooks:
            hook.begin(self, epoch)
        tally = self.learner.task.tally()
        steps = self._steps(self.learner, epoch, tally)
        tally.gather(self.learner.place.ranks)
        trained = time.perf_counter()
        self.row = {
            "epoch": epoch.at.number,
            "phase": epoch.at.phase,
            "lr": epoch.lr,
            "train": tally.facts(),
        }
        for hook in self.hooks:
            hook.end(self, epoch, self.row)
        self._save(self.learner, epoch.at.number)
        self.folder.log_times(
            {
                "epoch": epoch.at.number,
                "seconds": round(time.perf_counter() - started, 3),
                "train_seconds": round(trained - started, 3),
                "steps": steps,
                "loader_seconds": round(tally.loading, 4),
            }
        )

    def _steps(self, learner: Learner, epoch: Epoch, tally: Tally) -> int:
        """Runs the steps of an epoch; returns their number."""
        learner.run.train()
        steps = learner.task.steps(epoch.at.number)
        last = min(steps, self.steps or steps)
        for step in range(last):
            at = replace(epoch.at, step=step, purpose="weights")
            loading = time.perf_counter()
            batch = learner.task.train(at.number, step)
            tally.loading += time.perf_counter() - loading
            learner.lr = epoch.lr_at(step / steps)
            for hook in self.hooks:
                hook.before(self, epoch, batch, at)
            inputs = [value for hook in self.hooks for value in hook.inputs(self, batch, at)]
            learner.reseed(at)
            learner.learn(batch, inputs, at, tally)
            for hook in self.hooks:
                hook.after(self, epoch, batch, at)
            self.display.step(at.number, step, last, tally.facts())
        return last

    def _save(self, learner: Learner, number: int) -> None:
        """Writes the row, and then the checkpoint that completes the epoch.

        Raises an error if processes have other weights or logits than the first.
        """
        learner.place.ranks.require_equal(learner.named_values())
        hooks = {hook.name: hook.state_dict() for hook in self.hooks}
        self.finish(number, {**learner.state_dict(), "hooks": hooks})

    def finish(self, number: int, state: Mapping[str, Any]) -> None:
        """Writes the row of an epoch or a query, and then the checkpoint that completes it."""
        self.done = number + 1
        self.folder.log(self.row)
        self.folder.save(number, {**state, "row": self.row})
        self.display.epoch(self.row, self.text)


class Hook:
    """Callbacks of a run, which do nothing by default.

    `keys` are the attributes in `state_dict`: plain data, tensors, and mappings of them.
    """

    keys: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        """The name in checkpoints."""
        return type(self).__name__.lower()

    @property
    def ends(self) -> bool:
        """Whether the run ends before its next epoch."""
        return False

    def begin(self, run: Run, epoch: Epoch) -> None:
        """Runs before an epoch."""

    def before(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        """Runs before the weights' step on a batch."""

    def inputs(self, run: Run, batch: Batch, at: Moment) -> tuple[Any, ...]:
        """Returns inputs of the network in the weights' step, after the batch."""
        return ()

    def after(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        """Runs after the weights' step on a batch."""

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Runs after an epoch; `row` is its row of metrics and may be extended."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the attributes in `keys`."""
        return {key: getattr(self, key) for key in self.keys}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads a `state_dict`."""
        for key in self.keys:
            setattr(self, key, state[key])


class DropPath(Hook):
    """Drops paths with a probability that grows with the epochs."""

    def __init__(self, learner: Learner, probability: Callable[[Moment], float]) -> None:
        self.learner, self.probability = learner, probability

    def begin(self, run: Run, epoch: Epoch) -> None:
        """Sets the epoch's probability."""
        self.learner.run.drop_path = self.probability(epoch.at)

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Resets the probability to 0."""
        row["drop_path"] = self.probability(epoch.at)
        self.learner.run.drop_path = 0.0


class Measured(Hook):
    """Measures the splits that are due in an epoch."""

    def __init__(self, learner: Learner, due: Callable[[Epoch], Sequence[Split]]) -> None:
        self.learner, self.due = learner, due

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Adds loss and metric of each split to the row."""
        at = replace(epoch.at, purpose="held out")
        row |= {split: self.learner.measured(split, at) for split in self.due(epoch)}

"""The run of an experiment in its directory: how it starts, resumes and ends, its loop, its hooks.

A run calls its hooks in their order, at each moment all of them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from nasir import NasirError, Where
from runners.experiment.build import Built
from runners.experiment.experiment import Experiment, experiment_in
from runners.experiment.fields import merged
from runners.experiment.learner import Epoch, Learner, Moment, is_out_of_memory
from runners.folder.checkpoint import Checkpoint
from runners.folder.display import Display, display_for_stderr
from runners.folder.facts import Kind, facts_of, other_machine, same_settings
from runners.folder.run_folder import RunFolder, stopped_by_signals
from runners.machine.device import deterministic
from runners.machine.machine import spinning
from runners.task.score import Tally
from runners.task.task import Batch, Split

Made = TypeVar("Made", bound=Built)
Found = TypeVar("Found")


def started(
    out: Path,
    kind: Kind,
    make: Callable[[], Made],
    work: Callable[["Run", Made], Found],
    display: Display | None,
) -> Found:
    """The result of `work` in the new run directory `out`, which is created after `make`."""
    with stopped_by_signals(out, kind):
        built = make()
        shown = display_for_stderr() if display is None else display
        return _guarded(Run(RunFolder.create(out, built.facts(), shown.say), shown), built, work)


def resumed(
    out: Path,
    kind: Kind,
    asked: Mapping[str, Any],
    make: Callable[[Experiment], Made],
    work: Callable[["Run", Made], Found],
    display: Display | None,
) -> Found:
    """The result of `work` in the run directory `out`; prints what differs of the machine.

    `asked` are fields of the experiment that the caller names again; one that differs is an error,
    and so are other facts that the kind of run compares: data, settings, a space under the same
    name.
    """
    facts = facts_of(out, kind)
    experiment = experiment_in(out, facts)
    with stopped_by_signals(out, kind):
        same_settings(facts["experiment"], merged(facts["experiment"], asked))
        built = make(experiment)
        now = built.facts()
        for part in built.compared:
            same_settings({part: facts[part]}, {part: now[part]})
        shown = display_for_stderr() if display is None else display
        moved = other_machine(facts["machine"], now["machine"])
        if moved:
            shown.say(moved)
        return _guarded(Run(RunFolder.open(out, shown.say), shown), built, work)


def _guarded(run: "Run", built: Made, work: Callable[["Run", Made], Found]) -> Found:
    """The result of `work`; the folder and the display are closed whatever happens.

    Raises an error with the largest batch that should fit where the memory is not enough.
    """
    if built.place.deterministic:
        deterministic(built.experiment.seed)
    slow = spinning()
    if slow:
        run.display.say(slow)
    run.steps = built.experiment.run.steps
    with run.folder:
        try:
            return work(run, built)
        except (RuntimeError, MemoryError) as error:
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


class Run:
    """The training of a network or a supernet in a run directory, from which it resumes if killed.

    `done` counts the epochs so far, `row` is the last one's, `text` is shown beside it. `steps`
    ends an epoch early.
    """

    def __init__(self, folder: RunFolder, display: Display, steps: int | None = None) -> None:
        self.folder, self.display, self.steps = folder, display, steps
        self.learner: Learner | None = None
        self.hooks: Sequence[Hook] = ()
        self.done = 0
        self.row: dict[str, Any] = {}
        self.text = ""

    def start(self, learner: Learner, hooks: Sequence["Hook"]) -> bool:
        """Begins with this network, or resumes from the last checkpoint; whether it resumed."""
        self.learner, self.hooks = learner, hooks
        checkpoint = self.folder.latest()
        if checkpoint is not None:
            self.load(checkpoint)
        self.folder.rewind(self.done - 1)
        return checkpoint is not None

    def fit(self, epochs: Sequence[Epoch]) -> None:
        """Trains for the epochs that are left."""
        self.display.start(len(epochs), self.done)
        for epoch in epochs[self.done :]:
            if any(hook.ends for hook in self.hooks):
                break
            self._epoch(epoch)

    def load(self, checkpoint: Checkpoint) -> None:
        """Takes the state of a checkpoint. Raises an error for one of another network."""
        assert self.learner is not None, "a run is started first"
        state = checkpoint.state
        try:
            for hook in self.hooks:  # they may lower the network that has the weights
                hook.load_state_dict(state["hooks"][hook.name])
            self.learner.load_state_dict(state)
            self.row, self.done = state["row"], checkpoint.epoch + 1
        except (RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            if is_out_of_memory(error):
                raise
            message = "the checkpoint is not of what run.json says"
            hint = "put run.json back as it was, or start the run again in another folder"
            raise NasirError("E604", message, Where(str(self.folder.path)), hint) from error

    def _epoch(self, epoch: Epoch) -> None:
        assert self.learner is not None, "a run is started first"
        started = time.perf_counter()
        self.text = ""
        for hook in self.hooks:
            hook.begin(self, epoch)
        tally = Tally()
        steps = self._steps(self.learner, epoch, tally)
        trained = time.perf_counter()
        self.row = {
            "epoch": epoch.at.number,
            "phase": epoch.at.phase,
            "lr": epoch.lr,
            "train": tally.facts(self.learner.task.metric),
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
        """The steps of an epoch; how many there were."""
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
            self.display.step(at.number, step, last, tally.facts(learner.task.metric))
        return last

    def _save(self, learner: Learner, number: int) -> None:
        """Everything that the epoch leaves: the row, and the checkpoint that seals it."""
        self.done = number + 1
        self.folder.log(self.row)
        hooks = {hook.name: hook.state_dict() for hook in self.hooks}
        self.folder.save(number, {**learner.state_dict(), "hooks": hooks, "row": self.row})
        self.display.epoch(self.row, self.text)


class Hook:
    """Nothing at any moment; what a hook does, it overrides.

    `keys` are the attributes in its `state_dict`: plain data, tensors, and mappings of them.
    """

    keys: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        """Its name in checkpoints."""
        return type(self).__name__.lower()

    @property
    def ends(self) -> bool:
        """Whether the run ends before its next epoch."""
        return False

    def begin(self, run: Run, epoch: Epoch) -> None:
        """Before an epoch."""

    def before(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        """Before the weights' step on a batch."""

    def inputs(self, run: Run, batch: Batch, at: Moment) -> tuple[Any, ...]:
        """Inputs of the network in the weights' step, beside the batch."""
        return ()

    def after(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        """After the weights' step on a batch."""

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """After an epoch; `row` is its row of metrics, which may be added to."""

    def state_dict(self) -> dict[str, Any]:
        """The attributes that `keys` names."""
        return {key: getattr(self, key) for key in self.keys}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a `state_dict`."""
        for key in self.keys:
            setattr(self, key, state[key])


class DropPath(Hook):
    """Drops paths with a probability that grows with the epochs."""

    def __init__(self, learner: Learner, probability: Callable[[Moment], float]) -> None:
        self.learner, self.probability = learner, probability

    def begin(self, run: Run, epoch: Epoch) -> None:
        """Sets the epoch's."""
        self.learner.run.drop_path = self.probability(epoch.at)

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Drops none any more."""
        row["drop_path"] = self.probability(epoch.at)
        self.learner.run.drop_path = 0.0


class Measured(Hook):
    """Measures held-out data: those of an epoch's parts that are due."""

    def __init__(self, learner: Learner, due: Callable[[Epoch], Sequence[Split]]) -> None:
        self.learner, self.due = learner, due

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        """Loss and metric of each part."""
        at = replace(epoch.at, purpose="held out")
        row |= {split: self.learner.measured(split, at) for split in self.due(epoch)}

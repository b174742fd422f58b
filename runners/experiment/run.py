"""The loop: epochs of steps, and a row and a checkpoint after each; hooks do everything else."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runners.experiment.guard import restoring
from runners.experiment.hooks import Hook
from runners.experiment.learner import Learner
from runners.experiment.schedule import Epoch
from runners.folder.checkpoint import Checkpoint
from runners.folder.display import Display
from runners.folder.run_folder import RunFolder
from runners.task.tally import Tally


class Run:
    """The training of a network or a supernet in a run directory, from which it resumes if killed.

    `done` counts the epochs so far, `row` is the last one's, `text` is shown beside it. `steps`
    ends an epoch early.
    """

    def __init__(self, folder: RunFolder, display: Display, steps: int | None) -> None:
        self.folder, self.display, self.steps = folder, display, steps
        self.learner: Learner | None = None
        self.hooks: Sequence[Hook] = ()
        self.done = 0
        self.row: dict[str, Any] = {}
        self.text = ""

    def start(self, learner: Learner, hooks: Sequence[Hook]) -> bool:
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
        """Takes the state of a checkpoint. Raises E727 for one of another network."""
        assert self.learner is not None, "a run is started first"
        with restoring(self.folder.path):
            state = checkpoint.state
            for hook in self.hooks:  # they may lower the network that has the weights
                hook.load_state_dict(state["hooks"][hook.name])
            self.learner.load_state_dict(state)
            self.row, self.done = state["row"], checkpoint.epoch + 1

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
            "rate": epoch.rate,
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
            learner.rate = epoch.rate_at(step / steps)
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

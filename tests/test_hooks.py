"""The loop and its hooks: who is called when, and what a checkpoint brings back."""

from pathlib import Path
from typing import Any

from runners.experiment.build import build_training
from runners.experiment.learner import Epoch, Moment
from runners.experiment.run import Hook, Run
from runners.experiment.train import make_learner
from runners.folder.display import Display
from runners.folder.run_folder import RunFolder
from runners.task.task import Batch
from tests.trainings import small

EPOCHS = tuple(Epoch(Moment(0, number, 3, number), lr=0.1) for number in range(3))


class Noting(Hook):
    """Notes its calls, and ends the run after so many epochs."""

    keys = ("count",)

    def __init__(self, last: int = 3) -> None:
        self.calls, self.count, self.last = list[str](), 0, last

    @property
    def ends(self) -> bool:
        return self.count == self.last

    def begin(self, run: Run, epoch: Epoch) -> None:
        self.calls.append(f"begin {epoch.at.number}")

    def before(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        self.calls.append(f"before {at.step}")

    def inputs(self, run: Run, batch: Batch, at: Moment) -> tuple[Any, ...]:
        self.calls.append(f"inputs {at.step}")
        return ()

    def after(self, run: Run, epoch: Epoch, batch: Batch, at: Moment) -> None:
        self.calls.append(f"after {at.step}")

    def end(self, run: Run, epoch: Epoch, row: dict[str, Any]) -> None:
        self.calls.append(f"end {row['epoch']}")
        self.count += 1


def ran(folder: RunFolder, hook: Noting) -> Run:
    run = Run(folder, Display(), steps=2)
    with folder:
        run.start(make_learner(build_training(small())), [hook, Hook()])
        run.fit(EPOCHS)
    return run


def test_a_hook_is_called_at_each_moment_and_its_state_ends_and_resumes_a_run(
    tmp_path: Path,
) -> None:
    """A hook without methods is called as well, and does nothing."""
    first, second = Noting(last=1), Noting()
    ran(RunFolder.create(tmp_path / "run", {"kind": "evaluate"}), first)
    steps = [f"{moment} {step}" for step in (0, 1) for moment in ("before", "inputs", "after")]
    assert first.calls == ["begin 0", *steps, "end 0"]
    run = ran(RunFolder.open(tmp_path / "run"), second)
    assert second.calls == ["begin 1", *steps, "end 1", "begin 2", *steps, "end 2"]
    assert (second.count, run.done, run.row["epoch"]) == (3, 3, 2)

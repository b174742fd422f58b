"""Training: epochs, measures, a checkpoint after each; weights and a summary at the end."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import nasir
from runners.experiment.conduct import restoring
from runners.experiment.training.build import Built
from runners.experiment.training.final import write_final
from runners.experiment.training.inherit import begin
from runners.experiment.training.schedule import rate
from runners.experiment.training.trainer import Made, Step, Trainer
from runners.folder.checkpoint import Checkpoint
from runners.folder.live import Display
from runners.folder.run_folder import RunFolder
from runners.task.tally import Tally
from runners.task.task import Batch


@dataclass(slots=True)
class Progress:
    """What a training has seen so far, beside the trainer. Changes after every epoch.

    `losses` are those on validation data, an entry for each time it was measured.
    """

    epoch: int = -1
    losses: list[float] = field(default_factory=list[float])
    best: int | None = None


class Run:
    """A training in a run directory. Killed, it goes on from its folder."""

    def __init__(self, built: Built, folder: RunFolder, display: Display) -> None:
        self.built, self.folder, self.display = built, folder, display
        self.recipe, self.task = built.recipe, built.task
        self.progress = Progress()
        self.trainer: Trainer | None = None

    def run(self) -> Mapping[str, Any]:
        """Trains, or goes on, to the end; the summary, which is written last."""
        epochs = self.recipe.train.epochs
        self.display.say(f"{epochs} epochs")
        trainer = self._trainer()
        self.folder.write_final("genotype.json", nasir.dump_genotype(self.built.genotype).encode())
        self.display.start(epochs, self.progress.epoch + 1)
        for epoch in range(self.progress.epoch + 1, epochs):
            self._epoch(trainer, epoch)
        if self.recipe.train.keep == "best" and self.progress.best is not None:
            self._restore(trainer, self.folder.load(self.progress.best))
        return write_final(trainer, self.built, self.folder, self.progress.best)

    def _trainer(self) -> Trainer:
        """The trainer at the beginning, or as the last checkpoint has it."""
        built, request = self.built, self.built.request
        trainer = Trainer(Made(built.graph, self.recipe, self.task, built.place, request.seed))
        self.trainer = trainer
        checkpoint = self.folder.latest()
        if checkpoint is None:
            self.folder.rewind(-1)
            said = begin(trainer.module, request)
            if said:
                self.display.say(said)
            return trainer
        self._restore(trainer, checkpoint)
        state = checkpoint.state
        with restoring(self.folder.path):
            self.progress = Progress(checkpoint.epoch, state["losses"], state["best"])
        self._pin()
        self.folder.rewind(checkpoint.epoch)
        return trainer

    def _restore(self, trainer: Trainer, checkpoint: Checkpoint) -> None:
        with restoring(self.folder.path):
            trainer.restore(checkpoint.state)

    def _epoch(self, trainer: Trainer, epoch: int) -> None:
        started = time.perf_counter()
        train = self.recipe.train
        dropped = train.drop_path * epoch / train.epochs
        tally = self._learnt(trainer, epoch, dropped)
        seconds = time.perf_counter() - started
        row: dict[str, Any] = {
            "epoch": epoch,
            "phase": "train",
            "rate": rate(self.recipe, epoch, 0, 1),
            "train": tally.facts(self.task.metric),
        }
        if train.drop_path:
            row["drop_path"] = dropped
        row |= self._measured(trainer, epoch)
        self._keep(trainer, row)
        self.folder.log_times(
            {
                "epoch": epoch,
                "seconds": round(time.perf_counter() - started, 3),
                "train_seconds": round(seconds, 3),
                "steps": tally.steps // train.accumulate,
                "loader_seconds": round(tally.loading, 4),
            }
        )

    def _learnt(self, trainer: Trainer, epoch: int, dropped: float) -> Tally:
        """An epoch of steps."""
        tally = Tally()
        steps = self.task.steps(epoch)
        last = min(steps, self.built.request.steps or steps)

        def load(number: int) -> Batch:
            start = time.perf_counter()
            batch = self.task.train(epoch, number)
            tally.loading += time.perf_counter() - start
            return batch

        for number in range(last):
            step = Step(epoch, number, rate(self.recipe, epoch, number, steps), dropped)
            trainer.learn(step, load(number), tally)
            self.display.step(epoch, number, last, tally.facts(self.task.metric))
        return tally

    def _measured(self, trainer: Trainer, epoch: int) -> dict[str, dict[str, float]]:
        """The held-out parts' measures; averaging begins where validation stands still.

        Merity and others (arXiv:1708.02182, algorithm 1), as DARTS' code has it: from the sixth
        measurement on, when the loss is above the least of all but the last n.
        """
        train, patience = self.recipe.train, self.recipe.optimizer.average_after
        if (epoch + 1) % train.measure and epoch + 1 < train.epochs:
            return {}
        found = {split: trainer.measured(split) for split in self._due(epoch)}
        if "valid" in found:
            loss, losses = found["valid"]["loss"], self.progress.losses
            if not losses or loss < min(losses):
                self.progress.best = epoch
            before = losses[:-patience] if patience else []
            if not trainer.averaging and len(losses) > patience and before and loss > min(before):
                trainer.averaging = True
                self.display.say("validation stands still: weights are averaged from here on")
            losses.append(loss)
        return dict(found)

    def _due(self, epoch: int) -> tuple[Any, ...]:
        """The parts to measure: a text's test words only at the end, as published."""
        if self.task.name == "images" or epoch + 1 == self.recipe.train.epochs:
            return self.task.splits
        return ("valid",)

    def _keep(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Everything that the epoch leaves: a row, and the checkpoint that seals it."""
        self.progress.epoch = epoch = row["epoch"]
        self._pin()
        self.folder.log(row)
        progress = {"losses": self.progress.losses, "best": self.progress.best}
        self.folder.save(epoch, {**trainer.saved(), **progress})
        self.display.epoch(row, "")

    def _pin(self) -> None:
        """Lets the best epoch's checkpoint stay."""
        best = self.progress.best
        self.folder.pinned = set() if best is None else {best}

"""The loop: stages, epochs, decisions; a checkpoint after each epoch; a genotype at the end."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import nasir
from nasir import Genotype
from runners.experiment.conduct import restoring
from runners.experiment.learner import Ingredients, Learner
from runners.experiment.loop.build import Built
from runners.experiment.loop.checkpoint import kept_of, restore, saved
from runners.experiment.loop.epoch import EpochJob, run_epoch
from runners.experiment.loop.record import architecture_row, metrics_row
from runners.experiment.loop.request import Request
from runners.experiment.loop.schedule import Epoch, schedule
from runners.experiment.loop.supernets import enter, pruned, stage_graph
from runners.experiment.parts.mixture import Softmax
from runners.experiment.parts.moment import Moment
from runners.folder.live import Display, genotype_lines
from runners.folder.run_folder import RunFolder
from runners.task.score import Score, measures, score
from runners.task.tally import Tally


@dataclass(slots=True)
class Progress:
    """What a search has seen so far, beside the learner. Changes after every epoch."""

    epoch: int = -1
    genotypes: list[str] = field(default_factory=list[str])
    eigenvalues: list[float] = field(default_factory=list[float])
    stopped: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The result: a genotype, and the last epoch's measures."""

    genotype: Genotype
    row: dict[str, Any]


class Search:
    """A search in a run directory. `run` may be called once; killed, it goes on from its folder."""

    def __init__(self, built: Built, folder: RunFolder, display: Display) -> None:
        self.built, self.folder, self.display = built, folder, display
        self.request: Request = built.request
        self.method, self.settings = built.method, built.settings
        self.progress = Progress()
        self._made = Ingredients(
            built.space,
            built.task,
            built.place,
            built.request.seed,
            built.settings,
            built.method.mixture,
            built.method.edges or Softmax(),
            built.method.regularise,
            built.request.memory,
            display.say,
        )
        self.learner: Learner | None = None
        self._row: dict[str, Any] = {}

    def run(self) -> Found:
        """Searches, or goes on, to the end; writes `genotype.json` last."""
        if not self.settings.stages:
            return self._ended(nasir.sample(self.built.space, self.request.seed))
        self.display.say(self.built.plan.words)
        learner = self._learner()
        epochs = schedule(
            self.settings,
            self.method.select.tuning(learner),
            restarts=self.request.as_published,
        )
        self.display.start(len(epochs), self.progress.epoch + 1)
        for epoch in epochs[self.progress.epoch + 1 :]:
            if self.progress.stopped is not None:
                break
            self._epoch(learner, epoch)
        return self._ended(self._genotype(learner, epochs[-1]))

    def _learner(self) -> Learner:
        """The learner at the beginning, or as the last checkpoint has it."""
        checkpoint = self.folder.latest()
        if checkpoint is None:
            self.folder.rewind(-1)
            learner = Learner(self._made, self._graph(0, {}))
            self.learner = learner
            return learner
        state = checkpoint.state
        learner = Learner(self._made, self._graph(0, {}))
        with restoring(self.folder.path):
            if state["stage"]:
                learner.lower(self._graph(int(state["stage"]), kept_of(state)))
            restore(learner, state)
            self.progress = Progress(
                checkpoint.epoch, state["genotypes"], state["eigenvalues"], state["stopped"]
            )
            self._row = state["row"]
        self.folder.rewind(checkpoint.epoch)
        self.learner = learner
        return learner

    def _graph(self, stage: int, kept: dict[str, tuple[int, ...]]) -> nasir.Graph:
        built = self.built
        assert built.supernet is not None, "what trains has a supernet"
        return stage_graph(
            built.supernet, built.method, built.settings.stages[stage], kept, built.space
        )

    def _epoch(self, learner: Learner, epoch: Epoch) -> None:
        started = time.perf_counter()
        if epoch.phase == "search" and epoch.stage and self._begins(epoch):
            self._enter_stage(learner, epoch.stage)
        moment = self._moment(epoch)
        if epoch.phase == "projection":
            self.method.select.decide(learner, moment)
        tally = run_epoch(learner, self.method, self._job(learner, epoch, moment))
        row = metrics_row(learner, self.method, epoch, moment, tally)
        if self._validates(epoch):
            row["valid"] = self._validated(learner, moment)
        self._watch_eigenvalue(learner, epoch, moment, row)
        self._keep(learner, epoch, moment, row)
        self.folder.log_times(
            {
                "epoch": epoch.number,
                "seconds": round(time.perf_counter() - started, 3),
                "steps": tally.steps,
                "loader_seconds": round(tally.loading, 4),
            }
        )

    def _begins(self, epoch: Epoch) -> bool:
        before = sum(stage.epochs for stage in self.settings.stages[: epoch.stage])
        return epoch.number == before

    def _enter_stage(self, learner: Learner, number: int) -> None:
        stage = self.settings.stages[number]
        kept = {**learner.decided.kept, **(pruned(learner, stage.options) if stage.options else {})}
        self.display.say(f"stage {number + 1}: 1/{stage.parts} of the channels")
        enter(learner, self._graph(number, kept), kept, self.request.seed)

    def _moment(self, epoch: Epoch) -> Moment:
        return Moment(self.request.seed, epoch.place, epoch.of, epoch.number, phase=epoch.phase)

    def _job(self, learner: Learner, epoch: Epoch, moment: Moment) -> EpochJob:
        steps = learner.task.steps(epoch.number)
        steps = min(steps, self.request.steps or steps)

        def watch(step: int, tally: Tally) -> None:
            facts = tally.facts(learner.task.metric)
            self.display.step(epoch.number, step, steps, facts)

        return EpochJob(
            moment,
            epoch.rate,
            not epoch.warming,
            self.settings.train.drop_path * moment.progress,
            steps,
            watch,
        )

    def _validates(self, epoch: Epoch) -> bool:
        return self.request.validate == "each" or epoch.place == epoch.of - 1

    def _validated(self, learner: Learner, moment: Moment) -> dict[str, float]:
        """The supernet on held-out data in evaluation mode; running statistics are read."""
        moment = replace(moment, purpose="held out")
        mixture = learner.draw(moment)
        learner.module.eval()
        try:
            found: Score = score(learner.task, lambda batch: learner.evaluated(batch, mixture))
        finally:
            learner.module.train()
        return measures(found.loss, found.accuracy, 1, learner.task.metric)

    def _watch_eigenvalue(
        self, learner: Learner, epoch: Epoch, moment: Moment, row: dict[str, Any]
    ) -> None:
        stop = self.method.stop
        if stop is None or epoch.phase != "search" or not stop.due(epoch.number):
            return
        value = stop.measure(learner, replace(moment, purpose="eigenvalue"))
        row["eigenvalue"] = value
        self.progress.eigenvalues.append(value)
        self.progress.stopped = stop.stops(self.progress.eigenvalues)
        if self.progress.stopped is not None:
            self.display.say(
                f"the eigenvalue has grown: stopped, with the genotype of epoch "
                f"{self.progress.stopped}"
            )

    def _keep(self, learner: Learner, epoch: Epoch, moment: Moment, row: dict[str, Any]) -> None:
        """Everything that the epoch leaves: rows, genotype, and the checkpoint that seals it."""
        genotype = self._current(learner, moment)
        text = "" if genotype is None else nasir.dump_genotype(genotype)
        self.progress.epoch = epoch.number
        self.progress.genotypes.append(text)
        self._row = row
        self.folder.log(row)
        self.folder.log_architecture(architecture_row(learner, epoch.number, moment))
        if text:
            self.folder.write_genotype(text, epoch.number)
        state = {
            **saved(learner),
            "stage": epoch.stage,
            "genotypes": self.progress.genotypes,
            "eigenvalues": self.progress.eigenvalues,
            "stopped": self.progress.stopped,
            "row": row,
        }
        self.folder.save(epoch.number, state)
        self.display.epoch(row, "" if genotype is None else genotype_lines(genotype))

    def _current(self, learner: Learner, moment: Moment) -> Genotype | None:
        """What selection by the mixture's weights alone would choose now, where it can."""
        if learner.controller is not None:
            return learner.controller.most_likely()
        if not self.method.ranks:
            return None
        return nasir.derive(self.built.space, learner.expected(moment))

    def _genotype(self, learner: Learner, last: Epoch) -> Genotype:
        stopped = self.progress.stopped
        if stopped is not None:
            return nasir.load_genotype(self.progress.genotypes[stopped])
        moment = replace(self._moment(last), purpose="selection")
        return self.method.select.genotype(learner, moment)

    def _ended(self, genotype: Genotype) -> Found:
        genotype = replace(genotype, name=f"{self.method.name}_{self.request.seed}")
        self.folder.write_genotype(nasir.dump_genotype(genotype), None)
        return Found(genotype, self._row)

"""What happens around the steps of a training: hooks, each with a state of its own.

A run calls its hooks in their order, at each moment all of them.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from runners.experiment.learner import Learner
from runners.experiment.parts.moment import Moment
from runners.experiment.schedule import Epoch
from runners.task.task import Batch, Split

if TYPE_CHECKING:
    from runners.experiment.run import Run


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

    def begin(self, run: "Run", epoch: Epoch) -> None:
        """Before an epoch."""

    def before(self, run: "Run", epoch: Epoch, batch: Batch, at: Moment) -> None:
        """Before the weights' step on a batch."""

    def inputs(self, run: "Run", batch: Batch, at: Moment) -> tuple[Any, ...]:
        """Inputs of the network in the weights' step, beside the batch."""
        return ()

    def after(self, run: "Run", epoch: Epoch, batch: Batch, at: Moment) -> None:
        """After the weights' step on a batch."""

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
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

    def begin(self, run: "Run", epoch: Epoch) -> None:
        """Sets the epoch's."""
        self.learner.run.drop_path = self.probability(epoch.at)

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
        """Drops none any more."""
        row["drop_path"] = self.probability(epoch.at)
        self.learner.run.drop_path = 0.0


class Measured(Hook):
    """Measures held-out data every so many epochs and after the last one."""

    def __init__(
        self, learner: Learner, splits: Callable[[Epoch], Sequence[Split]], every: int
    ) -> None:
        self.learner, self.splits, self.every = learner, splits, every

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
        """Loss and metric of each part."""
        number = epoch.at.number + 1
        if number % self.every == 0 or number == epoch.at.epochs:
            row |= {split: self.learner.measured(split) for split in self.splits(epoch)}


class Best(Hook):
    """Keeps the checkpoint of the epoch with the least loss on validation data.

    `losses` has an entry for each time it was measured.
    """

    keys = ("losses", "best")

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.best: int | None = None

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
        """Compares."""
        if "valid" in row:
            loss = row["valid"]["loss"]
            if not self.losses or loss < min(self.losses):
                self.best = epoch.at.number
            self.losses.append(loss)
        run.folder.pinned = set() if self.best is None else {self.best}


class Average(Hook):
    """A running average of the network's state, which is then what is measured and kept.

    With a `decay` d it moves by 1 - d towards the state at each step (an exponential average);
    with 0 all states count alike, which is averaged SGD (Polyak and Juditsky, 1992). It begins at
    once, or with a `patience` where validation stands still: Merity and others (arXiv:1708.02182,
    algorithm 1), as DARTS' code has it: from the sixth measurement on, when the loss is above the
    least of all but the last n.
    """

    keys = ("averaging", "count", "values")

    def __init__(self, learner: Learner, decay: float, patience: int, best: Best) -> None:
        self.learner, self.patience, self.best = learner, patience, best
        self._update: Any = get_ema_multi_avg_fn(decay) if decay else get_swa_multi_avg_fn()
        self.averaging = bool(decay)
        self.count = 0
        self.values: dict[str, Tensor] = {}
        learner.averaged = self.applied

    def after(self, run: "Run", epoch: Epoch, batch: Batch, at: Moment) -> None:
        """Takes the state as it is now into the average."""
        if not self.averaging:
            return
        state = self.learner.module.state_dict()
        if not self.count:
            self.values = {key: value.detach().clone() for key, value in state.items()}
        else:
            with torch.no_grad():
                now = [state[key].detach() for key in self.values]
                self._update(list(self.values.values()), now, torch.tensor(self.count))
        self.count += 1

    def end(self, run: "Run", epoch: Epoch, row: dict[str, Any]) -> None:
        """Whether validation stands still; the losses are those before this epoch's."""
        losses, patience = self.best.losses, self.patience
        before = losses[:-patience] if patience and "valid" in row else []
        if before and not self.averaging and row["valid"]["loss"] > min(before):
            self.averaging = True
            run.display.say("validation stands still: weights are averaged from here on")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a `state_dict`."""
        own = self.learner.module.state_dict()
        self.values = {key: value.to(own[key]).clone() for key, value in state["values"].items()}
        self.averaging, self.count = bool(state["averaging"]), int(state["count"])

    @contextmanager
    def applied(self) -> Generator[None]:
        """Within, the module has the average for its state, if there is one."""
        if not self.count:
            yield
            return
        module = self.learner.module
        kept = {key: value.detach().clone() for key, value in module.state_dict().items()}
        try:
            module.load_state_dict(self.values)
            yield
        finally:
            module.load_state_dict(kept)

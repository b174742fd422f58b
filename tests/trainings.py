"""Small trainings for tests."""

from pathlib import Path
from typing import Any

from runners.experiment.experiment import Experiment
from runners.experiment.train import Evaluation, evaluate
from runners.folder.display import Display
from tests.searches import spread, write_text

SMALL = {"channels": 4, "layers": 3}


def small(genotype: str = "darts_v2", recipe: str = "digits", **changes: Any) -> Experiment:
    """Two epochs of two steps on digits. `values` come on top of the small ones."""
    values = {"train.epochs": 2, "train.batch": 32} | changes.pop("values", {})
    given = {"of": genotype, "recipe": recipe, "sizes": SMALL, "limit": 64} | changes
    return Experiment(**spread(given | {"values": values}))


def small_text(folder: Path, **changes: Any) -> Experiment:
    """Two epochs of a recurrent cell on a small text. `values` come on top of the small ones."""
    values = {"train.epochs": 2, "train.batch": 4, "text.columns": 2}
    values |= changes.pop("values", {})
    given: dict[str, Any] = {"of": "DARTS_V2@darts_rnn", "recipe": "ptb", "sizes": {"hidden": 8}}
    given |= {"data": write_text(folder), **changes, "values": values}
    return Experiment(**spread(given))


def train(experiment: Experiment, folder: Path) -> Evaluation:
    """The training, without a word."""
    return evaluate(experiment, folder, Display())

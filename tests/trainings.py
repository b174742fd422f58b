"""Small trainings for tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from runners.experiment.training import Evaluation, Training, evaluate
from runners.folder.live import SilentDisplay
from tests.searches import write_text

SMALL = {"channels": 4, "layers": 3}


def small(genotype: str = "darts_v2", recipe: str = "digits", **changes: Any) -> Training:
    """Two epochs of two steps on digits. `values` come on top of the small ones."""
    values = {"train.epochs": "2", "train.batch": "32"} | changes.pop("values", {})
    request = Training(genotype, recipe, sizes=SMALL, limit=64, values=values)
    return replace(request, **changes)


def small_text(folder: Path, **changes: Any) -> Training:
    """Two epochs of a recurrent cell on a small text. `values` come on top of the small ones."""
    values = {"train.epochs": "2", "train.batch": "4", "text.columns": "2"}
    values |= changes.pop("values", {})
    request = Training(
        "DARTS_V2@darts_rnn", "ptb", write_text(folder), sizes={"hidden": 8}, values=values
    )
    return replace(request, **changes)


def train(request: Training, folder: Path) -> Evaluation:
    """The training, without a word."""
    return evaluate(request, folder, SilentDisplay())

"""Which classes a trained network takes for which."""

import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from nasir import NasirError, Where
from runners.plot.run import PlottedRun
from runners.plot.style import TEXT, NothingToDrawError, named, sheet

WRITTEN = 20
"""Up to so many classes each share is written into its square, and each class named in full."""

LABELLED = 100
"""Up to so many classes are named at all."""


class Confusion(BaseModel):
    """`confusion.json`: rows are true classes, columns what the network said, in `split`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    split: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @model_validator(mode="after")
    def _square(self) -> "Confusion":
        size = len(self.classes)
        if len(self.counts) != size or any(len(row) != size for row in self.counts):
            raise ValueError(f"the counts are no {size} rows of {size}")
        return self


def confusion(run: PlottedRun) -> Figure:
    """Of each true class, which share was taken for which class, in percent of the class."""
    found = read_confusion(run.path)
    counts = np.array(found.counts, dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100.0 * counts / np.maximum(totals, 1.0)
    size = len(found.classes)
    side = max(4.6, min(0.52 * size, 11.0))
    figure = sheet(run, f"What {found.split} images were taken for", side + 2.2, side + 1.2)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.grid(visible=False)
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    _name(axes, found.classes)
    if size <= WRITTEN:
        _write(axes, shares)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("% of the true class")
    return figure


def read_confusion(run: Path) -> Confusion:
    """The matrix of a run. Raises NothingToDrawError where there is none, E722 if it is damaged."""
    path = run / "confusion.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NothingToDrawError(
            "there is no confusion.json: nothing was trained to its end"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise NasirError("E722", f"it cannot be read: {error}", Where(str(path))) from error
    try:
        return Confusion.model_validate(json.loads(text))
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"]
    except (ValueError, RecursionError) as error:
        message = str(error)
    raise NasirError("E722", f"the run's file is damaged: {message}", Where(str(path)))


def _name(axes: Axes, classes: tuple[str, ...]) -> None:
    if len(classes) > LABELLED:
        return
    classes, places = tuple(map(named, classes)), range(len(classes))
    axes.set_xticks(places, classes, rotation=90 if len(max(classes, key=len)) > 3 else 0)
    axes.set_yticks(places, classes)
    axes.tick_params(length=0, labelsize=9 if len(classes) <= WRITTEN else 5)


def _write(axes: Axes, shares: "np.ndarray") -> None:
    """Shares of a percent and more, in whole percents."""
    for (row, column), share in np.ndenumerate(shares):
        if share >= 1:
            colour = "white" if share > 55 else TEXT
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", size=8.5, color=colour)

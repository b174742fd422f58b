"""Settings of evaluations and searches by section."""

from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import StrictBool, model_validator

from nasir.arguments import checked
from nasir.document import check_version, parse_document
from nasir.files import Source
from runners.experiment.fields import (
    AnyEpochs,
    BatchSize,
    Count,
    Epochs,
    FieldError,
    Model,
    Number,
    Pixels,
    Section,
    Share,
    Window,
    like_file,
    named_files,
    named_source,
    sections,
    with_place,
)
from runners.experiment.sizes import NetworkSection, Sizes


class Train(Section):
    """Length, batches, validation and loss terms of a training.

    `batch` is the number of images (columns of text) per step, split into `accumulate` parts.
    `tail`: whether an epoch's last, smaller batch is kept. `validation` is the share of training
    images that is held out, measured every `measure` epochs. `keep`: whether the final weights are
    those of the last epoch, or of the best on the validation data.

    `drop_path` is the probability P of P · e / E in epoch e of E, `auxiliary` the weight of the
    auxiliary head's loss (0: no head), `smoothing` the label smoothing, in training only. `ema` is
    the decay of a running average of the weights, which is then measured and saved (0: none).
    `activation` and `slowness` weight a language model's penalties.
    """

    epochs: Epochs = 600
    batch: BatchSize = 96
    accumulate: BatchSize = 1
    tail: Literal["kept", "dropped"] = "kept"
    validation: Share = 0.0
    measure: Epochs = 1
    keep: Literal["last", "best"] = "last"
    drop_path: Share = 0.0
    auxiliary: Number = 0.0
    smoothing: Share = 0.0
    ema: Share = 0.0
    slowness: Number = 0.0
    activation: Number = 0.0


class Sgd(Section):
    """SGD with an L2 `weight_decay`; `clip` is the maximum norm of gradients (0: none)."""

    lr: Number = 0.025
    momentum: Number = 0.9
    nesterov: StrictBool = False
    weight_decay: Number = 3e-4
    clip: Number = 5.0


class Optimizer(Sgd):
    """SGD: `clip` is the maximum norm of all gradients together, or of each tensor (`clipped`).

    `average_after`: once held-out loss has not improved for this many epochs, weights are averaged
    (averaged SGD; 0: never).
    """

    clipped: Literal["all", "tensor"] = "all"
    average_after: AnyEpochs = 0


class Schedule(Section):
    """The learning rate after e of E epochs or batches (`by`).

    `cosine` falls to `minimum`, `linear` to 0: lr · (E − tail − e) / (E − tail), and in the last
    `tail` epochs lr · (E − e) / ((E − tail) · tail); `exponential` is lr · gamma^e. In the first
    `warm_up` epochs it is lr · (e + 1) / warm_up instead.
    """

    name: Literal["cosine", "linear", "exponential", "constant"] = "cosine"
    minimum: Number = 0.0
    gamma: Number = 0.97
    tail: Epochs = 5
    warm_up: AnyEpochs = 0
    by: Literal["epoch", "batch"] = "epoch"


class ImagesSection(Section):
    """Augmentation and normalisation of training images: see `runners.task.batches`.

    `cutouts`: a different square for each image, or one for a whole batch before the crop.
    `normalise`: by the data's mean and deviation, or by those of AutoDL-Projects.
    """

    crop: Pixels = 0
    flip: StrictBool = False
    cutout: Pixels = 0
    cutouts: Literal["image", "batch"] = "image"
    area: Share = 0.0
    jitter: StrictBool = False
    normalise: Literal["data", "autodl"] = "data"


class Text(Section):
    """Windows, columns and dropout probabilities of text: see `runners.task.language`."""

    bptt: Window = 35
    columns: BatchSize = 10
    test_columns: BatchSize = 1
    output: Share = 0.75
    state: Share = 0.25
    input: Share = 0.75
    embedded: Share = 0.2
    words: Share = 0.1


class RunSection(Section):
    """Precision, compilation and memory format; results change by rounding only.

    `compile` and `layout`: `auto` selects the fastest on the device.
    """

    precision: str = "float32"
    compile: Literal["auto", "on", "off"] = "auto"
    layout: Literal["auto", "channels_last", "channels_first"] = "auto"


class Recipe(Model):
    """The settings of an evaluation. `data` is the default data set; "" for none."""

    name: str = ""
    about: str = ""
    data: str = ""
    network: NetworkSection = NetworkSection()
    train: Train = Train()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    images: ImagesSection = ImagesSection()
    text: Text = Text()
    run: RunSection = RunSection()

    def facts(self) -> dict[str, Any]:
        """Returns plain data; `Recipe(**facts)` is the same recipe."""
        return self.model_dump(mode="json")


STAGES, EPOCHS = 100, 100_000
"""Limits of a search."""


class Stage(Model):
    """Epochs with one supernet; the first `warm_up` are without architect steps.

    `options` is the number of options that each choice of ops keeps from the beginning of the stage
    (None: all); ops process 1/`parts` of the channels.
    """

    epochs: Epochs
    warm_up: AnyEpochs = 0
    options: Count | None = None
    parts: Count = 1


class SearchTrain(Section):
    """`epochs` is the total with tuning, divided among stages in proportion (None: their own).

    `batch` is the number of images (columns of text) per step. `drop_path` is the maximum
    probability of dropping an edge, reached in the last epoch.
    """

    epochs: Epochs | None = None
    batch: BatchSize = 64
    drop_path: Share = 0.0


class SearchOptimizer(Sgd):
    """`clip` is the maximum norm of gradients; `clip_covers` `all` includes the logits'."""

    clip_covers: Literal["weights", "all"] = "weights"


class SearchSchedule(Section):
    """Cosine decay from the optimiser's lr to `minimum`, after a linear `warm_up`."""

    minimum: Number = 0.001
    warm_up: AnyEpochs = 0


class Logits(Section):
    """Adam on the logits; the regulariser has their L2.

    `clip` is the maximum norm of their gradients (0: none). `order`: which of architecture and
    weights is updated first in a step.
    """

    lr: Number = 3e-4
    betas: tuple[Share, Share] = (0.5, 0.999)
    clip: Number = 0.0
    order: Literal["architecture-first", "weights-first"] = "architecture-first"


class SearchImages(Section):
    """`cutout` is the side of the square cut out of each image (0: none)."""

    cutout: Pixels = 0


class Settings(Model):
    """The settings of a search."""

    network: Sizes = Sizes()
    train: SearchTrain = SearchTrain()
    optimizer: SearchOptimizer = SearchOptimizer()
    schedule: SearchSchedule = SearchSchedule()
    logits: Logits = Logits()
    images: SearchImages = SearchImages()
    stages: tuple[Stage, ...] = (Stage(epochs=50),)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if len(self.stages) > STAGES or self.epochs > EPOCHS:
            counts = f"{len(self.stages)} stages with {self.epochs:,} epochs"
            message = f"there are {counts}, and must be at most {STAGES} with {EPOCHS:,}"
            raise FieldError("E109", message, path=("stages",))
        return self

    @property
    def epochs(self) -> int:
        """The total over all stages."""
        return sum(stage.epochs for stage in self.stages)


RECIPES = named_files(Path(__file__).parent / "recipes", "recipe")
METHODS = named_files(Path(__file__).parent / "methods", "method")
"""The files of recipes and methods by name; `runners.experiment.method` reads methods."""


@checked
def read_recipe(text: str, outer: tuple[str, ...] = ()) -> Recipe:
    """Returns the recipe of that name, or of a YAML or JSON file.

    Fields of a file: `nasir: 1`, and optionally `recipe:` (its name), `like:` (the base, another
    recipe), `about:`, `data:`, and the sections of `Recipe` by field. Raises an error for an
    unknown name, and with its place for the file (E1xx), also if it is in `outer`, the files that
    are `like` it.
    """
    found = RECIPES.get(text)
    if isinstance(found, Recipe):
        return found
    source, within = named_source(text, RECIPES, outer)
    return (_read if within else _shipped)(source, within)


def _read(source: Source, outer: tuple[str, ...] = ()) -> Recipe:
    root = parse_document(source).root
    read = partial(read_recipe, outer=outer)
    base, changes = like_file(root, "recipe", ("about", "data"), tuple(sections(Recipe())), read)
    check_version(root, "a recipe")
    return with_place(root, partial((base or Recipe()).having, **changes))


_shipped = lru_cache(maxsize=64)(_read)

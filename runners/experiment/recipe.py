"""The numbers of an evaluation and of a search by section, and the sizes of networks."""

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import StrictBool, model_validator

import nasir
from nasir.document import check_version, parse_document
from nasir.source import read_source
from nasir.space.sizes import DEPTHS, WIDTHS
from runners.experiment.fields import (
    AnyCount,
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
    named_file,
    placed,
    sections,
    shipped_names,
)

_TEXTS = {
    "channels": "{} channels",
    "layers": "{} layers",
    "classes": "{} classes",
    "resolution": "{0}x{0} images",
    "in_channels": "{} channels each",
    "vocabulary": "{} words",
    "hidden": "{} hidden units",
}
"""The numbers of a size, each as a title says it."""

DATA = ("classes", "in_channels", "vocabulary")
"""The numbers that the data decides: a network of others cannot learn from it."""


class Sizes(Section):
    """Of a network; None is the skeleton's own, or the data's. The docstrings are options' help."""

    channels: AnyCount | None = None
    """Initial channels."""
    layers: AnyCount | None = None
    """Cells; for nasbench201, cells in each stage."""
    classes: AnyCount | None = None
    """Classes."""
    resolution: AnyCount | None = None
    """Height and width of the image."""
    vocabulary: AnyCount | None = None
    """Words; of rnn."""
    hidden: AnyCount | None = None
    """Width of embedding and state; of rnn."""
    in_channels: AnyCount | None = None
    """Channels of the image: 3, or 1 where it is grey."""


class NetworkSection(Sizes):
    """With the skeleton; None is the space's own."""

    skeleton: str | None = None
    """cifar, imagenet, nasbench201, rnn, …; the space's own by default."""


class NetworkSize(NetworkSection):
    """A network to build."""

    code: ClassVar[str] = "E505"

    auxiliary: StrictBool = False
    """Add the auxiliary head."""

    def build(self, genotype: nasir.Genotype) -> nasir.Graph:
        """The genotype's network of this size."""
        return nasir.network(genotype, **dict(self))


def size_facts(graph: nasir.Graph) -> dict[str, str | int]:
    """The skeleton and size of a network, as `--json` has them."""
    about = graph.about
    names = [name for name in about if name in _TEXTS or name in WIDTHS or name in DEPTHS]
    return {"skeleton": about["skeleton"]} | {name: int(about[name]) for name in names}


def describe_size(size: Mapping[str, str | int]) -> str:
    """What `size_facts` has, as a title says it."""
    parts: list[str] = []
    for names, unit in ((WIDTHS, "channels"), (DEPTHS, "cells")):
        if numbers := [str(size[name]) for name in names if name in size]:
            parts.append(f"stages of {':'.join(numbers)} {unit}")
    for name, text in _TEXTS.items():
        if name in size and (name, size[name]) != ("in_channels", 3):
            parts.append(text.format(size[name]))
    return ", ".join([f"{size['skeleton']} skeleton", *parts])


class Train(Section):
    """How long, on what, and what is added to the loss.

    `batch` are images (columns of text) a step, which `accumulate` parts make one after the
    other. `tail`: whether an epoch's last, smaller batch is kept. `validation` is the share of the
    training images that is held out. `measure` says every how many epochs held-out data is
    measured. `keep`: whether the final weights are the last epoch's or the best one's on the
    validation data.

    `drop_path` is the probability P of P · e / E in epoch e of E, `auxiliary` the weight of the
    auxiliary head's loss (0: no head), `smoothing` that of label smoothing, in training alone.
    `ema` is the decay of a running average of the weights, which is then what is measured and
    kept (0: none). `activation` and `slowness` weigh a language model's penalties.
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
    """SGD with an L2 `weight_decay`; `clip` is the largest norm of gradients (0: any)."""

    lr: Number = 0.025
    momentum: Number = 0.9
    nesterov: StrictBool = False
    weight_decay: Number = 3e-4
    clip: Number = 5.0


class Optimizer(Sgd):
    """SGD: `clip` is the largest norm of `clipped` (all gradients together, or each tensor's).

    `average_after`: where held-out loss has not improved for so many epochs, weights are averaged
    from there on (averaged SGD; 0: never).
    """

    clipped: Literal["all", "tensor"] = "all"
    average_after: AnyEpochs = 0


class Schedule(Section):
    """How the learning rate goes, in steps `by` epochs or batches, e of E.

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
    """What training does to images: see `runners.task.batches`.

    `cutouts`: whether each image is cut elsewhere, or a whole batch alike before the crop.
    `normalise`: by the data's own mean and deviation, or by those of AutoDL-Projects.
    """

    crop: Pixels = 0
    flip: StrictBool = False
    cutout: Pixels = 0
    cutouts: Literal["image", "batch"] = "image"
    area: Share = 0.0
    jitter: StrictBool = False
    normalise: Literal["data", "autodl"] = "data"


class Text(Section):
    """Windows and columns of text, and the rates of dropout: see `runners.task.language`."""

    bptt: Window = 35
    columns: BatchSize = 10
    test_columns: BatchSize = 1
    output: Share = 0.75
    state: Share = 0.25
    input: Share = 0.75
    embedded: Share = 0.2
    words: Share = 0.1


class RunSection(Section):
    """How it runs: nothing here changes what is computed but for rounding.

    `compile` and `layout`: `auto` does what pays on the device.
    """

    precision: str = "float32"
    compile: Literal["auto", "on", "off"] = "auto"
    layout: Literal["auto", "channels_last", "channels_first"] = "auto"


class Recipe(Model):
    """An evaluation. `data` is the data set where the user names none; empty: he has to."""

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
        """As plain data, of which `Recipe(**facts)` is the recipe again."""
        return self.model_dump(mode="json")


STAGES, EPOCHS = 100, 100_000
"""Of a search, at most."""


class Stage(Model):
    """Epochs with one supernet, of which the first `warm_up` are without architect steps.

    `options` are how many options each choice of ops keeps when the stage begins (None: all), and
    ops see 1/`parts` of the channels.
    """

    epochs: Epochs
    warm_up: AnyEpochs = 0
    options: Count | None = None
    parts: Count = 1


class SearchTrain(Section):
    """`epochs` are all, tuning too, which the stages share in proportion (None: the stages' own).

    `batch` are images (columns of text) a step. `drop_path` is the largest probability to drop an
    edge, reached in the last epoch.
    """

    epochs: Epochs | None = None
    batch: BatchSize = 64
    drop_path: Share = 0.0


class SearchOptimizer(Sgd):
    """`clip` is the largest norm of the gradients that `clip_covers`: `all` are the logits' too."""

    clip_covers: Literal["weights", "all"] = "weights"


class SearchSchedule(Section):
    """A cosine from the learning rate to `minimum` over all epochs, after a linear `warm_up`."""

    minimum: Number = 0.001
    warm_up: AnyEpochs = 0


class Logits(Section):
    """Adam on the logits, whose L2 is the regulariser's.

    `clip` is their gradients' largest norm (0: any). `order` says what learns first in a step.
    """

    lr: Number = 3e-4
    betas: tuple[Share, Share] = (0.5, 0.999)
    clip: Number = 0.0
    order: Literal["architecture-first", "weights-first"] = "architecture-first"


class SearchImages(Section):
    """`cutout` is the side of the square that is cut out of each image (0: none)."""

    cutout: Pixels = 0


class Settings(Model):
    """The numbers of a search."""

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
            message = f"there are {counts}, and have to be at most {STAGES} with {EPOCHS:,}"
            raise FieldError("E109", message, path=("stages",))
        return self

    @property
    def epochs(self) -> int:
        """Of all stages."""
        return sum(stage.epochs for stage in self.stages)


SHIPPED = Path(__file__).parent / "recipes"

recipe_names = partial(shipped_names, SHIPPED)


def read_recipe(text: str, outer: tuple[str, ...] = ()) -> Recipe:
    """The recipe of that name, or of a YAML or JSON file.

    A file says `nasir: 1`, and may say `recipe:` (its name), `like:` (another recipe, of which it
    says what is different), `about:`, `data:`, and the sections of `Recipe` by field. Raises an
    error for an unknown name, and E1xx for the file, with the place. `outer` are the files that are
    `like` this one, an error where it is among them.
    """
    path, within = named_file(text, SHIPPED, "E201", outer)
    return (_read if within else _shipped)(path, within)


def _read(path: Path, outer: tuple[str, ...] = ()) -> Recipe:
    root = parse_document(read_source(path)).root
    read = partial(read_recipe, outer=outer)
    base, changes = like_file(root, "recipe", ("about", "data"), tuple(sections(Recipe())), read)
    check_version(root, "a recipe")
    return placed(root, partial((base or Recipe()).having, **changes))


_shipped = lru_cache(maxsize=64)(_read)

"""What a network is trained from scratch with: the numbers of an evaluation, by section."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from nasir import NasirError
from nasir.errors import nearest, quoted
from runners.fields import parsed, values_of


@dataclass(frozen=True, slots=True)
class Size:
    """The network's: what is 0 or empty is the skeleton's own, and classes are the data's."""

    skeleton: str = ""
    channels: int = 0
    layers: int = 0
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Train:
    """How long, on what, and what is added to the loss.

    `batch` are pictures (columns of text) a step, which `accumulate` parts make one after the
    other. `tail`: whether an epoch's last, smaller batch is kept. `validation` is the share of the
    training pictures that is held out. `measure` says every how many epochs held-out data is
    measured. `keep`: whether the final weights are the last epoch's or the best one's on the
    validation data.

    `drop_path` is the probability P of P · e / E in epoch e of E, `auxiliary` the weight of the
    auxiliary head's loss (0: no head), `smoothing` that of label smoothing, in training alone.
    `ema` is the decay of a running average of the weights, which is then what is measured and
    kept (0: none). `activation` and `slowness` weigh a language model's penalties.
    """

    epochs: int = 600
    batch: int = 96
    accumulate: int = 1
    tail: Literal["kept", "dropped"] = "kept"
    validation: float = 0.0
    measure: int = 1
    keep: Literal["last", "best"] = "last"
    drop_path: float = 0.0
    auxiliary: float = 0.0
    smoothing: float = 0.0
    ema: float = 0.0
    slowness: float = 0.0
    activation: float = 0.0

    def __post_init__(self) -> None:
        _at_least(self, 1, "epochs", "batch", "accumulate", "measure")
        _share(self, "validation", "drop_path", "smoothing", "ema")
        _at_least(self, 0, "auxiliary", "slowness", "activation")
        _one_of(self, "tail", "kept", "dropped")
        _one_of(self, "keep", "last", "best")


@dataclass(frozen=True, slots=True)
class Optimizer:
    """SGD: `clip` is the largest norm of `clipped` (all gradients together, or each tensor's).

    `average_after`: where held-out loss has not improved for so many epochs, weights are averaged
    from there on (averaged SGD; 0: never).
    """

    lr: float = 0.025
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 3e-4
    clip: float = 5.0
    clipped: Literal["all", "tensor"] = "all"
    average_after: int = 0

    def __post_init__(self) -> None:
        _at_least(self, 0, "lr", "momentum", "weight_decay", "clip", "average_after")
        _one_of(self, "clipped", "all", "tensor")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the learning rate goes, in steps `by` epochs or batches, e of E.

    `cosine` falls to `minimum`, `linear` to 0: lr · (E − tail − e) / (E − tail), and in the last
    `tail` epochs lr · (E − e) / ((E − tail) · tail); `exponential` is lr · gamma^e. In the first
    `warm_up` epochs it is lr · (e + 1) / warm_up instead.
    """

    name: Literal["cosine", "linear", "exponential", "constant"] = "cosine"
    minimum: float = 0.0
    gamma: float = 0.97
    tail: int = 5
    warm_up: int = 0
    by: Literal["epoch", "batch"] = "epoch"

    def __post_init__(self) -> None:
        _one_of(self, "name", "cosine", "linear", "exponential", "constant")
        _one_of(self, "by", "epoch", "batch")
        _at_least(self, 0, "minimum", "gamma", "warm_up")
        _at_least(self, 1, "tail")


@dataclass(frozen=True, slots=True)
class Pictures:
    """What training does to pictures: see `runners.data.Augment`.

    `cutouts`: whether each picture is cut elsewhere, or a whole batch alike before the crop.
    `normalise`: by the data's own mean and deviation, or by those of AutoDL-Projects.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0
    cutouts: Literal["picture", "batch"] = "picture"
    area: float = 0.0
    jitter: bool = False
    normalise: Literal["data", "autodl"] = "data"

    def __post_init__(self) -> None:
        _at_least(self, 0, "crop", "cutout")
        _share(self, "area")
        _one_of(self, "cutouts", "picture", "batch")
        _one_of(self, "normalise", "data", "autodl")


@dataclass(frozen=True, slots=True)
class Text:
    """How text is dealt out, and the rates of dropout: see `runners.task`."""

    bptt: int = 35
    columns: int = 10
    test_columns: int = 1
    output: float = 0.75
    state: float = 0.25
    input: float = 0.75
    embedded: float = 0.2
    words: float = 0.1

    def __post_init__(self) -> None:
        _at_least(self, 2, "bptt")
        _at_least(self, 1, "columns", "test_columns")
        _share(self, "output", "state", "input", "embedded", "words")


@dataclass(frozen=True, slots=True)
class Run:
    """How it runs: nothing here changes what is computed but for rounding.

    `compile` and `layout`: `auto` does what pays on the device.
    """

    precision: str = "float32"
    compile: Literal["auto", "on", "off"] = "auto"
    layout: Literal["auto", "channels_last", "channels_first"] = "auto"

    def __post_init__(self) -> None:
        _one_of(self, "compile", "auto", "on", "off")
        _one_of(self, "layout", "auto", "channels_last", "channels_first")


@dataclass(frozen=True, slots=True)
class Recipe:
    """An evaluation. `data` is the data set where the user names none; empty: he has to."""

    name: str
    about: str = ""
    data: str = ""
    network: Size = field(default_factory=Size)
    train: Train = field(default_factory=Train)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    pictures: Pictures = field(default_factory=Pictures)
    text: Text = field(default_factory=Text)
    run: Run = field(default_factory=Run)

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def recipe_of(facts: Mapping[str, Any]) -> Recipe:
    """The recipe of plain data that `Recipe.facts` gave."""
    base = Recipe("")
    words = {name: facts[name] for name in ("name", "about", "data")}
    sections = {name: replace(getattr(base, name), **facts[name]) for name in SECTIONS}
    return Recipe(**words, **sections)


SECTIONS = tuple(f.name for f in fields(Recipe) if f.name not in ("name", "about", "data"))
"""Those that have fields of their own, in order."""


def with_values(recipe: Recipe, values: Mapping[str, str]) -> Recipe:
    """The recipe with other values, `optimizer.lr` by name. Raises E752 for a wrong one."""
    for name, text in values.items():
        section, dot, key = name.partition(".")
        if section not in SECTIONS or not dot:
            hint = f"a section and a field, such as optimizer.lr; sections: {', '.join(SECTIONS)}"
            raise NasirError("E752", f"{quoted(name)} is nothing of a recipe", hint=hint)
        part: Any = getattr(recipe, section)
        known = values_of(part)
        if key not in known:
            message = f"the section '{section}' has no field {quoted(key)}"
            raise NasirError("E752", message, hint=nearest(key, known))
        try:
            value = parsed(known[key], text)
        except ValueError as error:
            message = f"'{name}' cannot be {quoted(text)}"
            raise NasirError("E752", message, hint=f"it takes {error}") from None
        try:
            changed = replace(part, **{key: value})
        except ValueError as error:
            raise NasirError("E752", f"in '{section}': {error}") from None
        recipe = replace(recipe, **{section: changed})
    return recipe


def _at_least(part: Any, least: int, *names: str) -> None:
    for name in names:
        value = getattr(part, name)
        if not value >= least or value == float("inf"):
            raise ValueError(f"`{name}` is {value}, and has to be {least} or more")


def _share(part: Any, *names: str) -> None:
    for name in names:
        value = getattr(part, name)
        if not 0 <= value < 1:
            raise ValueError(f"`{name}` is {value}, and has to be from 0 to below 1")


def _one_of(part: Any, name: str, *known: str) -> None:
    value = getattr(part, name)
    if value not in known:
        raise ValueError(f"`{name}` is {quoted(value)}, and has to be one of: {', '.join(known)}")

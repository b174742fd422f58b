"""What a search is asked for: plain values, which `run.json` keeps and a resume compares."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, ClassVar, Literal

import nasir
from nasir import NasirError, Space
from nasir.errors import quoted
from nasir.passes import MemoryLevel
from runners.experiment.combine import checked, with_epochs, with_fraction, with_parts
from runners.experiment.method import Method
from runners.experiment.method_file import read_method
from runners.experiment.parts.regularise import KullbackLeibler
from runners.experiment.parts.select import BestOf, Projection
from runners.experiment.recipe import with_values
from runners.experiment.settings import Settings
from runners.fields import (
    AnyCount,
    BatchSize,
    Count,
    Epochs,
    Limit,
    Pixels,
    Ranged,
    Repeats,
    Seed,
    Share,
    code_for,
)


@dataclass(frozen=True, slots=True)
class Request(Ranged):
    """A search. What is None, or not in a mapping, is the method's or the data's own.

    `parts` are parts of a method by kind (`perturb: pgd`), `sizes` the supernet's (channels,
    layers, hidden, …), `values` of `Settings` by name (`optimizer.lr: 0.05`). `fraction` is 1/K.
    `split` is the share of training data that weights learn from, in file order unless `shuffled`.
    `candidates` and `batches` bound what selection measures. `steps` ends an epoch early.
    """

    code: ClassVar[str] = "E743"

    space: str
    method: str = "darts"
    data: str = "digits"
    seed: Seed = 0
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    values: Mapping[str, str | float] = field(default_factory=dict[str, str | float])
    epochs: Epochs | None = None
    batch: BatchSize | None = None
    fraction: str | None = None
    drop_path: Share | None = None
    interval: Repeats | None = None
    candidates: Count | None = None
    batches: AnyCount | None = None
    steps: Limit | None = None
    split: Share = 0.5
    shuffled: bool = False
    limit: Limit | None = None
    cutout: Pixels = 0
    validate: Literal["each", "last"] = "each"
    memory: MemoryLevel = "none"
    device: str = "cpu"
    precision: str = "float32"
    deterministic: bool = False
    as_published: bool = False

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def request_of(facts: Mapping[str, Any]) -> Request:
    """The request of plain data that `Request.facts` gave."""
    return Request(**{f.name: facts[f.name] for f in fields(Request) if f.name in facts})


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request with its names looked up, and the epochs of the method's own stages."""

    request: Request
    space: Space
    method: Method
    settings: Settings
    own_epochs: int


def resolved(request: Request) -> Resolved:
    """The space, method and settings of a request. Raises what reading them raises, and E743."""
    space = nasir.load_space(request.space)
    method = with_parts(read_method(request.method, space.skeleton), request.parts)
    own = method.settings
    try:
        settings = _asked(own, request)
    except ValueError as error:
        raise NasirError(code_for(error, "E743"), str(error)) from None
    method = _bounded(method, request)
    if request.as_published:
        method = _as_published(method)
    method = checked(replace(method, settings=settings))
    return Resolved(request, space, method, settings, own.epochs)


def _asked(settings: Settings, request: Request) -> Settings:
    """The settings with the request's numbers. ValueError for one out of its range."""
    if request.fraction is not None:
        settings = with_fraction(settings, _fraction(request.fraction))
    settings = with_values(settings, request.values, "a search", "E743")
    asked = {name: getattr(request, name) for name in ("epochs", "batch", "drop_path")}
    given = {name: value for name, value in asked.items() if value is not None}
    settings = replace(settings, train=replace(settings.train, **given))
    if request.cutout:
        settings = replace(settings, pictures=replace(settings.pictures, cutout=request.cutout))
    epochs = settings.train.epochs
    return settings if epochs is None else with_epochs(settings, epochs)


def _bounded(method: Method, request: Request) -> Method:
    """The method whose selection measures as much as is asked."""
    select = method.select
    if isinstance(select, BestOf):
        select = replace(
            select,
            count=request.candidates or select.count,
            batches=select.batches if request.batches is None else request.batches,
        )
    elif isinstance(select, Projection):
        select = replace(
            select,
            interval=request.interval or select.interval,
            batches=select.batches if request.batches is None else request.batches,
        )
    return replace(method, select=select)


def _as_published(method: Method) -> Method:
    """The method with the defects of its code that its parts have fields for."""
    select, regularise = method.select, method.regularise
    if isinstance(select, Projection):
        select = replace(select, candidates="all")
    if isinstance(regularise, KullbackLeibler):
        regularise = replace(regularise, options="all")
    return replace(method, select=select, regularise=regularise)


def _fraction(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        message = f"{quoted(text)} is no fraction of channels"
        raise NasirError("E743", message, hint="for example 1/4") from None

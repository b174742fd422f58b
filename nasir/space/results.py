"""Published results, each with where it is stated: beside the genotypes, never mixed with ours."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from nasir.space.locate import spaces_directory

Status = Literal["repository", "figure", "code", "computed"]
"""Stated in a repository, read off a figure there, a constant in its code, or computed."""


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """One published figure. `deviation` is over runs; costs leave the evaluation out.

    `genotype` names the shipped genotype that the figure is of, where it is one's.
    """

    system: str
    dataset: str
    metric: str
    value: float
    status: Status
    source: str
    deviation: float | None = None
    parameters_million: float | None = None
    search_gpu_days: float | None = None
    genotype: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        assert self.status in get_args(Status), self.status


@cache
def results() -> tuple[PublishedResult, ...]:
    """Every published result, in the order of the file."""
    path = spaces_directory() / "results" / "published.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["results"]
    return tuple(PublishedResult(**row) for row in rows)

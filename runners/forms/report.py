"""What a compilation is asked for, and what it reports: plain, frozen, and JSON-able."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nasir import Cost, Record
from runners.experiment.recipe import Recipe
from runners.experiment.size import NetworkSize
from runners.fields import AnyCount, BatchSize, Limit, Ranged, Seed
from runners.forms.costs import cost_facts
from runners.forms.outputs import Outputs
from runners.machine.machine import Machine


@dataclass(frozen=True, slots=True)
class Options(Ranged):
    """How to compile. `compile`: whether to run torch.compile; `directory`: see Outputs.below.

    `space`: the genotype's, a name or a path, whatever the genotype says itself. With `data`, at
    most `check` of its held-out pictures (or tokens; 0: none) are answered by the network and by
    each file made of it, as `recipe` normalises them; `limit` is the run's. `quantise` (dynamic or
    static) writes a second ONNX file of 8-bit numbers. `target` is one of `runners.forms.targets`,
    or `auto` for the fastest of all; `ship` is a folder for it.
    """

    code: ClassVar[str] = "E505"

    size: NetworkSize = field(default_factory=NetworkSize)
    weights: Path | None = None
    seed: Seed = 0
    compile: bool = True
    batch: BatchSize = 1
    device: str = "cpu"
    outputs: Outputs = field(default_factory=Outputs)
    directory: Path | None = None
    space: str | Path | None = None
    data: str | None = None
    check: AnyCount = 1000
    recipe: Recipe | None = None
    limit: Limit | None = None
    quantise: str | None = None
    target: str | None = None
    ship: Path | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage and its wall time."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Latency:
    """The time of one call: the median and the lowest of interleaved runs after a warm-up."""

    name: str
    seconds: float
    lowest: float
    runs: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest absolute difference from the network in eager torch.

    `magnitude` is the largest absolute value of torch's. Both are None when nothing was measured,
    for `reason`; otherwise `reason` is empty, or says what to know of the comparison.
    """

    name: str
    difference: float | None
    magnitude: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What a network reached on `count` held-out pictures (or words) of `split`.

    `measures` are the loss and the metric (accuracy and top5 in percent, or perplexity).
    `changed` is how many answers are not those of the network in eager torch, None of text.
    """

    name: str
    split: str
    count: int
    measures: Mapping[str, float]
    changed: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A compilation. `output` is the shape of the logits; `files` are in the order written."""

    nasir: str
    genotype: str
    name: str
    space: str
    size: dict[str, str | int]
    auxiliary: bool
    seed: int
    weights: str
    batch: int
    cost: Cost
    passes: tuple[Record, ...]
    stages: tuple[Stage, ...]
    output: tuple[int, ...]
    latencies: tuple[Latency, ...]
    differences: tuple[Difference, ...]
    machine: Machine
    accuracies: tuple[Accuracy, ...] = ()
    targets: tuple[Latency, ...] = ()
    target: str = ""
    files: tuple[Path, ...] = field(default=())

    def facts(self) -> dict[str, Any]:
        """The report as plain data: the cost without its nodes."""
        facts = {key: value for key, value in asdict(self).items() if key != "cost"}
        return facts | {
            "cost": cost_facts(self.cost),
            "files": [str(path) for path in self.files],
        }

"""What an evaluation is asked for: plain values, which `run.json` keeps and a resume compares."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from runners.fields import Limit, Ranged, Seed


@dataclass(frozen=True, slots=True)
class Training(Ranged):
    """A training from scratch. What is None, or not in a mapping, is the recipe's or the data's.

    `genotype` is what `nasir.load_genotype` takes, or a run directory. `sizes` are the network's
    (channels, layers, classes, …), `values` other values of the recipe (`optimizer.lr: "0.05"`).
    `limit` takes at most so many pictures (or tokens) of each part, `steps` ends an epoch early.
    `inherit` is a search's run directory, `weights` a safetensors file, to begin with.
    """

    code: ClassVar[str] = "E753"

    genotype: str
    recipe: str = "cifar10"
    data: str | None = None
    seed: Seed = 0
    skeleton: str | None = None
    space: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    values: Mapping[str, str] = field(default_factory=dict[str, str])
    limit: Limit | None = None
    steps: Limit | None = None
    inherit: str | None = None
    weights: str | None = None
    device: str = "cpu"
    deterministic: bool = False

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def training_of(facts: Mapping[str, Any]) -> Training:
    """The request of plain data that `Training.facts` gave."""
    return Training(**{f.name: facts[f.name] for f in fields(Training) if f.name in facts})

"""What the demonstration compiles."""

from dataclasses import dataclass
from pathlib import Path

from nasir.space.locate import spaces_directory
from runners.experiment.size import NetworkSize

EXAMPLES = spaces_directory() / "examples"


@dataclass(frozen=True, slots=True)
class Case:
    """A genotype, the size it is compiled in, and how it came here. `directory` is its own."""

    directory: str
    genotype: str | Path
    title: str
    origin: str
    size: NetworkSize


CASES = (
    Case(
        "darts_v2",
        "darts_v2",
        "DARTS_V2",
        "A published genotype, by its name",
        NetworkSize(),
    ),
    Case(
        "nnabla",
        EXAMPLES / "DARTS_arch.json",
        "DARTS_arch.json",
        "A file in the JSON that nnabla's DARTS example writes",
        NetworkSize(channels=16, layers=8),
    ),
    Case(
        "nasbench201",
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
        "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        "NAS-Bench-201",
        "An architecture of the benchmark, by its string",
        NetworkSize(),
    ),
)
"""DARTS_V2 (36 channels, 20 cells) and the NAS-Bench-201 network have their published sizes,
nnabla's is small: all take about two minutes on two cores, most of it torch.compile."""

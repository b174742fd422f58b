"""The size of a network as a caller asks for it, and how it is reported."""

from collections.abc import Mapping
from dataclasses import dataclass

import nasir
from runners.experiment.fields import Ranged

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


@dataclass(frozen=True, slots=True)
class NetworkSize(Ranged):
    """A skeleton and its size; None is the skeleton's own. The docstrings are the options' help."""

    skeleton: str | None = None
    """cifar, imagenet, nasbench201, rnn, …; the space's own by default."""
    channels: int | None = None
    """Initial channels."""
    layers: int | None = None
    """Cells; for nasbench201, cells in each stage."""
    classes: int | None = None
    """Classes."""
    resolution: int | None = None
    """Height and width of the image."""
    auxiliary: bool = False
    """Add the auxiliary head."""
    vocabulary: int | None = None
    """Words; of rnn."""
    hidden: int | None = None
    """Width of embedding and state; of rnn."""
    in_channels: int | None = None
    """Channels of the image: 3, or 1 where it is grey."""

    def build(self, genotype: nasir.Genotype) -> nasir.Graph:
        """The genotype's network of this size."""
        return nasir.network(
            genotype,
            self.skeleton,
            channels=self.channels,
            layers=self.layers,
            classes=self.classes,
            resolution=self.resolution,
            in_channels=self.in_channels,
            vocabulary=self.vocabulary,
            hidden=self.hidden,
            auxiliary=self.auxiliary,
        )


def size_facts(graph: nasir.Graph) -> dict[str, str | int]:
    """The skeleton and size of a network, as `--json` has them."""
    about = graph.about
    names = [name for name in about if name in _TEXTS or name.startswith("stage")]
    return {"skeleton": about["skeleton"]} | {name: int(about[name]) for name in names}


def describe_size(size: Mapping[str, str | int]) -> str:
    """What `size_facts` has, as a title says it."""
    stages = [str(size[name]) for name in size if name.startswith("stage")]
    parts = [f"stages of {':'.join(stages)} channels"] if stages else []
    for name, text in _TEXTS.items():
        if name in size and (name, size[name]) != ("in_channels", 3):
            parts.append(text.format(size[name]))
    return ", ".join([f"{size['skeleton']} skeleton", *parts])

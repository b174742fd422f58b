"""What all tasks on images have in common."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from nasir import Graph, NasirError
from runners.data import ImageSet
from runners.task.task import Batch, Outcome


class ImageTask:
    """Of a set of images: what it says of a network, and that batches do not go on."""

    name: Literal["images"] = "images"
    metric: Literal["accuracy"] = "accuracy"

    def __init__(self, data: ImageSet) -> None:
        self.data = data

    @property
    def fingerprint(self) -> str:
        """The data's."""
        return self.data.fingerprint

    @property
    def sizes(self) -> Mapping[str, int]:
        """Classes, pixels of a side, and channels."""
        return {
            "classes": len(self.data.classes),
            "resolution": self.data.resolution,
            "in_channels": self.data.channels,
        }

    def prepare(self, graph: Graph) -> Graph:
        """Unchanged. Raises E753 for a network of images of another size, or of other classes."""
        about = graph.about
        for name, value in self.sizes.items():
            if name in about and int(about[name]) != value:
                message = f"the network has {name} {about[name]}, and the data {value}"
                hint = f"leave --{name.replace('_', '-')} out, or name data of that size"
                raise NasirError("E753", message, hint=hint)
        return graph

    def carry(self, batch: Batch, outcome: Outcome) -> None:
        """Nothing: images do not go on."""
        del batch, outcome

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Nothing."""
        del state

"""What all tasks on pictures have in common."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from nasir import Graph, NasirError
from runners.data import PictureSet
from runners.task.task import Batch, Outcome


class OnPictures:
    """Of a set of pictures: what it says of a network, and that batches do not go on."""

    name: Literal["images"] = "images"
    metric: Literal["accuracy"] = "accuracy"

    def __init__(self, pictures: PictureSet) -> None:
        self.pictures = pictures

    @property
    def fingerprint(self) -> str:
        """The data's."""
        return self.pictures.fingerprint

    @property
    def sizes(self) -> Mapping[str, int]:
        """Classes, pixels of a side, and channels."""
        return {
            "classes": len(self.pictures.classes),
            "resolution": self.pictures.resolution,
            "in_channels": self.pictures.channels,
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
        """Nothing: pictures do not go on."""
        del batch, outcome

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Nothing."""
        del state

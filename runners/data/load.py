"""Data sets by name."""

from pathlib import Path

from runners.data.arrays import load_arrays
from runners.data.digits import load_digits
from runners.data.folders import load_folder
from runners.data.names import parse_data
from runners.data.pictures import PictureSet


def load_pictures(text: str, root: Path | None = None) -> PictureSet:
    """The data set that a text names; `parse_data` says how. Nothing is downloaded.

    Raises E501, E603 and E701 to E709.
    """
    del root
    name = parse_data(text)
    if name.kind == "digits":
        return load_digits()
    if name.kind == "npz":
        return load_arrays(Path(name.path))
    return load_folder(Path(name.path), name.resolution)

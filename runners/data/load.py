"""Data sets by name."""

from nasir import NasirError, Where
from runners.data.arrays import read_digits, read_npz
from runners.data.folders import Report, read_folder, read_imagenet
from runners.data.images import ImageSet, Raw, image_set
from runners.data.name import DataName, parse_data
from runners.data.official import STATISTICS, read_official


def load_images(text: str, report: Report | None = None) -> ImageSet:
    """The data set that a text names; `parse_data` says how. Nothing is downloaded.

    `report(done, all)` is called while images are decoded. Raises E501, E701 to E709.
    """
    name = parse_data(text)
    _check_reachable(name)
    if name.kind == "imagenet":
        return read_imagenet(name)
    return image_set(_raw(name, report), Where(str(name.path or name.kind)))


def _check_reachable(name: DataName) -> None:
    """Raises E701 where the system refuses the path; readers say what is not there."""
    try:
        if name.path is not None:
            name.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        message = f"the data cannot be reached: {error.strerror}"
        raise NasirError("E701", message, Where(str(name.path))) from error


def _raw(name: DataName, report: Report | None) -> Raw:
    if name.path is None:
        return read_digits()
    if name.kind == "npz":
        return read_npz(name.path)
    if name.kind in STATISTICS:
        return read_official(name, report)
    return read_folder(name.path, name.resolution, report)

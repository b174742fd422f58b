"""What the text of a data argument names."""

from dataclasses import dataclass
from pathlib import Path

from nasir import NasirError
from nasir.errors import nearest, quoted

FOLDERS = {
    "cifar10": "cifar-10-batches-py, its .tar.gz, or pictures in train/CLASS and test/CLASS",
    "cifar100": "the folder cifar-100-python, or its .tar.gz",
    "svhn": "the folder with train_32x32.mat and test_32x32.mat",
    "imagenet16-120": "the folder with train_data_batch_1 to _10 and val_data",
    "imagefolder": "pictures in train/CLASS and test/CLASS, or in CLASS; a folder, .tar or .zip",
}
"""Kinds of data that lie somewhere, and what has to be there."""

KINDS = ("digits", *FOLDERS)


@dataclass(frozen=True, slots=True)
class DataName:
    """A kind of data, where it lies, and the side in pixels that pictures are brought to."""

    kind: str
    path: Path | None = None
    resolution: int | None = None

    @property
    def text(self) -> str:
        """As it is written on a command line."""
        if self.kind == "npz":
            return str(self.path)
        text = self.kind if self.path is None else f"{self.kind}:{self.path}"
        return text if self.resolution is None else f"{text}@{self.resolution}"

    def resolved(self) -> "DataName":
        """The same with an absolute path."""
        path = None if self.path is None else self.path.absolute()
        return DataName(self.kind, path, self.resolution)


def parse_data(text: str) -> DataName:
    """`digits`, `cifar10:PATH`, `imagefolder:PATH@32`, `FILE.npz`. Raises E701."""
    if text.endswith(".npz"):
        return DataName("npz", Path(text))
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        known = (*KINDS, "FILE.npz")
        raise NasirError("E701", f"unknown data {quoted(text)}", hint=nearest(kind, known))
    if kind == "digits":
        return DataName(kind)
    rest, resolution = _resolution(rest)
    if not rest:
        raise NasirError(
            "E701",
            f"the data '{kind}' needs a path, and nothing is downloaded",
            hint=f"{kind}:PATH with {FOLDERS[kind]}",
        )
    return DataName(kind, Path(rest), resolution)


def _resolution(text: str) -> tuple[str, int | None]:
    path, at, number = text.rpartition("@")
    return (path, int(number)) if at and number.isdecimal() and int(number) else (text, None)

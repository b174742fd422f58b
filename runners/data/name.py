"""The text that names a data set."""

from dataclasses import dataclass, replace
from pathlib import Path

from nasir import NasirError
from nasir.errors import nearest, quoted

FOLDERS = {
    "cifar10": "cifar-10-batches-py, its .tar.gz, or pictures in train/CLASS and test/CLASS",
    "cifar100": "cifar-100-python, its .tar.gz, or pictures in train/CLASS and test/CLASS",
    "svhn": "the folder of train_32x32.mat and test_32x32.mat",
    "imagenet16-120": "the folder of train_data_batch_1 to train_data_batch_10 and val_data",
    "imagenet": "the folder of train/CLASS and val/CLASS",
    "imagefolder": "pictures in train/CLASS and test/CLASS, or in CLASS; a folder, .tar or .zip",
}
"""Kinds of data sets that lie somewhere, and what has to be there."""

KINDS = ("digits", *FOLDERS)

_LARGEST = 4096


@dataclass(frozen=True, slots=True)
class DataName:
    """A kind of data set (`npz` for such a file), where it is, and its pictures' side.

    `path` is None for `digits`; `resolution` is None for the size that the files have.
    """

    kind: str
    path: Path | None = None
    resolution: int | None = None

    @property
    def text(self) -> str:
        """What `parse_data` reads as this name."""
        if self.kind == "npz":
            return str(self.path)
        path = "" if self.path is None else f":{self.path}"
        side = "" if self.resolution is None else f"@{self.resolution}"
        return f"{self.kind}{path}{side}"

    def resolved(self) -> "DataName":
        """The same data set, whatever folder the program is in."""
        return self if self.path is None else replace(self, path=self.path.absolute())


def parse_data(text: str) -> DataName:
    """The data set that a text names; looks at no file. Raises E701.

    `digits`, `cifar10:PATH`, `imagefolder:PATH`, `imagefolder:PATH@32`, `PATH.npz`. A last `@`
    before a number is the size that pictures are resized to, never a part of the path.
    """
    if "\0" in text:
        raise NasirError("E701", f"the data {quoted(text)} has a NUL in its path")
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        if text.lower().endswith(".npz"):
            return DataName("npz", Path(text))
        raise _unknown(text, kind)
    if kind == "digits":
        if rest:
            raise NasirError("E701", f"the data 'digits' takes no path, but has {quoted(rest)}")
        return DataName(kind)
    path, resolution = _resolution(rest)
    if not path:
        message = f"the data '{kind}' needs a path; nothing is downloaded"
        raise NasirError("E701", message, hint=f"{kind}:PATH with {FOLDERS[kind]}")
    return DataName(kind, Path(path), resolution)


def _resolution(text: str) -> tuple[str, int | None]:
    path, at, side = text.rpartition("@")
    if not (at and side.isascii() and side.isdecimal()):
        return text, None
    if not 1 <= int(side[:9]) <= _LARGEST:
        message = f"pictures cannot be resized to {quoted(side)} pixels"
        raise NasirError("E701", message, hint=f"1 to {_LARGEST}")
    return path, int(side)


def _unknown(text: str, kind: str) -> NasirError:
    hint = nearest(kind, (*KINDS, "FILE.npz"))
    if text and Path(text).exists():
        hint = f"a folder of pictures is imagefolder:{text}"
    return NasirError("E701", f"unknown data {quoted(text)}", hint=hint)

"""Names of data sets as arguments: images, or texts in folders."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nasir import NasirError
from nasir.errors import nearest, quoted
from nasir.files import is_there
from nasir.table import brought

FOLDERS = {
    "cifar10": "cifar-10-batches-py, its .tar.gz, or images in train/CLASS and test/CLASS",
    "cifar100": "cifar-100-python, its .tar.gz, or images in train/CLASS and test/CLASS",
    "svhn": "the folder of train_32x32.mat and test_32x32.mat",
    "imagenet16-120": "the folder of train_data_batch_1 to train_data_batch_10 and val_data",
    "imagenet": "the folder of train/CLASS and val/CLASS",
    "imagefolder": "images in train/CLASS and test/CLASS, or in CLASS; a folder, .tar or .zip",
}
"""Data sets with a path, and the files required there."""

KINDS = ("digits", *FOLDERS)

_LARGEST = 4096

ROLES = ("train", "valid", "test")

TEXT_KINDS = ("ptb", "wikitext-2", "text")
"""Text data: the Penn treebank, WikiText-2, any folder."""

SMALLEST_VOCABULARY = 3

_OPTIONS = (*ROLES, "vocabulary", "tokens")
_OPTION = re.compile(r"([A-Za-z_-]+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DataName:
    """The kind of a data set (`npz` for such files), its path and options.

    `path` is None for `digits`; `resolution`, the side of images, is None for the original size.
    Texts have `options`: files of roles (`train`, `valid`, `test`) with unusual names, the size of
    the `vocabulary`, and the number of `tokens` to read from each file. An extension's task has
    an `argument`.
    """

    kind: str
    path: Path | None = None
    resolution: int | None = None
    options: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    argument: str = ""

    @property
    def text(self) -> str:
        """The argument that `parse_data` parses to this name."""
        if self.kind == "npz":
            return str(self.path)
        path = f":{self.path or self.argument}" if self.path or self.argument else ""
        side = "" if self.resolution is None else f"@{self.resolution}"
        options = "".join(f",{name}={value}" for name, value in self.options.items())
        return f"{self.kind}{path}{side}{options}"

    @property
    def location(self) -> Path:
        """The path; all kinds but `digits` have one."""
        assert self.path is not None, f"{self.kind} has no path"
        return self.path

    def resolved(self) -> "DataName":
        """Returns the name with an absolute path."""
        return self if self.path is None else replace(self, path=self.path.absolute())


def parse_data(text: str) -> DataName:
    """Parses the name of a data set, without looking at files.

    `digits`, `cifar10:PATH`, `imagefolder:PATH`, `imagefolder:PATH@32`, `PATH.npz`. A final `@` and
    number is the size for resizing, never a part of the path. Texts: `parse_text`.
    """
    kind, _, rest = text.partition(":")
    if kind in brought("task"):
        known = bool(rest) and is_there(rest)
        return DataName(kind, argument=str(Path(rest).absolute()) if known else rest)
    return parse_text(text) if is_text(text) else parse_images(text)


def parse_images(text: str) -> DataName:
    """Parses the name of an image data set."""
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
        message = f"images cannot be resized to {quoted(side)} pixels"
        raise NasirError("E701", message, hint=f"1 to {_LARGEST}")
    return path, int(side)


def _unknown(text: str, kind: str) -> NasirError:
    hint = nearest(kind, (*KINDS, "FILE.npz"))
    if text and Path(text).exists():
        hint = f"a folder of images is imagefolder:{text}"
    return NasirError("E701", f"unknown data {quoted(text)}", hint=hint)


def is_text(text: str) -> bool:
    """Whether a data argument names texts rather than images."""
    return text.partition(":")[0] in TEXT_KINDS


def parse_text(text: str) -> DataName:
    """Parses `wikitext-2:PATH` or `text:PATH,train=a.txt,vocabulary=2000,tokens=100000`.

    Options come last, so that a path may contain commas.
    """
    kind, _, rest = text.partition(":")
    if kind not in TEXT_KINDS:
        known = [f"{name}:PATH" for name in TEXT_KINDS]
        hint = nearest(f"{kind}:PATH", known)
        raise NasirError("E701", f"unknown text data {quoted(text)}", hint=hint)
    pieces = rest.split(",")
    options: dict[str, str | int] = {}
    while len(pieces) > 1 and (found := _OPTION.fullmatch(pieces[-1])):
        name, value = found.groups()
        if name in options:
            raise NasirError("E701", f"the option '{name}' occurs twice in {quoted(text)}")
        options[name] = _option(name, value, text)
        pieces.pop()
    path = ",".join(pieces)
    if not path:
        message = f"the data '{kind}' needs a path, and nothing is downloaded"
        hint = f"{kind}:PATH, a folder with train.txt, valid.txt and test.txt"
        raise NasirError("E701", message, hint=hint)
    given = {name: options[name] for name in _OPTIONS if name in options}
    return DataName(kind, Path(path), options=given)


def _option(name: str, value: str, text: str) -> str | int:
    """Parses an option: the name of a file, or a number."""
    if name not in _OPTIONS:
        message = f"unknown option {quoted(name)} in {quoted(text)}"
        raise NasirError("E701", message, hint=nearest(name, _OPTIONS))
    if not value:
        raise NasirError("E701", f"the option '{name}' has no value in {quoted(text)}")
    if name in ROLES:
        return value
    least = SMALLEST_VOCABULARY if name == "vocabulary" else 1
    if not value.isascii() or not value.isdecimal() or len(value) > 15 or int(value) < least:
        message = f"{name}={value} is not an integer from {least}"
        raise NasirError("E701", message, hint=f"for example {name}=2000")
    return int(value)

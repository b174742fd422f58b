"""The text that names a data set."""

from dataclasses import dataclass, replace
from pathlib import Path

from nasir import NasirError
from nasir.errors import nearest, quoted

KINDS: dict[str, bool] = {
    "cifar10": True,
    "cifar100": True,
    "digits": False,
    "imagefolder": True,
    "imagenet": True,
    "imagenet16-120": True,
    "svhn": True,
}
"""The names before the colon, and whether a path may follow. A path to an .npz file has none."""

_RESIZED = ("imagefolder", "imagenet")


@dataclass(frozen=True, slots=True)
class DataName:
    """A data set by name: its kind (`npz` for such a file), where it is, and its pictures' side.

    `path` is empty where the text has none; `resolution` is None for the size in the files.
    """

    kind: str
    path: str = ""
    resolution: int | None = None

    @property
    def text(self) -> str:
        """What `parse_data` reads as this name."""
        if self.kind == "npz":
            return self.path
        path = f":{self.path}" if self.path else ""
        return f"{self.kind}{path}" + (f"@{self.resolution}" if self.resolution else "")

    def absolute(self) -> "DataName":
        """The same data set, whatever folder the program is in."""
        return replace(self, path=str(Path(self.path).absolute())) if self.path else self


def parse_data(text: str) -> DataName:
    """The data set that a text names; looks at no file. Raises E708.

    `digits`, `cifar10`, `cifar10:PATH`, `imagefolder:PATH`, `imagefolder:PATH@32`, `PATH.npz`.
    """
    kind, colon, path = text.partition(":")
    if kind not in KINDS:
        if text.lower().endswith(".npz"):
            return DataName("npz", text)
        raise _unknown(text, kind)
    if colon and not KINDS[kind]:
        raise NasirError("E708", f"{kind} takes no path, but is given {quoted(path)}")
    if (colon and not path) or (kind in ("imagefolder", "imagenet") and not path):
        raise NasirError("E708", f"{quoted(text)} names no path", hint=f"{kind}:PATH")
    if kind in _RESIZED:
        front, at, side = path.rpartition("@")
        if at and front and side.isascii() and side.isdecimal():
            if not 1 <= int(side) <= 4096:
                message = f"pictures cannot be resized to {quoted(side)} pixels"
                raise NasirError("E708", message, hint="1 to 4096")
            return DataName(kind, front, int(side))
    return DataName(kind, path)


def _unknown(text: str, kind: str) -> NasirError:
    if Path(text).is_dir():
        hint = f"a folder of pictures is imagefolder:{text}"
    else:
        hint = nearest(kind, [*KINDS, "PATH.npz"])
    return NasirError("E708", f"unknown data set {quoted(text)}", hint=hint)

"""Pictures in folders named after their classes, on disk or in an archive."""

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from nasir import NasirError, Where
from nasir.files import write_atomically
from runners.arrays import tensor_of
from runners.data.pictures import Pictures, Raw

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm")
TRAIN, TEST = ("train",), ("test", "val", "valid", "validation")
Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A picture's place below the root: split ("" where there are none), class, name."""

    split: str
    label: str
    name: str


def read_folder(path: Path, resolution: int | None, report: Report | None = None) -> Raw:
    """The pictures of a folder, .tar(.gz) or .zip; they are brought to one side if that is asked.

    Layouts: `train/CLASS/*` and `test/CLASS/*` (or `val`), or `CLASS/*`. Raises E701 where nothing
    is there, E702, E704 for a picture that is broken, E705 for sizes that differ, E709 for a
    damaged archive.
    """
    if not path.exists():
        raise NasirError("E701", "the data is not there", Where(str(path)))
    cached = _cache_of(path, resolution) if path.is_file() else None
    if cached is not None and cached.exists():
        return _cached(cached, path)
    entries = _archive(path) if path.is_file() else _directory(path)
    raw = _decoded(path, entries, resolution, report)
    if cached is not None:
        _keep(cached, raw)
    return raw


Entries = list[tuple[Found, Callable[[], bytes]]]


def _directory(root: Path) -> Entries:
    entries: Entries = []
    for file in sorted(root.rglob("*")):
        found = _placed(PurePosixPath(file.relative_to(root).as_posix()))
        if found is not None:
            entries.append((found, file.read_bytes))
    return entries


def _archive(path: Path) -> Entries:
    """Reads the whole archive once: a compressed one cannot be read at random."""
    contents: dict[str, bytes] = {}
    try:
        contents.update(_members(path))
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        message = f"the archive cannot be read: {error}"
        raise NasirError("E709", message, Where(str(path))) from None
    names = sorted(contents)
    top = _common_top(names)
    entries: Entries = []
    for name in names:
        found = _placed(PurePosixPath(name.removeprefix(top)))
        if found is not None:
            entries.append((found, lambda name=name: contents[name]))
    return entries


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.lower().endswith(SUFFIXES):
                    yield name, archive.read(name)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.name.lower().endswith(SUFFIXES):
                stream = archive.extractfile(member)
                if stream is not None:
                    yield member.name.removeprefix("./"), stream.read()


def _common_top(names: list[str]) -> str:
    """A folder around everything that is neither a split nor a class."""
    parts = [PurePosixPath(name).parts for name in names]
    if not parts or any(len(row) < 3 for row in parts):
        return ""
    first = {row[0] for row in parts}
    deep = any(len(row) > 3 for row in parts)
    lone = len(first) == 1 and not first <= {*TRAIN, *TEST}
    return f"{first.pop()}/" if lone and (deep or len({row[1] for row in parts}) > 1) else ""


def _placed(name: PurePosixPath) -> Found | None:
    """Where a file belongs; None for what is no picture of a class."""
    if name.suffix.lower() not in SUFFIXES or name.name.startswith("."):
        return None
    parts = name.parts
    if len(parts) >= 3 and parts[0].lower() in {*TRAIN, *TEST}:
        return Found("train" if parts[0].lower() in TRAIN else "test", parts[1], str(name))
    return Found("train", parts[0], str(name)) if len(parts) >= 2 else None


def _decoded(path: Path, entries: Entries, resolution: int | None, report: Report | None) -> Raw:
    if not any(found.split == "train" for found, _ in entries):
        raise NasirError(
            "E702",
            "there are no pictures",
            Where(str(path)),
            hint="they lie in train/CLASS and test/CLASS, or in CLASS",
        )
    classes = tuple(sorted({found.label for found, _ in entries}))
    numbers = {label: number for number, label in enumerate(classes)}
    # By name and then by class, so that each part of a split in this order has every class.
    entries.sort(key=lambda entry: (PurePosixPath(entry[0].name).name, entry[0].name))
    images: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    first: tuple[str, tuple[int, ...]] | None = None
    for number, (found, read) in enumerate(entries, start=1):
        pixels = _pixels(read, resolution, Where(f"{path}/{found.name}"))
        first = first or (found.name, pixels.shape)
        if pixels.shape != first[1]:
            raise _sizes_differ(path, found.name, pixels.shape, first)
        images[found.split].append(pixels)
        labels[found.split].append(numbers[found.label])
        if report is not None and number % 1000 == 0:
            report(number, len(entries))
    parts = {
        split: Pictures(
            tensor_of(np.stack(images[split])).permute(0, 3, 1, 2).contiguous(),
            torch.tensor(labels[split]),
        )
        for split in images
        if images[split]
    }
    return Raw(path.name, classes, parts["train"], parts.get("test"))


def _pixels(read: Callable[[], bytes], resolution: int | None, where: Where) -> np.ndarray:
    """(H, W, 3) bytes. Raises E704."""
    try:
        with Image.open(io.BytesIO(read())) as picture:
            colour = picture.convert("RGB")
            if resolution is not None:
                colour = colour.resize((resolution, resolution), Image.Resampling.BILINEAR)
            return np.asarray(colour)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        message = f"the picture cannot be read: {error}".replace(" <_io", " file <_io")
        raise NasirError(
            "E704", message.split(" file <_io")[0], where, hint="take it away, or mend it"
        ) from None


def _sizes_differ(
    path: Path, name: str, shape: tuple[int, ...], first: tuple[str, tuple[int, ...]]
) -> NasirError:
    return NasirError(
        "E705",
        f"the picture has {shape[1]}x{shape[0]} pixels, and '{first[0]}' has "
        f"{first[1][1]}x{first[1][0]}",
        Where(f"{path}/{name}"),
        hint=f"imagefolder:{path}@32 brings all to 32 pixels",
    )


def _cache_of(path: Path, resolution: int | None) -> Path:
    """Where the decoded pictures of an archive are kept: the name says what of."""
    state = path.stat()
    text = f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {resolution}"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nasir"
    return folder / f"pictures-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"


def _keep(cached: Path, raw: Raw) -> None:
    """Writes the cache; where it cannot be written there is none."""
    arrays = {"classes": np.array(raw.classes)}
    for split, part in (("train", raw.train), ("test", raw.test)):
        if part is not None:
            arrays[f"{split}_images"] = part.images.numpy()
            arrays[f"{split}_labels"] = part.labels.numpy()
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    try:
        write_atomically(cached, stream.getvalue())
    except NasirError:
        return


def _cached(cached: Path, path: Path) -> Raw:
    with np.load(cached, allow_pickle=False) as file:
        parts = {
            split: Pictures(tensor_of(file[f"{split}_images"]), tensor_of(file[f"{split}_labels"]))
            for split in ("train", "test")
            if f"{split}_images" in file
        }
        classes = tuple(str(name) for name in file["classes"])
    return Raw(path.name, classes, parts["train"], parts.get("test"))

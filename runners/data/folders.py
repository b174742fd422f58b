"""Images in a folder or archive with a folder per class, and the cache of decoded images."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import math
import os
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nasir import NasirError, Where
from nasir.errors import quoted
from nasir.files import write_atomically
from runners.benchmarks.files import FileBudget
from runners.data.images import (
    SPLITS,
    ImageFile,
    ImageFiles,
    ImageSet,
    ImageTensors,
    decode,
    interleave,
)
from runners.data.name import FOLDERS, DataName

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")

IMAGES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

_CHUNK = 1 << 20

_MEMBER = 4096
"""Cost of an archive's member, in steps, beside its bytes."""

Files = dict[PurePosixPath, ImageFile]
"""Files by path in the folder or archive."""


def is_image(name: PurePosixPath) -> bool:
    """Whether a file name is that of an image; hidden files are not."""
    return name.suffix.lower() in IMAGES and not name.name.startswith(".")


def image_files(path: Path) -> Files:
    """Returns the image files of a folder or an archive.

    An archive is read into memory at once, since compressed ones have no random access.
    """
    if path.is_dir():
        return _in_folder(path)
    if not path.exists():
        message = "the data is not there; nothing is downloaded"
        raise NasirError("E701", message, Where(str(path)))
    if not path.name.lower().endswith(ARCHIVES):
        message = "the file is neither a folder nor an archive of images"
        raise NasirError("E701", message, Where(str(path)), f"archives: {', '.join(ARCHIVES)}")
    return _in_zip(path) if path.name.lower().endswith(".zip") else _in_tar(path)


def tar_files(
    path: Path, wanted: Callable[[PurePosixPath], bool]
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yields the wanted files of a tar archive.

    If iterated to the end, reads the rest too, so that checksums are compared.
    """
    with _archive_errors(path), _open_archive(path) as packed:
        budget = FileBudget(path)
        stream = budget.stream(packed)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_member(budget)) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if member.isfile() and wanted(name):
                    budget.spend(member.size)  # sparse files can be larger
                    content = archive.extractfile(member)
                    assert content is not None, "a regular file has content"
                    yield name, content.read()
        while stream.read(_CHUNK):
            pass


def _member(budget: FileBudget) -> type[tarfile.TarInfo]:
    """Returns a class of members with a cost in steps; attributes cost their length squared."""

    class Member(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            found = super().frombuf(buf, encoding, errors)
            attributes = found.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
            budget.spend(_MEMBER + (found.size**2 // 16 if attributes else 0))
            return found

    return Member


def stat_hash(path: Path, files: Iterable[Path]) -> str:
    """Returns a digest of the files' names, sizes and times, without reading them."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        text = f"{file.relative_to(path)}\0{status.st_size}\0{status.st_mtime_ns}\0"
        digest.update(text.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _open_archive(path: Path) -> IO[bytes] | gzip.GzipFile:
    """Opens an archive without its compression, detected by the first bytes."""
    with path.open("rb") as stream:
        begins = stream.read(6)
    if begins.startswith(b"\x1f\x8b"):
        return gzip.open(path, "rb")
    if begins.startswith(b"BZh"):
        return bz2.open(path, "rb")
    if begins.startswith(b"\xfd7zXZ"):
        return lzma.open(path, "rb")
    return path.open("rb")


@contextmanager
def _archive_errors(path: Path) -> Generator[None]:
    """Turns exceptions for truncated or damaged archives into NasirError."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        RuntimeError,  # an encrypted zip file
    ) as error:
        message = f"the archive is cut off or damaged: {error}"
        raise NasirError("E604", message, Where(str(path)), "copy it again") from error


def _in_folder(path: Path) -> Files:
    files: Files = {}
    for file in path.rglob("*"):
        name = PurePosixPath(file.relative_to(path).as_posix())
        if is_image(name) and file.is_file():
            files[name] = file
    return files


def _in_tar(path: Path) -> Files:
    return {name: io.BytesIO(content) for name, content in tar_files(path, is_image)}


def _in_zip(path: Path) -> Files:
    files: Files = {}
    with _archive_errors(path), zipfile.ZipFile(path) as archive:
        budget = FileBudget(path)
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            if is_image(name):
                budget.spend(member.file_size + _MEMBER)
                files[name] = io.BytesIO(archive.read(member))
    return files


TEST = ("test", "val", "valid", "validation")
"""Names of the test split's folder; the first that exists is used."""

_LAYOUT = "train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png"


Split = tuple[list[PurePosixPath], Tensor]
"""The names of images, interleaved so that halves have all classes, and their labels, int64 (N,).
"""


def read_folder(path: Path, resolution: int | None) -> ImageSet:
    """Reads the images of `train/CLASS` and `test/CLASS`, or of `CLASS` alone.

    Classes are interleaved, so that halves have all of them. Decoded images are kept in the user's
    cache.
    """
    files = sorted(file for file in path.rglob("*") if is_image(PurePosixPath(file)))
    if path.is_file():
        files = [path]
    return cached(path, f"{resolution}", stat_hash(path, files), lambda: _decoded(path, resolution))


def layout_of(path: Path, files: Iterable[PurePosixPath]) -> tuple[tuple[str, ...], list[Split]]:
    """Returns the classes, and the training and test images (if any).

    Ignores folders around all others; folders below a class belong to it.
    """
    where = Where(str(path))
    names = sorted(files)
    if not names:
        raise NasirError("E702", "there are no images in it", where, _LAYOUT)
    top = _top(names)
    found = {name.parts[top].lower() for name in names}
    train, test = names, list[PurePosixPath]()
    if "train" in found:
        tested = next((split for split in TEST if split in found), None)
        train = [name for name in names if name.parts[top].lower() == "train"]
        test = [name for name in names if name.parts[top].lower() == tested]
        top += 1
    elif found <= set(TEST):
        message = f"there are images in {', '.join(sorted(found))}, but none in train"
        raise NasirError("E702", message, where, _LAYOUT)
    for name in (*train, *test):
        if len(name.parts) < top + 2:
            message = f"the image {quoted(str(name))} is in no folder of a class"
            raise NasirError("E702", message, where, _LAYOUT)
    classes = tuple(sorted({name.parts[top] for name in train}))
    for name in test:
        if name.parts[top] not in classes:
            message = f"there are no training images of the class of {quoted(str(name))}"
            raise NasirError("E702", message, where, _LAYOUT)
    numbers = {label: number for number, label in enumerate(classes)}
    splits = list[Split]()
    for some in filter(None, (train, test)):
        labels = torch.tensor([numbers[name.parts[top]] for name in some], dtype=torch.int64)
        order = interleave(labels)
        splits.append(([some[int(i)] for i in order], labels[order]))
    return classes, splits


def _top(names: list[PurePosixPath]) -> int:
    """Returns the number of folders around the splits and classes."""
    for level, (first, last) in enumerate(zip(names[0].parts, names[-1].parts, strict=False)):
        alone = first == last and all(len(name.parts) > level + 2 for name in names)
        if not alone or first.lower() in ("train", *TEST):
            return level
    return 0


def _decoded(path: Path, resolution: int | None) -> ImageSet:
    """Decodes a data set; greyscale images get three equal channels if one is in colour."""
    files = image_files(path)
    classes, splits = layout_of(path, files)
    images = _pixels(path, files, [name for names, _ in splits for name in names], resolution)
    cut = len(splits[0][1])
    parts = zip((images[:cut], images[cut:]), splits, strict=False)
    return ImageSet(path.name, classes, [ImageTensors(some, labels) for some, (_, labels) in parts])


def memory_bytes() -> int:
    """Returns the machine's memory in bytes, or sys.maxsize if unknown."""
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _pixels(path: Path, files: Files, names: list[PurePosixPath], resolution: int | None) -> Tensor:
    """Decodes images to uint8 (N, C, H, W): one channel if all are greyscale, else 3."""
    images = np.empty((0, 0, 0, 0), np.uint8)
    for number, name in enumerate(names):
        pixels = decode(files[name], str(path / name), resolution).transpose(2, 0, 1)
        if number == 0:
            images = _allocate(path, len(names), pixels.shape)
        height, width = images.shape[2:]
        if pixels.shape[1:] != (height, width):
            message = f"the image is {pixels.shape[2]}x{pixels.shape[1]} pixels, but "
            message += f"{quoted(str(names[0]))} {width}x{height}"
            hint = f"imagefolder:{path}@32 brings all of them to 32 pixels"
            raise NasirError("E702", message, Where(str(path / name)), hint)
        if images.shape[1] < pixels.shape[0]:
            seen, images = images[:number], _allocate(path, len(names), pixels.shape)
            images[:number] = seen
        images[number] = pixels
    return torch.as_tensor(images)


def _allocate(path: Path, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Allocates an array for images, (N, C, H, W). Raises an error if memory is too small.

    Writing the cache needs a second copy.
    """
    needed, there = 2 * count * math.prod(shape), memory_bytes()
    if needed > there:
        message = f"{count} images of {shape[2]}x{shape[1]} pixels need "
        message += f"{needed >> 20} MiB of memory, and there are {there >> 20}"
        hint = f"imagefolder:{path}@32 makes them smaller; imagenet:{path} leaves "
        raise NasirError("E106", message, Where(str(path)), hint + "them in their files")
    return np.empty((count, *shape), np.uint8)


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation as in torchvision's documentation."""

SIDE = 224


def read_imagenet(name: DataName) -> ImageSet:
    """Lists `train/CLASS` and `val/CLASS`; reads only names and sizes of files.

    These determine the fingerprint. Batches raise an error for a damaged image.
    """
    path = name.location
    if not path.is_dir():
        message = "the folder is not there; nothing is downloaded"
        hint = f"imagenet:PATH with {FOLDERS['imagenet']}"
        raise NasirError("E701", message, Where(str(path)), hint)
    classes, splits = layout_of(path, image_files(path))
    side = name.resolution or SIDE
    parts = [ImageFiles(path, tuple(names), labels, side) for names, labels in splits]
    return ImageSet("imagenet", classes, parts, IMAGENET)


LARGEST = 4 * 2**30
"""Maximum size of the cache in bytes; larger data sets are not cached."""

_VERSION = "4"
"""The version of cached files; others are decoded again."""

_DAY = 24 * 3600


def cached(path: Path, key: str, state: str, decode: Callable[[], ImageSet]) -> ImageSet:
    """Returns `decode()`, cached by path and key while the state is the same.

    A cache that cannot be read or written, or has a wrong checksum, is ignored. A new state
    replaces the old one.
    """
    name = hashlib.sha256(f"{path.resolve()}\0{key}".encode(errors="surrogateescape"))
    file = cache_folder() / f"images-{name.hexdigest()[:16]}.safetensors"
    state = f"{_VERSION} {state}"
    found = _stored(file, state, path.name)
    if found is None:
        found = decode()
        _store(file, state, found)
    return found


def cache_folder() -> Path:
    """Returns the user's cache folder for decoded images."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "nasir"


def _stored(file: Path, state: str, name: str) -> ImageSet | None:
    try:
        opened: Any = safe_open(file, "pt")  # it has no types
        with opened as stored:
            facts: dict[str, str] = stored.metadata() or {}
            if facts.get("state") != state:
                return None
            keys: list[str] = list(stored.keys())
            parts = [
                ImageTensors(
                    stored.get_tensor(f"{part}.images"), stored.get_tensor(f"{part}.labels")
                )
                for part in SPLITS
                if f"{part}.images" in keys
            ]
        found = ImageSet(name, tuple(json.loads(facts["classes"])), parts)
        if found.fingerprint != facts["fingerprint"]:
            return None
        os.utime(file)
        return found
    except (OSError, SafetensorError, KeyError):
        return None


def _store(file: Path, state: str, found: ImageSet) -> None:
    tensors: dict[str, Tensor] = {}
    for name, part in zip(SPLITS, found.splits, strict=False):
        tensors[f"{name}.images"], tensors[f"{name}.labels"] = part.images, part.labels
    size = sum(value.nbytes for value in tensors.values())
    if size > LARGEST:
        return
    facts = {"state": state, "classes": json.dumps(found.classes), "fingerprint": found.fingerprint}
    try:
        _make_room(file, size)
        write_atomically(file, save(tensors, facts))
    except (NasirError, OSError):
        return


def _make_room(file: Path, size: int) -> None:
    """Removes the least recently read files, and temporary files of killed processes."""
    for left in file.parent.glob(".images-*"):
        if time.time() - left.stat().st_mtime > _DAY:
            left.unlink(missing_ok=True)
    found = {path: path.stat() for path in file.parent.glob("images-*.safetensors")}
    found.pop(file, None)
    total = size + sum(status.st_size for status in found.values())
    for path in sorted(found, key=lambda path: found[path].st_mtime_ns):
        if total <= LARGEST:
            return
        path.unlink(missing_ok=True)
        total -= found[path].st_size

"""Images in a folder, or an archive of one, with a folder for each class; their cache."""

import bz2
import gzip
import hashlib
import json
import lzma
import os
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
    ImageFiles,
    ImageSet,
    ImageTensors,
    Raw,
    check_classes,
    decode,
    evened,
    mixed,
)
from runners.data.name import FOLDERS, DataName

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")

IMAGES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

_CHUNK = 1 << 20

_MEMBER = 4096
"""Steps that a file of an archive costs beside its bytes."""

Files = dict[PurePosixPath, Callable[[], bytes]]
"""A function that reads each file, by its path in the folder or archive."""


def is_image(name: PurePosixPath) -> bool:
    """Whether a file's name is that of an image; what begins with a dot is none."""
    return name.suffix.lower() in IMAGES and not name.name.startswith(".")


def image_files(path: Path) -> Files:
    """Every image file of a folder or an archive. Raises E701, E709.

    An archive is read whole, since a compressed one cannot be read here and there; nothing of it
    is written anywhere.
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
    """The files of a tar archive whose names are wanted. Raises E709.

    Reads to the end where nobody stops, so that checksums are compared.
    """
    with _whole(path), _unpacked(path) as packed:
        budget = FileBudget(path)
        stream = budget.stream(packed)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_member(budget)) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if member.isfile() and wanted(name):
                    budget.spend(member.size)  # of a sparse file more than the archive has
                    content = archive.extractfile(member)
                    assert content is not None, "a regular file has content"
                    yield name, content.read()
        while stream.read(_CHUNK):
            pass


def _member(budget: FileBudget) -> type[tarfile.TarInfo]:
    """Members of an archive, which cost steps; their attributes the square of their length."""

    class Member(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            found = super().frombuf(buf, encoding, errors)
            attributes = found.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
            budget.spend(_MEMBER + (found.size**2 // 16 if attributes else 0))
            return found

    return Member


def state_of(path: Path, files: Iterable[Path]) -> str:
    """A digest of the names, sizes and times of files in a folder; reads none."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        text = f"{file.relative_to(path)}\0{status.st_size}\0{status.st_mtime_ns}\0"
        digest.update(text.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _unpacked(path: Path) -> IO[bytes] | gzip.GzipFile:
    """The archive without its compression, which is found by its first bytes."""
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
def _whole(path: Path) -> Generator[None]:
    """Turns errors of a cut or broken archive into E709."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        RuntimeError,  # a zip file with a password
    ) as error:
        message = f"the archive is cut off or damaged: {error}"
        raise NasirError("E709", message, Where(str(path)), "copy it again") from error


def _in_folder(path: Path) -> Files:
    files: Files = {}
    for file in path.rglob("*"):
        name = PurePosixPath(file.relative_to(path).as_posix())
        if is_image(name) and file.is_file():
            files[name] = file.read_bytes
    return files


def _in_tar(path: Path) -> Files:
    return {name: _kept(content) for name, content in tar_files(path, is_image)}


def _in_zip(path: Path) -> Files:
    files: Files = {}
    with _whole(path), zipfile.ZipFile(path) as archive:
        budget = FileBudget(path)
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            if is_image(name):
                budget.spend(member.file_size + _MEMBER)
                files[name] = _kept(archive.read(member))
    return files


def _kept(content: bytes) -> Callable[[], bytes]:
    return lambda: content


TEST = ("test", "val", "valid", "validation")
"""Names of the test split's folder; the first that exists is used."""

_LAYOUT = "train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png"


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """Where each image belongs: sorted names, with those of one class together.

    `level` is which part of a name is its class.
    """

    train: tuple[PurePosixPath, ...]
    test: tuple[PurePosixPath, ...]
    classes: tuple[str, ...]
    level: int

    def labels(self, names: tuple[PurePosixPath, ...]) -> Tensor:
        """The label of each name, int64 (N,)."""
        numbers = {label: number for number, label in enumerate(self.classes)}
        return torch.tensor([numbers[name.parts[self.level]] for name in names], dtype=torch.int64)


def read_folder(path: Path, resolution: int | None) -> Raw:
    """The images of `train/CLASS` and `test/CLASS`, or of `CLASS` alone.

    Images of all classes are mixed, so that halves hold all of them. What was decoded is kept in
    the user's cache. Raises E701 to E705 and E709.
    """
    files = sorted(file for file in path.rglob("*") if is_image(PurePosixPath(file)))
    if path.is_file():
        files = [path]
    return cached(path, f"{resolution}", state_of(path, files), lambda: _decoded(path, resolution))


def layout_of(path: Path, names: list[PurePosixPath]) -> FolderLayout:
    """Which class and split each name belongs to. Raises E702, E703.

    Folders around all others count for nothing; those below a class belong to it.
    """
    where = Where(str(path))
    names = sorted(names)
    if not names:
        raise NasirError("E702", "there are no images in it", where, _LAYOUT)
    top = _top(names)
    splits = {name.parts[top].lower() for name in names}
    train, test = names, list[PurePosixPath]()
    if "train" in splits:
        tested = next((split for split in TEST if split in splits), None)
        train = [name for name in names if name.parts[top].lower() == "train"]
        test = [name for name in names if name.parts[top].lower() == tested]
        top += 1
    elif splits <= set(TEST):
        message = f"there are images in {', '.join(sorted(splits))}, but none in train"
        raise NasirError("E702", message, where, _LAYOUT)
    for name in (*train, *test):
        if len(name.parts) < top + 2:
            message = f"the image {quoted(str(name))} is in no folder of a class"
            raise NasirError("E702", message, where, _LAYOUT)
    classes = tuple(sorted({name.parts[top] for name in train}))
    for name in test:
        if name.parts[top] not in classes:
            message = f"there are no training images of the class of {quoted(str(name))}"
            raise NasirError("E703", message, where, _LAYOUT)
    return FolderLayout(tuple(train), tuple(test), classes, top)


def _top(names: list[PurePosixPath]) -> int:
    """The number of folders around all images, their splits and their classes."""
    for level, (first, last) in enumerate(zip(names[0].parts, names[-1].parts, strict=False)):
        alone = first == last and all(len(name.parts) > level + 2 for name in names)
        if not alone or first.lower() in ("train", *TEST):
            return level
    return 0


def _decoded(path: Path, resolution: int | None) -> Raw:
    files = image_files(path)
    layout = layout_of(path, list(files))
    decoder = _Decoder(path, files, resolution, len(layout.train) + len(layout.test))
    parts: list[ImageTensors] = []
    for names in (layout.train, layout.test):
        if names:
            labels = layout.labels(names)
            order = mixed(labels)
            images = decoder.images([names[int(i)] for i in order])
            parts.append(ImageTensors(images, labels[order]))
    test = parts[1] if layout.test else None
    return evened(Raw(path.name, layout.classes, parts[0], test))


def memory() -> int:
    """Bytes of memory that this machine has, or more than any has where it does not say."""
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class _Decoder:
    """Decodes files one after the other, and checks that all have one size."""

    def __init__(self, path: Path, files: Files, resolution: int | None, total: int) -> None:
        self.total = total
        self._path, self._files, self._resolution = path, files, resolution
        self._first: tuple[PurePosixPath, tuple[int, ...]] | None = None

    def images(self, names: list[PurePosixPath]) -> Tensor:
        """uint8 (N, C, H, W): one channel where all are grey, else 3. Raises E704, E705."""
        images: np.ndarray | None = None
        for number, name in enumerate(names):
            pixels = decode(self._files[name], str(self._path / name), self._resolution)
            self._check_size(name, pixels.shape)
            if images is None:
                images = self._space(len(names), pixels.shape)
            elif images.shape[1] < pixels.shape[2]:
                seen, images = images[:number], self._space(len(names), pixels.shape)
                images[:number] = seen
            images[number] = pixels.transpose(2, 0, 1)
        assert images is not None, "a split without images"
        return torch.as_tensor(images)

    def _space(self, count: int, shape: tuple[int, ...]) -> np.ndarray:
        """An array for the images of a split, (N, C, H, W). Raises E106 where memory is too small.

        What is written to the cache is copied once.
        """
        height, width, channels = shape
        needed, there = 2 * self.total * height * width * channels, memory()
        if needed > there:
            message = f"{self.total} images of {width}x{height} pixels need "
            message += f"{needed >> 20} MiB of memory, and there are {there >> 20}"
            hint = f"imagefolder:{self._path}@32 makes them smaller; imagenet:{self._path} leaves "
            hint += "them in their files"
            raise NasirError("E106", message, Where(str(self._path)), hint)
        return np.empty((count, channels, height, width), np.uint8)

    def _check_size(self, name: PurePosixPath, shape: tuple[int, ...]) -> None:
        if self._first is None:
            self._first = (name, shape)
        other, (height, width, _) = self._first
        if shape[:2] != (height, width):
            message = f"the image is {shape[1]}x{shape[0]} pixels, but {quoted(str(other))} "
            message += f"{width}x{height}"
            hint = f"imagefolder:{self._path}@32 brings all of them to 32 pixels"
            raise NasirError("E705", message, Where(str(self._path / name)), hint)


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""As torchvision documents it for its networks."""

SIDE = 224


def read_imagenet(name: DataName) -> ImageSet:
    """`train/CLASS` and `val/CLASS` in any number and size; looks at names and sizes of files only.

    The fingerprint is over those. Raises E701, E702, E703; batches raise E704.
    """
    path = name.location
    if not path.is_dir():
        message = "the folder is not there; nothing is downloaded"
        hint = f"imagenet:PATH with {FOLDERS['imagenet']}"
        raise NasirError("E701", message, Where(str(path)), hint)
    layout = layout_of(path, list(image_files(path)))
    check_classes(layout.classes, layout.labels(layout.train), Where(str(path)))
    digest = hashlib.sha256("\0".join(layout.classes).encode(errors="surrogateescape"))
    parts: list[ImageFiles] = []
    for names in (layout.train, layout.test):
        order = mixed(layout.labels(names)) if names else layout.labels(names)
        chosen = tuple(names[int(i)] for i in order)
        for file in chosen:
            text = f"{file}\0{(path / file).stat().st_size}\0"
            digest.update(text.encode(errors="surrogateescape"))
        files = tuple(path / file for file in chosen)
        parts.append(ImageFiles(files, layout.labels(chosen), name.resolution or SIDE))
    test = parts[1] if layout.test else None
    return ImageSet("imagenet", layout.classes, parts[0], test, *IMAGENET, digest.hexdigest())


LARGEST = 4 * 2**30
"""Bytes that the cache may have; more than that of one data set is not kept at all."""

_VERSION = "3"
"""The version of stored files; another one is decoded again."""

_DAY = 24 * 3600


def cached(path: Path, key: str, state: str, decode: Callable[[], Raw]) -> Raw:
    """Returns `decode()`, kept under the path and the key as long as the state is the same.

    A cache that cannot be written or read, or whose checksum is wrong, is as good as none. Another
    state takes its place.
    """
    name = hashlib.sha256(f"{path.resolve()}\0{key}".encode(errors="surrogateescape"))
    file = cache_folder() / f"images-{name.hexdigest()[:16]}.safetensors"
    state = f"{_VERSION} {state}"
    found = _stored(file, state, path.name)
    if found is not None:
        return found
    raw = decode()
    _store(file, state, raw)
    return raw


def cache_folder() -> Path:
    """Where decoded images are kept: a folder of the user's cache."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "nasir"


def _stored(file: Path, state: str, name: str) -> Raw | None:
    try:
        opened: Any = safe_open(file, "pt")  # it has no types
        with opened as stored:
            facts: dict[str, str] = stored.metadata() or {}
            if facts.get("state") != state:
                return None
            keys: list[str] = list(stored.keys())
            tensors: dict[str, Tensor] = {key: stored.get_tensor(key) for key in keys}
        if facts["checksum"] != _checksum(facts["classes"], tensors):
            return None
        os.utime(file)
    except (OSError, SafetensorError, KeyError):
        return None
    parts = {
        part: ImageTensors(tensors[f"{part}.images"], tensors[f"{part}.labels"])
        for part in ("training", "test")
        if f"{part}.images" in tensors
    }
    classes = tuple(json.loads(facts["classes"]))
    return Raw(name, classes, parts["training"], parts.get("test"))


def _store(file: Path, state: str, raw: Raw) -> None:
    tensors: dict[str, Tensor] = {}
    for name, part in raw.parts.items():
        tensors[f"{name}.images"] = part.images.contiguous()
        tensors[f"{name}.labels"] = part.labels.to(torch.int64)
    size = sum(value.nbytes for value in tensors.values())
    if size > LARGEST:
        return
    classes = json.dumps(raw.classes)
    facts = {"state": state, "classes": classes, "checksum": _checksum(classes, tensors)}
    try:
        _make_room(file, size)
        write_atomically(file, save(tensors, facts))
    except (NasirError, OSError):
        return


def _checksum(classes: str, tensors: Mapping[str, Tensor]) -> str:
    """A SHA-256 over all that is stored."""
    digest = hashlib.sha256(classes.encode())
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(f"{key} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _make_room(file: Path, size: int) -> None:
    """Removes the files read longest ago, and the remains of writers that were killed."""
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

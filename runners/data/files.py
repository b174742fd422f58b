"""The image files of a folder or an archive, by name."""

import bz2
import gzip
import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Self

from nasir import NasirError, Where
from runners.benchmarks.files import FileBudget

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")

IMAGES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

_CHUNK = 1 << 20

_MEMBER = 4096
"""Steps that a file of an archive costs beside its bytes."""

Files = dict[PurePosixPath, Callable[[], bytes]]
"""What reads each file, by its path in the folder or archive."""


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
    """The archive without its compression, which its first bytes tell."""
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
    """Turns what a cut or broken archive raises into E709."""
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

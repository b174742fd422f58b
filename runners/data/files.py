"""The files of a folder or an archive, as names and contents."""

import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from nasir import NasirError, Where

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")

PICTURES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def is_picture(name: PurePosixPath) -> bool:
    """Whether a file's name is that of a picture; what begins with a dot is none."""
    return name.suffix.lower() in PICTURES and not name.name.startswith(".")


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive."""
    return path.name.lower().endswith(ARCHIVES)


def pictures_in(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Every picture file of a folder or an archive, in no order. Raises E701, E707."""
    if path.is_dir():
        return _in_folder(path)
    if not path.exists():
        message = "there is no such folder or archive"
        raise NasirError("E701", message, Where(str(path)), "nothing is downloaded")
    if not is_archive(path):
        message = "the file is neither a folder nor an archive"
        raise NasirError("E701", message, Where(str(path)), f"archives end with {_either()}")
    return _in_zip(path) if path.name.lower().endswith(".zip") else _in_tar(path)


def state_of(path: Path) -> str:
    """A digest of names, sizes and times, which changes when files do; needs no reading."""
    digest = hashlib.sha256(str(path.resolve()).encode())
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if is_picture(PurePosixPath(file)))
    else:
        files = [path] if path.exists() else []
    for file in files:
        status = file.stat()
        digest.update(f"\0{file}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()


def _in_folder(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    for file in path.rglob("*"):
        name = PurePosixPath(file.relative_to(path).as_posix())
        if is_picture(name) and file.is_file():
            yield name, file.read_bytes()


def _in_tar(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    with _whole(path), tarfile.open(path, "r|*") as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            if member.isfile() and is_picture(name):
                content = archive.extractfile(member)
                assert content is not None, "a regular file has content"
                yield name, content.read()


def _in_zip(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    with _whole(path), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            if is_picture(name):
                yield name, archive.read(member)


@contextmanager
def _whole(path: Path) -> Generator[None]:
    """Turns what a cut or broken archive raises into E707."""
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
        NotImplementedError,
    ) as error:
        message = f"the archive is cut off or damaged: {error}"
        raise NasirError("E707", message, Where(str(path)), "copy it again") from error


def _either() -> str:
    return f"{', '.join(ARCHIVES[:-1])} or {ARCHIVES[-1]}"

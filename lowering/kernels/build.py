"""The library of kernels: built by torch's loader on first use, cached for each machine.

What is loaded runs, so that only a file that nobody else could have written is: the file and every
folder above it belong to the user or to the system, and are closed to others. The file's name has
the digest of its content, since one that is cut off ends the process that loads it. Where the
cache is not to be trusted, or not to be written, a process builds in a temporary folder of its own.
"""

import atexit
import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator
from pathlib import Path

import torch
from filelock import FileLock

SWITCH = "NASIR_KERNELS"
_SOURCE = Path(__file__).parent / "source"
_BASE = ("-O2", "-fno-math-errno", "-ffp-contract=fast")
_WAIT = 600.0
"""Seconds that another process may build; after them this one builds for itself."""

# The first that builds is used: not every compiler knows its processor or has OpenMP.
_FLAGS = (("-march=native", "-fopenmp"), ("-fopenmp",), ("-march=native",), ())


class BuildFailedError(Exception):
    """The library is not available; the message is the reason in one line."""


def reason() -> str:
    """Why the kernels cannot be used here, in one line; "" if they can."""
    if os.environ.get(SWITCH) == "0":
        return f"switched off by {SWITCH}=0"
    return _load()[1]


def available() -> bool:
    """True if the kernels are available; builds them if needed."""
    return not reason()


def library() -> ctypes.CDLL:
    """The loaded library. Raises BuildFailedError where there is none."""
    loaded, why = _load()
    if loaded is None:
        raise BuildFailedError(why)
    return loaded


def cache_folder() -> Path:
    """The directory of built libraries: TORCH_EXTENSIONS_DIR, or the user's cache."""
    if folder := os.environ.get("TORCH_EXTENSIONS_DIR"):
        return Path(folder) / "nasir"
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "nasir"
    return Path.home() / ".cache" / "nasir"


def library_path() -> Path:
    """The loaded library's file. Raises BuildFailedError where there is none."""
    return Path(library()._name)  # pyright: ignore[reportPrivateUsage] - as ctypes documents it


def _key() -> str:
    """The key of a library: source, flags, processor and torch."""
    text = [torch.__version__, platform.machine(), _processor(), str(_BASE), str(_FLAGS)]
    text += [os.environ.get("CXX", "")]
    text += [file.read_text(encoding="utf-8") for file in sorted(_SOURCE.iterdir())]
    return hashlib.sha256("\0".join(text).encode()).hexdigest()[:16]


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    """The library and "", or None and why; tried once in a process."""
    if sys.platform not in {"linux", "darwin"}:
        return None, f"the kernels are not written for {sys.platform}"
    try:
        return ctypes.CDLL(str(_cached(_key()) or _private(_key()))), ""
    except (BuildFailedError, OSError) as error:
        return None, _first_line(str(error))


def _cached(key: str) -> Path | None:
    """The library in the cache, built if it is not there; None where the cache is of no use."""
    folder = cache_folder()
    try:
        for each in reversed((folder, *folder.parents)):
            if not each.exists():
                each.mkdir(mode=0o700, exist_ok=True)
        folder = folder.resolve()
        if not _closed(folder):
            return None
        if found := _sound(folder, key):
            return found
        with FileLock(folder / "kernels.lock", _WAIT, mode=0o600):
            return _sound(folder, key) or _build(folder, key)
    except OSError:
        return None


def _private(key: str) -> Path:
    """A library that this process builds for itself, in a folder that it removes at its end."""
    folder = Path(tempfile.mkdtemp(prefix="nasir-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return _build(folder, key)


def _sound(folder: Path, key: str) -> Path | None:
    """The library of a key, named by its content; others of the key are removed."""
    for path in sorted(folder.glob(f"kernels-{key}-*.so")):
        if _own(path.lstat(), stat.S_ISREG) and path.name == _name(key, path):
            return path
        path.unlink()
    return None


def _name(key: str, path: Path) -> str:
    return f"kernels-{key}-{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}.so"


def _closed(folder: Path) -> bool:
    """True if no other user can write to a folder or replace it."""
    return _own(folder.lstat(), stat.S_ISDIR) and all(
        _own(parent.lstat(), stat.S_ISDIR) or _sticky(parent.lstat()) for parent in folder.parents
    )


def _own(status: os.stat_result, kind: Callable[[int], bool]) -> bool:
    mine = status.st_uid in (0, os.geteuid())
    return mine and kind(status.st_mode) and not status.st_mode & 0o022


def _sticky(status: os.stat_result) -> bool:
    """True for a sticky folder such as /tmp."""
    return status.st_uid in (0, os.geteuid()) and bool(status.st_mode & stat.S_ISVTX)


def _build(folder: Path, key: str) -> Path:
    """Builds into a folder of its own, then moves: another process sees all of it or nothing.

    Nobody else builds in `folder`: what a build has left there was of a process that was killed.
    """
    for left in folder.glob("build-*"):
        shutil.rmtree(left, ignore_errors=True)
    failure = ""
    for flags in _FLAGS:
        with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as place:
            try:
                _compile(Path(place), [*_BASE, *flags])
            except (RuntimeError, OSError, ImportError) as error:
                failure = failure or _first_line(str(error))
                continue
            made = Path(place) / "nasir_kernels.so"
            made.chmod(0o700)
            return made.replace(folder / _name(key, made))
    raise BuildFailedError(failure)


def _compile(folder: Path, flags: list[str]) -> None:
    with _ninja(), _quiet():
        from torch.utils import cpp_extension

        compiler = cpp_extension.get_cxx_compiler()
        if shutil.which(compiler) is None:
            raise OSError(f"there is no C++ compiler: {compiler} is not found")
        cpp_extension.load(  # pyright: ignore[reportUnknownMemberType] - untyped in torch
            "nasir_kernels",
            [str(_SOURCE / "mixed.cpp")],
            extra_cflags=flags,
            extra_ldflags=[flag for flag in flags if flag == "-fopenmp"],
            build_directory=str(folder),
            is_python_module=False,
            with_cuda=False,
        )


@contextlib.contextmanager
def _ninja() -> Generator[None]:
    """Adds this environment's ninja to the path, where an inactive environment is not."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Suppresses torch's warnings on compilers; `reason` reports the fault once."""
    log = logging.getLogger("torch.utils.cpp_extension")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def _first_line(text: str) -> str:
    """The line with the fault: a compiler's first error, or the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(error|not found)\b", line)]
    return (errors or lines or ["the build failed"])[0][:200]


def _processor() -> str:
    """The processor that -march=native means here."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features")
    return "\n".join(sorted({line for line in text.splitlines() if line.startswith(wanted)}))

"""The library of kernels: built by torch's loader on first use, cached for each machine."""

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Generator
from pathlib import Path

import torch

SWITCH = "NASIR_KERNELS"
_SOURCE = Path(__file__).parent / "source"
_BASE = ("-O2", "-fno-math-errno", "-ffp-contract=fast")
# The first that builds is used: not every compiler knows its processor or has OpenMP.
_FLAGS = (("-march=native", "-fopenmp"), ("-fopenmp",), ("-march=native",), ())


class BuildFailedError(Exception):
    """The library cannot be had here; the text says why, in one line."""


def reason() -> str:
    """Why the kernels cannot be used here, in one line; "" if they can."""
    if os.environ.get(SWITCH) == "0":
        return f"switched off by {SWITCH}=0"
    return _load()[1]


def available() -> bool:
    """Whether the kernels can be used here; builds them if nobody has."""
    return not reason()


def library() -> ctypes.CDLL:
    """The loaded library. Raises BuildFailedError where there is none."""
    loaded, why = _load()
    if loaded is None:
        raise BuildFailedError(why)
    return loaded


def cache_folder() -> Path:
    """Where built libraries are kept: TORCH_EXTENSIONS_DIR, or the user's cache."""
    if folder := os.environ.get("TORCH_EXTENSIONS_DIR"):
        return Path(folder) / "nasir"
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "nasir"
    return Path.home() / ".cache" / "nasir"


def library_path() -> Path:
    """The library's file: its name says which source, flags, processor and torch it is for."""
    text = [torch.__version__, platform.machine(), _processor(), str(_BASE), str(_FLAGS)]
    text += [os.environ.get("CXX", "")]
    text += [file.read_text(encoding="utf-8") for file in sorted(_SOURCE.iterdir())]
    name = hashlib.sha256("\0".join(text).encode()).hexdigest()[:16]
    return cache_folder() / f"kernels-{name}.so"


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    """The library and "", or None and why; tried once in a process."""
    if sys.platform not in {"linux", "darwin"}:
        return None, f"the kernels are not written for {sys.platform}"
    try:
        path = library_path()
        if not path.exists():
            _build(path)
        return ctypes.CDLL(str(path)), ""
    except (BuildFailedError, OSError) as error:
        return None, _first_line(str(error))


def _build(path: Path) -> None:
    """Builds into a folder of its own, then moves: another process sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    failure = ""
    for flags in _FLAGS:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            try:
                _compile(Path(folder), [*_BASE, *flags])
            except (RuntimeError, OSError, ImportError) as error:
                failure = failure or _first_line(str(error))
                continue
            shutil.move(Path(folder) / "nasir_kernels.so", path)
            return
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
    """With this environment's ninja on the path, which it is not unless somebody activated it."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Without torch's remarks on compilers: what is wrong is told once, by `reason`."""
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
    """The line that says what is wrong: a compiler's first error, or the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(error|not found)\b", line)]
    return (errors or lines or ["the build failed"])[0][:200]


def _processor() -> str:
    """What -march=native would mean here."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features")
    return "\n".join(sorted({line for line in text.splitlines() if line.startswith(wanted)}))

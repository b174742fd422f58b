"""Decoded pictures in the user's cache, so that an archive is decoded once."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

_VERSION = "1"
"""Of what is stored; another one is decoded again."""

Decoded = tuple[dict[str, Tensor], tuple[str, ...]]
"""Tensors by name, and the names of classes."""


def cached(path: Path, key: str, state: str, decode: Callable[[], Decoded]) -> Decoded:
    """What `decode` returns, stored under the path and the key while the state is the same.

    A cache that cannot be written, or not be read, is as good as none.
    """
    name = hashlib.sha256(f"{path.resolve()}\0{key}".encode()).hexdigest()[:16]
    file = cache_folder() / f"pictures-{name}.safetensors"
    state = f"{_VERSION} {state}"
    if (found := _read(file, state)) is not None:
        return found
    decoded = decode()
    with contextlib.suppress(OSError, SafetensorError):
        _write(file, state, decoded)
    return decoded


def cache_folder() -> Path:
    """Where decoded pictures are kept: a folder of the user's cache."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "nasir"


def _read(file: Path, state: str) -> Decoded | None:
    try:
        with safe_open(file, "pt") as stored:
            facts: dict[str, str] = stored.metadata() or {}
            if facts.get("state") != state:
                return None
            tensors: dict[str, Tensor] = {name: stored.get_tensor(name) for name in stored.keys()}
            return tensors, tuple(facts["classes"].split("\0"))
    except (OSError, SafetensorError, KeyError):
        return None


def _write(file: Path, state: str, decoded: Decoded) -> None:
    """Beside the file and renamed, so that nobody reads a half."""
    tensors, classes = decoded
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=file.parent, suffix=".part")
    os.close(handle)
    try:
        save_file(tensors, beside, {"state": state, "classes": "\0".join(classes)})
        Path(beside).replace(file)
    finally:
        Path(beside).unlink(missing_ok=True)

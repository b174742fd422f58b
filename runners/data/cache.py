"""Decoded images in the user's cache, so that files are decoded once.

What was not read for the longest time makes room for what is new, beyond `LARGEST` bytes in all.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nasir import NasirError
from nasir.files import write_atomically
from runners.data.images import ImageTensors, Raw

LARGEST = 4 * 2**30
"""Bytes that the cache may have; more than that of one data set is not kept at all."""

_VERSION = "3"
"""Of what is stored; another one is decoded again."""

_DAY = 24 * 3600


def cached(path: Path, key: str, state: str, decode: Callable[[], Raw]) -> Raw:
    """What `decode` returns, kept under the path and the key for as long as the state is the same.

    A cache that cannot be written or read, or whose checksum is wrong, is as good as none. Another
    state takes its place.
    """
    name = hashlib.sha256(f"{path.resolve()}\0{key}".encode(errors="surrogateescape"))
    file = cache_folder() / f"images-{name.hexdigest()[:16]}.safetensors"
    state = f"{_VERSION} {state}"
    found = _read(file, state, path.name)
    if found is not None:
        return found
    raw = decode()
    _write(file, state, raw)
    return raw


def cache_folder() -> Path:
    """Where decoded images are kept: a folder of the user's cache."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "nasir"


def _read(file: Path, state: str, name: str) -> Raw | None:
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


def _write(file: Path, state: str, raw: Raw) -> None:
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
    """Removes what was read longest ago, and what a writer that was killed has left beside it."""
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

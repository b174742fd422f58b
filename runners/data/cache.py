"""Decoded pictures in the user's cache, so that files are decoded once."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nasir import NasirError
from nasir.files import write_atomically
from runners.data.pictures import Pictures, Raw

_VERSION = "3"
"""Of what is stored; another one is decoded again."""


def cached(path: Path, key: str, state: str, decode: Callable[[], Raw]) -> Raw:
    """What `decode` returns, kept under the path and the key for as long as the state is the same.

    A cache that cannot be written or read is as good as none. Another state takes its place.
    """
    name = hashlib.sha256(f"{path.resolve()}\0{key}".encode(errors="surrogateescape"))
    file = cache_folder() / f"pictures-{name.hexdigest()[:16]}.safetensors"
    state = f"{_VERSION} {state}"
    found = _read(file, state, path.name)
    if found is not None:
        return found
    raw = decode()
    _write(file, state, raw)
    return raw


def cache_folder() -> Path:
    """Where decoded pictures are kept: a folder of the user's cache."""
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
    except (OSError, SafetensorError):
        return None
    parts = {
        part: Pictures(tensors[f"{part}.images"], tensors[f"{part}.labels"])
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
    content = save(tensors, {"state": state, "classes": json.dumps(raw.classes)})
    try:
        write_atomically(file, content)
    except NasirError:
        return

"""A checkpoint: tensors and facts in one safetensors file, with a checksum over both."""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load, save
from torch import Tensor

from nasir import NasirError, Where
from nasir.errors import quoted
from nasir.plain import Json
from nasir.quoting import json_text

VERSION = 1

CHECKPOINTS = "checkpoints"
"""The folder of them in a run."""

_STORED = {
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
}  # fmt: skip
"""The types that every version of the format has; others are stored as their bytes."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch: tensors on the CPU, each with memory of its own, and facts."""

    epoch: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Json]


def pack_checkpoint(
    epoch: int, tensors: Mapping[str, Tensor], facts: Mapping[str, object]
) -> bytes:
    """The file's content, the same bytes every time.

    Tensors may have any type, device and layout, and may share memory. What is read back is equal
    to the bit, facts included (floats too, NaN and infinity with them).
    """
    plain = {key: _plain(value) for key, value in tensors.items()}
    stored = {key: _storable(value) for key, value in plain.items()}
    about: dict[str, object] = {
        "checkpoint": VERSION,
        "epoch": epoch,
        "facts": dict(facts),
        "shapes": {
            key: [str(value.dtype).removeprefix("torch."), list(value.shape)]
            for key, value in plain.items()
            if value.dtype not in _STORED
        },
    }
    # One key: the package writes several in random order.
    about["checksum"] = _checksum(_text(about), stored)
    return save(stored, {"nasir": _text(about)})


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint of a file.

    Raises E727 where the file is missing or damaged, and where it may well be whole: E722 where the
    system refuses to read it, E110 where another version wrote it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _unusable(path, "it is not there") from None
    except OSError as error:
        message = f"the checkpoint cannot be read: {error.strerror or error}"
        raise NasirError("E722", message, Where(str(path))) from None
    try:
        stored = load(content)
        about = _about(content)
        if about.pop("checksum") != _checksum(_text(about), stored):
            raise ValueError("its checksum is wrong")
        if about["checkpoint"] == VERSION:
            shapes = cast("dict[str, tuple[str, list[int]]]", about["shapes"])
            # Cloned: products may depend in their last bits on how memory is aligned.
            tensors = {
                key: _restored(each.clone(), shapes.get(key)) for key, each in stored.items()
            }
            return Checkpoint(int(about["epoch"]), tensors, dict(about["facts"]))
        version = quoted(about["checkpoint"]).strip("'")
    # What changed metadata makes of all this has no class in common.
    except Exception as error:
        raise _unusable(path, quoted(str(error) or type(error).__name__, 200)) from None
    message = f"the checkpoint is of version {version}, this nasir reads {VERSION}"
    raise NasirError("E110", message, Where(str(path)), hint="go on with the nasir it is of")


def saved_epochs(folder: Path) -> list[int]:
    """The epochs whose checkpoints are in a folder, whole or not, in order."""
    names = (path.name for path in folder.glob("*.safetensors"))
    return sorted(int(name[:-12]) for name in names if re.fullmatch(r"\d+\.safetensors", name))


def last_checkpoint(run: Path) -> Checkpoint | None:
    """The last checkpoint of a run, for readers, who need no lock. Raises E727, E722, E110."""
    epochs = saved_epochs(run / CHECKPOINTS)
    return read_checkpoint(run / CHECKPOINTS / f"{epochs[-1]:04d}.safetensors") if epochs else None


def _plain(value: Tensor) -> Tensor:
    """On the CPU, contiguous, with nothing lazy about it, and with memory of its own."""
    value = value.detach().resolve_conj().resolve_neg().cpu()
    return value.clone(memory_format=torch.contiguous_format)


def _storable(value: Tensor) -> Tensor:
    return value if value.dtype in _STORED else _bytes(value)


def _bytes(value: Tensor) -> Tensor:
    return value.reshape(-1).view(torch.uint8)


def _restored(value: Tensor, shape: tuple[str, list[int]] | None) -> Tensor:
    if shape is None:
        return value
    dtype = getattr(torch, shape[0])
    assert isinstance(dtype, torch.dtype)
    return value.view(dtype).reshape(shape[1])


def _checksum(text: str, stored: Mapping[str, Tensor]) -> int:
    checksum = zlib.crc32(text.encode())
    for key in sorted(stored):
        value = stored[key]
        head = f"{key} {value.dtype} {list(value.shape)}".encode()
        checksum = zlib.crc32(head, checksum)
        checksum = zlib.crc32(_bytes(value).numpy().data, checksum)
    return checksum


def _text(about: Mapping[str, object]) -> str:
    return json_text(about)


def _about(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["nasir"])


def _unusable(path: Path, reason: str) -> NasirError:
    return NasirError(
        "E727",
        f"the checkpoint cannot be read: {reason}",
        Where(str(path)),
        hint="--resume takes the latest that is whole",
    )

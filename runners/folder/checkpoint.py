"""Checkpoints: the state after an epoch as `torch.save` writes it, followed by a checksum."""

import io
import re
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.pickles import load_plain

VERSION = 2

CHECKPOINTS = "checkpoints"
"""The folder of checkpoints in a run."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch: `state_dict` (tensors on the CPU) or plain data, by part."""

    epoch: int
    state: Mapping[str, Any]


def pack_checkpoint(epoch: int, state: Mapping[str, Any]) -> bytes:
    """Serialises a state; equal states have equal bytes. `torch.load` reads the result.

    The state consists of mappings, lists and tuples of tensors, numbers, texts and None. Tensors
    may have any type, device and layout, and may share memory; all are restored bit for bit.
    """
    stream = io.BytesIO()
    torch.save({"checkpoint": VERSION, "epoch": epoch, "state": _plain(state)}, stream)
    content = stream.getvalue()
    return content + _checksum(content)


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint without running code.

    Raises an error if the file is missing or damaged, and a different one if the system cannot read
    it now or another version wrote it.
    """
    try:
        content = path.read_bytes()
        if _checksum(content[:-4]) != content[-4:]:
            raise ValueError("its checksum is wrong")
        found = load_plain(path)
        if found["checkpoint"] == VERSION:
            return Checkpoint(int(found["epoch"]), dict(found["state"]))
        version = quoted(found["checkpoint"]).strip("'")
    except FileNotFoundError:
        reason = "it is not there"
    except OSError as error:
        message = f"the checkpoint cannot be read: {error.strerror or error}"
        raise NasirError("E101", message, Where(str(path))) from None
    # A file with a valid checksum and other content raises exceptions without a common class.
    except Exception as error:
        reason = error.message if isinstance(error, NasirError) else str(error)
        reason = quoted(reason or type(error).__name__, 200)
    else:
        raise _other_version(path, version)
    message = f"the checkpoint cannot be read: {reason}"
    raise NasirError("E604", message, Where(str(path)), "--resume uses the latest valid one")


def saved_epochs(run: Path) -> list[int]:
    """Returns the epochs with a checkpoint, damaged ones included, in order.

    Raises an error for checkpoints of nasir 0.1.
    """
    old = next((run / CHECKPOINTS).glob("*.safetensors"), None)
    if old is not None:
        raise _other_version(old, "1 (nasir 0.1)")
    names = (path.name for path in (run / CHECKPOINTS).glob("*.pt"))
    return sorted(int(name[:-3]) for name in names if re.fullmatch(r"\d+\.pt", name))


def last_checkpoint(run: Path) -> Checkpoint | None:
    """Reads the last checkpoint of a run, without its lock."""
    epochs = saved_epochs(run)
    return read_checkpoint(checkpoint_file(run, epochs[-1])) if epochs else None


def checkpoint_file(run: Path, epoch: int) -> Path:
    """Returns the path of an epoch's checkpoint."""
    return run / CHECKPOINTS / f"{epoch:04d}.pt"


def _plain(value: Any) -> Any:
    """Copies a state into the form that `torch.load` restores.

    Tensors are on the CPU, contiguous, without shared memory. Equal texts are one object: pickle
    writes repetitions as references, so the bytes do not depend on whether the run was resumed.
    """
    if isinstance(value, Tensor):
        value = value.detach().resolve_conj().resolve_neg().cpu()
        return value.clone(memory_format=torch.contiguous_format)
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value)
        return {_plain(key): _plain(entry) for key, entry in entries.items()}
    if isinstance(value, (list, tuple)):
        parts = [_plain(part) for part in cast("list[Any]", value)]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, str):
        return sys.intern(value)
    assert value is None or isinstance(value, (int, float)), f"{type(value)} would not be read"
    return value


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


def _other_version(path: Path, version: str) -> NasirError:
    message = f"the checkpoint has version {version}, this nasir reads {VERSION}"
    hint = "resume with the nasir that wrote it, or start the run again in another folder"
    return NasirError("E110", message, Where(str(path)), hint=hint)

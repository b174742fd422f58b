"""Checkpoints: one safetensors file each, with its facts as JSON in the file's metadata."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nasir.files import write_atomically


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run had at the end of an epoch."""

    epoch: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes the file beside its place and renames it: it is there as a whole, or not at all.

    Raises E112 where the disk is full.
    """
    plain = {name: value.detach().to("cpu").contiguous().clone() for name, value in tensors.items()}
    write_atomically(path, save(plain, {"facts": json.dumps(facts)}))


def read_checkpoint(path: Path, epoch: int) -> Checkpoint | None:
    """The checkpoint, or None for a file that is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {name: torch.as_tensor(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    return Checkpoint(epoch, tensors, facts)

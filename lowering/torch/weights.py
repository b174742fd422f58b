"""Weights in safetensors files, under the stable keys."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from nasir import NasirError, Where
from nasir.errors import quoted
from nasir.files import write_atomically
from nasir.source import is_there
from nasir.wanted import checked


@checked
def save_weights(
    module: nn.Module, path: str | Path, about: Mapping[str, str] | None = None
) -> Path:
    """Writes the module's state, `about` with it as in `pack`. Raises E112."""
    return write_atomically(Path(path), pack(module.state_dict(), about or {}))


def pack(weights: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """Weights as the content of a safetensors file, the same bytes every time.

    `about` stands in the metadata as JSON under one key, `nasir`: the package writes several keys
    in random order.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    return save(state, {"nasir": json.dumps(dict(about))} if about else None)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises E101, E102 and E104."""
    path = Path(path)
    where = Where(str(path))
    if not is_there(str(path)):
        raise NasirError("E101", "the weights file does not exist", where)
    if not path.is_file():
        raise NasirError("E102", "the weights path is not a regular file", where)
    try:
        return load(path.read_bytes())
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise NasirError(
            "E104",
            f"the weights file cannot be read: {quoted(str(error), 200)}",
            where,
            hint="nasir reads safetensors files whose keys are its stable keys",
        ) from None


@checked
def load_weights(module: nn.Module, path: str | Path) -> None:
    """Overwrites the module's whole state from a safetensors file; on an error nothing changes.

    Raises E503 naming a missing, an unexpected, or a misshapen key, and what reading raises.
    """
    weights = read_weights(path)
    where = Where(str(path))
    state = module.state_dict()
    missing = [key for key in state if key not in weights]
    unexpected = [key for key in weights if key not in state]
    if missing or unexpected:
        first = f"'{missing[0]}' is missing" if missing else f"'{unexpected[0]}' is unexpected"
        raise NasirError(
            "E503",
            f"the weights do not fit: {first} ({len(missing)} missing, "
            f"{len(unexpected)} unexpected of {len(state)})",
            where,
            hint="compile with the genotype, skeleton and auxiliary head they were saved with",
        )
    for key, value in weights.items():
        if value.shape != state[key].shape:
            raise NasirError(
                "E503",
                f"'{key}' has shape {list(value.shape)}, the network's is {list(state[key].shape)}",
                where,
                hint="compile with the channels and classes they were saved with",
            )
    with torch.no_grad():
        for key, value in weights.items():
            state[key].copy_(value)

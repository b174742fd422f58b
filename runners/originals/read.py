"""State dicts of original implementations in their files, read without running any code."""

import argparse
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from lowering.torch.weights import read_weights
from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.budget import FileBudget
from runners.benchmarks.pickles import PICKLE, UNPACKED, DataUnpickler, Stub, torch_data

_INNER = (
    "state_dict", "model_state_dict", "state-dict", "model", "net", "network", "ema", "weights"
)  # fmt: skip
"""Under what checkpoints keep the state of a network, besides an optimiser's."""

_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What DataParallel, torch.compile and Lightning put before every name, one before another."""

_COUNTERS = ("num_batches_tracked", "total_ops", "total_params")
"""Ends of the names of numbers that are no weights: batch norms', and those that thop adds."""

_NAME = 1000
"""The most characters that the name of a class or function in a pickle may have."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by the original's names, in their order, without counters.

    A .safetensors file, or what torch.save wrote: a state dict, or a checkpoint with one in it.
    Raises E101, E106, E761 (no state dict) and E763 (objects that are more than data).
    """
    if path.suffix == ".safetensors":
        state: Mapping[str, Any] = read_weights(path)
    else:
        state = _inner(load_plain(path), Where(str(path)))
    state = {name: value for name, value in state.items() if not name.endswith(_COUNTERS)}
    while state:
        prefix = next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def load_plain(path: Path) -> Any:
    """What torch.save wrote, of tensors and plain data alone, read within a budget.

    Raises E101, E106, E761 (damaged) and E763 (objects that are more than data).
    """
    where = Where(str(path))
    if not path.is_file():
        raise NasirError("E101", "the weights file does not exist", where)
    loader: Any = torch
    try:
        budget = FileBudget.of(path, PICKLE, UNPACKED)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    budget.spend(member.file_size)
        torch_data(path, budget, _Scan)
        # What the command line was is data, too, and in many checkpoints.
        with loader.serialization.safe_globals([argparse.Namespace]):
            return loader.load(path, map_location="cpu", weights_only=True)
    except NasirError as error:
        raise error if error.code == "E106" else _unreadable(error.message, where) from None
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error) and "global" not in str(error):
            raise NasirError("E761", "the file is no state dict of torch's", where) from None
        raise NasirError(
            "E763",
            "the file holds whole objects, which loading would have to run code for",
            where,
            hint="where its code runs: torch.save(model.state_dict(), 'weights.pt')",
        ) from None
    # What torch's loader raises on bytes that are changed has no class in common.
    except Exception as error:
        raise _unreadable(str(error) or type(error).__name__, where) from None


def _unreadable(reason: str, where: Where) -> NasirError:
    line = next(iter(reason.splitlines()), "")
    return NasirError("E761", f"the file cannot be read: {quoted(line, 200)}", where)


class _Anything(dict[Any, Any]):
    """Whatever a pickle makes, while no more is asked than what reading it takes."""

    def __setstate__(self, state: object) -> None: ...

    def append(self, value: object) -> None: ...

    def extend(self, values: object) -> None: ...


def _made(*_: object) -> _Anything:
    return _Anything()


class _Scan(DataUnpickler):
    """Reads a pickle without what it names: only for the budget, and for what it hashes."""

    def find_class(self, module: str, name: str) -> object:
        """An ordered mapping as it is, anything else as a function.

        torch searches its own message for such a name in quadratic time.
        """
        if len(module) + len(name) > _NAME:
            raise pickle.UnpicklingError("a name in the pickle is too long")
        return self.names.get(f"{module}.{name}", Stub(_made))


def _new(reader: Any) -> None:
    del reader.stack[-2:]
    reader.append(_Anything())


_Scan.dispatch = {**DataUnpickler.dispatch, pickle.NEWOBJ[0]: _new}


def _inner(found: Any, where: Where) -> dict[str, Tensor]:
    """The mapping of names to tensors in what a file holds."""
    for _ in range(3):
        if not isinstance(found, Mapping):
            break
        entries = cast("Mapping[object, object]", found)
        if entries and all(
            isinstance(name, str) and isinstance(value, Tensor) and _plain(value)
            for name, value in entries.items()
        ):
            return dict(cast("Mapping[str, Tensor]", found))
        found = next((entries[name] for name in _INNER if name in entries), None)
    message = "the file holds no mapping of names to tensors"
    raise NasirError("E761", message, where, hint="torch.save(model.state_dict(), 'weights.pt')")


def _plain(value: Tensor) -> bool:
    """Whether the numbers of a tensor lie in memory, one after the other, each once."""
    if value.layout != torch.strided or value.is_quantized or value.is_nested or value.is_meta:
        return False
    return value.numel() * value.itemsize <= value.untyped_storage().nbytes()

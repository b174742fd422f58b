"""Imports weights: reads an original's file, renames its tensors to nasir's keys, writes them."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

import lowering
import nasir
from lowering.torch.store import pack, read_weights
from nasir import Graph, NasirError, Where
from nasir.errors import quoted
from nasir.files import write_atomically
from nasir.space.cells import Design
from runners.benchmarks.pickles import load_plain
from runners.experiment.sizes import size_facts
from runners.inputs import read_named
from runners.originals.families import Family, State, family_of

_INNER = (
    "state_dict", "model_state_dict", "state-dict", "model", "net", "network", "ema", "weights"
)  # fmt: skip
"""Keys of checkpoints with the state of a network, besides an optimiser's."""

_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""Prefixes of all names by DataParallel, torch.compile and Lightning."""

_COUNTERS = ("num_batches_tracked", "total_ops", "total_params")
"""Suffixes of tensors that are not weights: batch norms' counters, and those of thop."""

_LATER = ("features", "bn", "classifier", "weight", "bias", "running_mean", "running_var")
"""Names that come after their siblings, in this order; others in their own."""

_LEVELS = 16


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import: network, numbers of tensors and values, and skipped tensors."""

    file: str
    genotype: str
    family: str
    size: Mapping[str, str | int]
    auxiliary: bool
    tensors: int
    numbers: int
    left_out: tuple[str, ...]


def import_weights(
    design: str | Path,
    source: Path,
    path: Path,
    skeleton: str | None = None,
    space: str | None = None,
) -> Imported:
    """Imports the weights of an original's file into a safetensors file with stable keys.

    `design` is the genotype of the network (with its `space`, if required), or the space of a
    supernet. Sizes and, unless given, the skeleton are read from tensor shapes; an auxiliary head
    is imported if present. Raises an error, also of genotypes and spaces.
    """
    state = read_state(source)
    try:
        family = family_of(state)
        sizes: dict[str, Any] = family.size(state) | ({"skeleton": skeleton} if skeleton else {})
        parts = sizes.pop("parts", 1)
        if family.supernet:
            read = _space(design)
            graph = nasir.partial_channels(nasir.supernet(read, **sizes), parts)
        else:
            read = read_named(design, space)
            graph = nasir.network(read, **sizes)
        weights, left_out = translate(read, graph, state)
    except NasirError as error:
        raise error.at(Where(str(source))) from None
    about = {
        **({"space": read.name} if isinstance(read, nasir.Space) else {}),
        **({"genotype": nasir.dump_genotype(read)} if isinstance(read, nasir.Genotype) else {}),
        "size": json.dumps(size_facts(graph)),
        "auxiliary": json.dumps(bool(graph.auxiliary)),
        "source": f"{source.name} sha256 {hashlib.sha256(source.read_bytes()).hexdigest()}",
        "nasir": nasir.__version__,
    }
    write_atomically(path, pack(weights, about))
    return Imported(
        str(path),
        read.name,
        family.name,
        size_facts(graph),
        bool(graph.auxiliary),
        len(weights),
        sum(value.numel() for value in weights.values()),
        left_out,
    )


def _space(name: str | Path) -> nasir.Space:
    """Returns the space of a supernet's weights. Raises an error if the name is not a space's."""
    try:
        return nasir.load_space(name)
    except NasirError as error:
        if error.code != "E201":
            raise
        message = f"the weights are a supernet's, and {quoted(str(name))} is not a space"
        hint = "name the space that was searched: darts, s2, …"
        raise NasirError("E503", message, hint=hint) from None


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a file by original name, in order, without counters.

    A .safetensors file, or one of torch.save: a state dict, or a checkpoint with one. Raises an
    error without a state dict, or for objects that are more than data.
    """
    found = read_weights(path) if path.suffix == ".safetensors" else _inner(path)
    state = {name: value for name, value in found.items() if not name.endswith(_COUNTERS)}
    while state:
        prefix = next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _inner(path: Path) -> dict[str, Tensor]:
    """Returns the mapping of names to tensors in a file."""
    found = load_plain(path)
    for _ in range(3):
        if not isinstance(found, Mapping):
            break
        entries = cast("Mapping[Any, Any]", found)
        if entries and all(type(name) is str and _plain(entries[name]) for name in entries):
            return dict(entries)
        found = next((entries[name] for name in _INNER if name in entries), None)
    message = "the file holds no mapping of names to tensors"
    hint = "torch.save(model.state_dict(), 'weights.pt')"
    raise NasirError("E503", message, Where(str(path)), hint)


def _plain(value: Any) -> bool:
    """Whether a value is a dense strided tensor whose elements are all in its storage."""
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    if value.is_quantized or value.is_nested or value.is_meta:
        return False
    return value.numel() * value.itemsize <= value.untyped_storage().nbytes()


def translate(
    design: Design, graph: Graph, state: State
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Renames an original's state to the network's keys; returns it with the skipped names.

    Each tensor has exactly one place or is skipped. Raises an error for an unknown network, or for
    another genotype or size.
    """
    family = family_of(state)
    wanted, there = nasir.cost(graph).params, sum(value.numel() for value in state.values())
    if wanted > there:  # before the network needs memory
        raise _misfit(f"it has {wanted:,} parameters, and the file {there:,} numbers")
    known: dict[str, Tensor] = dict(lowering.to_torch(graph).state_dict())
    found: dict[str, Tensor] = {}
    used = _tied(family, state)
    names, keys = _by_prefix(name for name in state if name not in used), _by_prefix(known)
    for start, starts in family.groups(design, graph):
        theirs = sorted(names.get(start, ()), key=_execution_order)
        ours = [key for each in starts for key in keys.get(each, ())]
        if not ours and start in family.optional:
            continue
        if len(theirs) != len(ours):
            counts = f"{len(theirs)} tensors, and '{starts[0]}' takes {len(ours)}"
            raise _misfit(f"{quoted(start)} has {counts}")
        for name, key in zip(theirs, ours, strict=True):
            _check(name, state[name], key, known[key])
            found[key] = state[name].to(known[key].dtype)
        used |= set(theirs)
    left = tuple(name for name in state if name not in used)
    strange = [name for name in left if not name.startswith(family.optional)]
    missing = [key for key in known if key not in found]
    if strange or missing:
        what = f"{quoted(strange[0])} has no place" if strange else f"'{missing[0]}' has no tensor"
        raise _misfit(f"{what} ({len(strange)} tensors are left, {len(missing)} are missing)")
    return {key: found[key] for key in known}, left


def _tied(family: Family, state: State) -> set[str]:
    """Returns the names of tied tensors. Raises an error if one differs from its source."""
    for name, other in family.tied.items():
        if name in state and not torch.equal(state[name], state[other]):
            raise _misfit(f"{quoted(name)} should be {quoted(other)}, and differs")
    return {name for name in family.tied if name in state}


def _by_prefix(names: Iterable[str]) -> dict[str, list[str]]:
    """Maps full names and prefixes that end in a dot or a slash to names."""
    found: dict[str, list[str]] = {}
    for name in names:
        for end in islice(re.finditer(r"[./]|\Z", name), _LEVELS):
            found.setdefault(name[: end.end()], []).append(name)
    return found


def _execution_order(name: str) -> list[tuple[int, int, str]]:
    """Returns the sort key of a tensor by execution order: files may have any order."""
    return [
        (0, int(part), "")
        if part.isdecimal() and len(part) < 10
        else (_LATER.index(part) + 1 if part in _LATER else 0, 0, part)
        for part in name.split(".")
    ]


def _check(name: str, theirs: Tensor, key: str, ours: Tensor) -> None:
    """Raises an error unless dtype and shape of an original's tensor match the network's."""
    if not theirs.is_floating_point():
        raise _misfit(f"{quoted(name)} is of {theirs.dtype}, which is not a type of weights")
    if theirs.shape != ours.shape:
        shapes = list(theirs.shape), list(ours.shape)
        raise _misfit(f"{quoted(name)} has shape {shapes[0]}, and '{key}' takes {shapes[1]}")


def _misfit(message: str) -> NasirError:
    hint = "the genotype that they were trained for; sizes are read from the file"
    return NasirError("E503", f"the weights do not fit the network: {message}", hint=hint)

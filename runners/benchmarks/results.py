"""The results that NAS-Bench-201 and NATS-Bench store of an architecture, as columns.

One `state` is the results of one length of training: `all_results` maps (data set, seed) to a
trial, which holds accuracies in percent by epoch from 0: `train_acc1es[epoch]` and
`eval_acc1es['x-valid@epoch']`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.budget import FileBudget
from runners.benchmarks.damage import percent
from runners.benchmarks.kinds import Kind, kind_of_key
from runners.benchmarks.record import Column

_EPOCH_LIMIT = 10_000
_VALUE = 16
"""Steps that an accuracy costs, in its file 12 bytes or more."""

_HALVES = {"x-valid": "valid", "x-test": "test"}
_WHOLE_TEST = {"cifar10": "test", "cifar10-valid": "test"}
"""Data sets whose test images were not halved into a validation and a test part."""


def values_of(
    states: Iterable[object], path: Path, budget: FileBudget, *, curves: bool
) -> dict[Column, float]:
    """The accuracies of all lengths of training. Raises E109, E107.

    Raises E106 where one table that stands for many takes more than the file's budget has left.
    """
    values: dict[Column, float] = {}
    for state in states:
        trials = _mapping(_field(state, "all_results", path), "all_results", path)
        for key, trial in trials.items():
            dataset, seed = _named(key, path)
            for column, value in _trial(dataset, seed, trial, path):
                budget.spend(_VALUE)
                if curves or column.after == column.epochs:
                    values[column] = percent(value, Where(str(path)), f"an accuracy of {column}")
    return values


def _trial(dataset: str, seed: str, trial: object, path: Path) -> Iterator[tuple[Column, object]]:
    epochs = _field(trial, "epochs", path)
    if not isinstance(epochs, int) or not 0 < epochs <= _EPOCH_LIMIT:
        raise _wrong(path, f"a trial has {quoted(epochs)} epochs")
    for epoch, value in _by_epoch(_field(trial, "train_acc1es", path), path):
        yield Column(dataset, "train", epochs, _after(epoch, epochs, path), seed), value
    for name, value in _mapping(_field(trial, "eval_acc1es", path), "eval_acc1es", path).items():
        part, _, epoch = (name if isinstance(name, str) else "").partition("@")
        known = len(epoch) < 6 and epoch.isdecimal()
        after = _after(int(epoch) if known else -1, epochs, path)
        yield Column(dataset, _split(dataset, part), epochs, after, seed), value


def _split(dataset: str, part: str) -> str:
    if part == "ori-test":
        return _WHOLE_TEST.get(dataset, "valid+test")
    return _HALVES.get(part, part)


def _by_epoch(table: object, path: Path) -> Iterator[tuple[int, object]]:
    if isinstance(table, (list, tuple)):
        yield from enumerate(cast("list[object]", table))
        return
    for epoch, value in _mapping(table, "train_acc1es", path).items():
        if not isinstance(epoch, int):
            raise _wrong(path, f"an epoch is named {quoted(epoch)}")
        yield epoch, value


def _after(epoch: int, epochs: int, path: Path) -> int:
    if not 0 <= epoch < epochs:
        raise _wrong(path, f"a trial of {epochs} epochs has a result for epoch {epoch}")
    return epoch + 1


def _named(key: object, path: Path) -> tuple[str, str]:
    """The data set and the seed that a trial is named after."""
    match key:
        case (str(dataset), int(seed)) if dataset and seed >= 0:
            return dataset, str(seed)
        case _:
            raise _wrong(path, f"a trial is named {quoted(key)}, not (data set, seed)")


def architectures(data: object, path: Path) -> tuple[Kind, tuple[str, ...]]:
    """The benchmark and its architectures by index, from the field `meta_archs`. Raises E109."""
    names = _field(data, "meta_archs", path)
    if not isinstance(names, (list, tuple)) or not names:
        raise _wrong(path, "'meta_archs' is no list of architectures")
    texts = tuple(name for name in cast("list[object]", names) if isinstance(name, str))
    if len(texts) < len(cast("list[object]", names)):
        raise _wrong(path, "'meta_archs' holds what is no text")
    kind = kind_of_key(texts[0])
    if kind is None:
        raise _wrong(path, f"{quoted(texts[0])} is no architecture of a known benchmark")
    for index, text in enumerate(texts):
        if not kind.keys.fullmatch(text):
            raise _wrong(path, f"architecture {index}, {quoted(text)}, is not of {kind.title}")
    return kind, texts


def states_by_index(data: object, path: Path) -> dict[object, object]:
    """The field `arch2infos`: the states of each index."""
    return _mapping(_field(data, "arch2infos", path), "arch2infos", path)


def states_of(entry: object, path: Path) -> list[object]:
    """The states in an entry: under `less` and `full`, or under the number of epochs."""
    return list(_mapping(entry, "an architecture's results", path).values())


def name_of(state: object, path: Path) -> str:
    """The architecture that a state is of."""
    name = _field(state, "arch_str", path)
    return name if isinstance(name, str) else quoted(name)


def _field(data: object, name: str, path: Path) -> object:
    entries = _mapping(data, "the data", path)
    if name not in entries:
        have = ", ".join(sorted(quoted(key) for key in list(entries)[:8]))
        raise _wrong(path, f"the data has no field '{name}'", f"it has: {have}" if have else "")
    return entries[name]


def _mapping(data: object, what: str, path: Path) -> dict[object, object]:
    if not isinstance(data, dict):
        raise _wrong(path, f"{what} must be a mapping, and is {type(data).__name__}")
    return cast("dict[object, object]", data)


def _wrong(path: Path, message: str, hint: str = "") -> NasirError:
    return NasirError("E109", message, Where(str(path)), hint)

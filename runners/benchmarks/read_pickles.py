"""Reads NAS-Bench-201 and NATS-Bench pickles: one file, or a folder with a file per architecture.

One file has `meta_archs` (architectures by index) and `arch2infos` (index -> training length ->
results), and is in memory while it is read; folders need far less.

The results of a training length, a state, map (data set, seed) to a trial in `all_results`. A trial
has accuracies in percent by epoch from 0: `train_acc1es[epoch]` and `eval_acc1es['x-valid@epoch']`.
"""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, cast

from nasir import NasirError
from nasir.errors import quoted
from runners.benchmarks.files import FileBudget, damaged, read_errors
from runners.benchmarks.pickles import load_pickle
from runners.benchmarks.record import (
    KINDS,
    BenchmarkRecord,
    Column,
    Kind,
    Original,
    ReadingOptions,
    Wanted,
    percent,
)

META = "meta.pickle.pbz2"
_ARCHIVED = re.compile(r"([0-9]{6})-(?:FULL|LESS|SIMPLE)\.pth")
_EPOCH_LIMIT = 10_000
_VALUE = 16
"""Cost of an accuracy in steps; it has 12 bytes or more in its file."""

_HALVES = {"x-valid": "valid", "x-test": "test"}
_WHOLE_TEST = ("cifar10", "cifar10-valid")
"""Data sets with undivided test images (others have a validation and a test half)."""


def read_pickled(path: Path, options: ReadingOptions) -> Original:
    """Reads a file or a folder of pickles.

    Examples: NAS-Bench-201-v1_1-096897.pth NATS-tss-v1_0-3ffb9.pickle.pbz2, and the folder
    NATS-tss-v1_0-3ffb9-simple with `meta.pickle.pbz2` and `000000.pickle.pbz2`.

    An architecture without an entry or a file keeps its index, without results.
    """
    whole = path / META if path.is_dir() else path
    data, budget = load_pickle(whole, options.trusted)
    with read_errors(whole):
        kind, names = _architectures(data)
        infos = {} if path.is_dir() else _mapping(data, "arch2infos")

    def record(index: int, name: str) -> BenchmarkRecord:
        for file in (path / f"{index:06d}.pickle.pbz2", path / f"{index}.pickle.pbz2"):
            if file.exists():
                found = load_pickle(file, options.trusted)
                return BenchmarkRecord(name, index, _values(file, *found, options))
        values = _values(whole, infos.get(index, {}), budget, options)
        return BenchmarkRecord(name, index, values)

    def records(wanted: Wanted) -> Iterator[BenchmarkRecord]:
        for index, name in enumerate(names):
            if wanted(name, index):
                yield record(index, name)

    return Original(kind, records)


def read_archive(path: Path, options: ReadingOptions) -> Original:
    """Reads NAS-Bench-201's archive folder: `000000-FULL.pth` and so on, without gaps."""
    kind = KINDS["nasbench201"]

    def records(wanted: Wanted) -> Iterator[BenchmarkRecord]:
        for index, file in enumerate(archived(path)):
            data, budget = load_pickle(file, options.trusted)
            with read_errors(file):
                if int(file.name[:6]) != index:
                    raise damaged(f"the file of architecture {index} is missing before this one")
                states = [_mapping(state) for state in _mapping(data).values()]
                name = states[0].get("arch_str") if states else None
                if not isinstance(name, str) or not kind.keys.fullmatch(name):
                    raise _wrong(f"{quoted(name)} is not a cell of NAS-Bench-201")
            if wanted(name, index):
                yield BenchmarkRecord(name, index, _values(file, data, budget, options))

    return Original(kind, records)


def archived(path: Path) -> list[Path]:
    """Returns the files of an archive folder in index order."""
    return sorted(entry for entry in path.iterdir() if _ARCHIVED.fullmatch(entry.name))


def _architectures(data: Any) -> tuple[Kind, list[str]]:
    """Returns the benchmark and its architectures by index, from the field `meta_archs`."""
    match data:
        case {"meta_archs": [str(first), *_] as names}:
            kind = next((each for each in KINDS.values() if each.keys.fullmatch(first)), None)
        case _:
            raise _wrong("the data has no list 'meta_archs' of architectures", data)
    for index, name in enumerate(names):
        if kind is None or not isinstance(name, str) or not kind.keys.fullmatch(name):
            title = kind.title if kind else "a known benchmark"
            raise _wrong(f"architecture {index}, {quoted(name)}, is not of {title}")
    assert kind is not None
    return kind, list(names)


def _values(
    path: Path, entry: object, budget: FileBudget, options: ReadingOptions
) -> dict[Column, float]:
    """Returns the accuracies of an entry, for all training lengths.

    Raises an error if repeated references to one table exceed the remaining budget.
    """
    values: dict[Column, float] = {}
    with read_errors(path):
        for state in _mapping(entry).values():
            for key, trial in _mapping(state, "all_results").items():
                budget.spend(_VALUE)
                for column, value in _trial(key, trial):
                    budget.spend(_VALUE)
                    if options.curves or column.after == column.epochs:
                        values[column] = percent(value, column)
    return values


def _trial(key: Any, trial: Any) -> Iterator[tuple[Column, object]]:
    """Yields the accuracies of a trial."""
    match key, trial:
        case (str(dataset), int(seed)), {
            "epochs": int(epochs),
            "train_acc1es": dict() | list() | tuple(),
            "eval_acc1es": dict(),
        } if dataset and seed >= 0 and 0 < epochs <= _EPOCH_LIMIT:
            pass
        case _:
            wanted = "(data set, seed): {epochs, train_acc1es, eval_acc1es}"
            raise _wrong(f"the trial {quoted(key)} is not {wanted}", trial)
    train, tests = trial["train_acc1es"], trial["eval_acc1es"]
    trained = train.items() if hasattr(train, "items") else enumerate(train)
    tested = ((*_tested(dataset, name), value) for name, value in tests.items())
    for split, epoch, value in chain((("train", *each) for each in trained), tested):
        if not isinstance(epoch, int) or not 0 <= epoch < epochs:
            raise _wrong(f"a trial of {epochs} epochs has a result for epoch {quoted(epoch)}")
        yield Column(dataset, split, epochs, epoch + 1, str(seed)), value


def _tested(dataset: str, name: object) -> tuple[str, object]:
    """Returns the split and the epoch of a name such as `ori-test@199`."""
    part, _, epoch = (name if isinstance(name, str) else "").partition("@")
    whole = "test" if dataset in _WHOLE_TEST else "valid+test"
    split = whole if part == "ori-test" else _HALVES.get(part, part)
    return split, int(epoch) if epoch.isdecimal() and len(epoch) < 6 else epoch


def _mapping(data: Any, field: str = "") -> dict[Any, Any]:
    """Returns the mapping in a field of the data, or the data itself."""
    found = _mapping(data).get(field) if field else data
    if not isinstance(found, dict):
        where = f"'{field}'" if field else "the data"
        raise _wrong(f"{where} must be a mapping, and is {type(found).__name__}", data)
    return cast("dict[Any, Any]", found)


def _wrong(message: str, data: object = None) -> NasirError:
    keys = list(cast("dict[object, object]", data))[:8] if isinstance(data, dict) else []
    have = ", ".join(map(quoted, keys))
    return NasirError("E109", message, hint=f"it has: {have}" if have else "")

"""NAS-Bench-201 and NATS-Bench in pickles: all in one file, or a folder with one for each cell.

One file holds `meta_archs` (the architectures by index) and `arch2infos` (index -> length of
training -> results), and is in memory while it is read; folders need far less.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks import results
from runners.benchmarks.budget import FileBudget
from runners.benchmarks.damage import read_whole
from runners.benchmarks.kinds import KINDS
from runners.benchmarks.pickles import load_pickle, load_torch
from runners.benchmarks.record import BenchmarkRecord, Contents, ReadingOptions, Wanted

META = "meta.pickle.pbz2"
_ARCHIVED = re.compile(r"([0-9]{6})-(?:FULL|LESS|SIMPLE)\.pth")


def read_nats_folder(path: Path, reading: ReadingOptions) -> Contents:
    """A folder such as NATS-tss-v1_0-3ffb9-simple: `meta.pickle.pbz2` and `000000.pickle.pbz2`.

    An architecture without a file keeps its index and has no results.
    """
    meta = path / META
    data, _ = load_pickle(meta, reading.trusted)
    with read_whole(meta):
        kind, names = results.architectures(data, meta)

    def records(wanted: Wanted) -> Iterator[BenchmarkRecord]:
        for index, name in enumerate(names):
            if wanted(name, index):
                yield _nats_record(path, index, name, reading)

    return Contents(kind.name, records)


def read_archive(path: Path, reading: ReadingOptions) -> Contents:
    """NAS-Bench-201's archive folder: `000000-FULL.pth` and so on, without gaps."""

    def records(wanted: Wanted) -> Iterator[BenchmarkRecord]:
        for index, file in enumerate(archived(path)):
            data, budget = load_torch(file, reading.trusted)
            with read_whole(file):
                states = results.states_of(data, file)
                name = results.name_of(states[0] if states else {}, file)
                _check(file, index, name)
                if wanted(name, index):
                    values = results.values_of(states, file, budget, curves=reading.curves)
                    yield BenchmarkRecord(name, index, values)

    return Contents("nasbench201", records)


def archived(path: Path) -> list[Path]:
    """The files of an archive folder in the order of their index."""
    return sorted(entry for entry in path.iterdir() if _ARCHIVED.fullmatch(entry.name))


def _nats_record(folder: Path, index: int, name: str, reading: ReadingOptions) -> BenchmarkRecord:
    for file in (folder / f"{index:06d}.pickle.pbz2", folder / f"{index}.pickle.pbz2"):
        if file.exists():
            data, budget = load_pickle(file, reading.trusted)
            with read_whole(file):
                states = results.states_of(data, file)
                values = results.values_of(states, file, budget, curves=reading.curves)
                return BenchmarkRecord(name, index, values)
    return BenchmarkRecord(name, index, {})


def _check(file: Path, index: int, name: str) -> None:
    if int(file.name[:6]) != index:
        raise NasirError(
            "E604", f"the file of architecture {index} is missing before this one", Where(str(file))
        )
    if not KINDS["nasbench201"].keys.fullmatch(name):
        raise NasirError("E109", f"{quoted(name)} is no cell of NAS-Bench-201", Where(str(file)))


def read_pth(path: Path, reading: ReadingOptions) -> Contents:
    """NAS-Bench-201-v1_0-e61699.pth, -v1_1-096897.pth, and files of that layout."""
    return _contents(*load_torch(path, reading.trusted), path, reading)


def read_pbz2(path: Path, reading: ReadingOptions) -> Contents:
    """NATS-tss-v1_0-3ffb9.pickle.pbz2, NATS-sss-v1_0-50262.pickle.pbz2, and their like."""
    return _contents(*load_pickle(path, reading.trusted), path, reading)


def _contents(data: object, budget: FileBudget, path: Path, reading: ReadingOptions) -> Contents:
    with read_whole(path):
        kind, names = results.architectures(data, path)
        entries = results.states_by_index(data, path)

    def records(wanted: Wanted) -> Iterator[BenchmarkRecord]:
        for index, name in enumerate(names):
            if wanted(name, index):
                with read_whole(path):
                    states = results.states_of(entries.get(index, {}), path)
                    values = results.values_of(states, path, budget, curves=reading.curves)
                yield BenchmarkRecord(name, index, values)

    return Contents(kind.name, records)

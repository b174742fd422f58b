"""NAS-Bench-201's .pth file and NATS-Bench's .pickle.pbz2 file: everything in one pickle.

Both hold `meta_archs` (the architectures by index) and `arch2infos` (index -> length of training
-> results). The whole pickle is in memory while it is read; folders need far less.
"""

from collections.abc import Iterator
from pathlib import Path

from runners.benchmarks import results
from runners.benchmarks.budget import FileBudget
from runners.benchmarks.damage import read_whole
from runners.benchmarks.pickles import load_pickle, load_torch
from runners.benchmarks.record import Contents, Reading, Record, Wanted


def read_pth(path: Path, reading: Reading) -> Contents:
    """NAS-Bench-201-v1_0-e61699.pth, -v1_1-096897.pth, and files of that layout."""
    return _contents(*load_torch(path, reading.trusted), path, reading)


def read_pbz2(path: Path, reading: Reading) -> Contents:
    """NATS-tss-v1_0-3ffb9.pickle.pbz2, NATS-sss-v1_0-50262.pickle.pbz2, and their like."""
    return _contents(*load_pickle(path, reading.trusted), path, reading)


def _contents(data: object, budget: FileBudget, path: Path, reading: Reading) -> Contents:
    with read_whole(path):
        kind, names = results.architectures(data, path)
        entries = results.states_by_index(data, path)

    def records(wanted: Wanted) -> Iterator[Record]:
        for index, name in enumerate(names):
            if wanted(name, index):
                with read_whole(path):
                    states = results.states_of(entries.get(index, {}), path)
                    values = results.values_of(states, path, budget, curves=reading.curves)
                yield Record(name, index, values)

    return Contents(kind.name, records)

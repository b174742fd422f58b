"""A benchmark from any path: which reader it is for is told from its content."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

from nasir import Genotype, NasirError, Where
from nasir.wanted import checked
from runners.benchmarks.damage import read_whole
from runners.benchmarks.kinds import KINDS, Kind
from runners.benchmarks.read_csv import GZIP, read_csv
from runners.benchmarks.read_pickles import (
    META,
    archived,
    read_archive,
    read_nats_folder,
    read_pbz2,
    read_pth,
)
from runners.benchmarks.read_tfrecord import read_tfrecord, starts_like_tfrecord
from runners.benchmarks.record import BenchmarkRecord, Contents, Read, ReadingOptions, Wanted
from runners.benchmarks.store import BenchmarkStore, is_store, open_store

_HEAD = 64
_STARTS: tuple[tuple[bytes, Read], ...] = (
    (GZIP, read_csv),
    (b"index,", read_csv),
    (b"PK\x03\x04", read_pth),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", read_pth),  # torch before 1.6
    (b"BZh", read_pbz2),
)
_KNOWN = (
    "nasir reads NAS-Bench-201's .pth file and archive folder, NATS-Bench's folders and "
    ".pickle.pbz2 files, NAS-Bench-101's .tfrecord, a CSV that begins with index,arch, and what "
    "nasir bench import wrote"
)


class Benchmark(Protocol):
    """Something that architectures can be looked up in."""

    @property
    def kind(self) -> Kind:
        """Which benchmark it is."""
        ...

    def lookup(self, key: str | Genotype) -> BenchmarkRecord | None:
        """The record of a key or genotype; None where the benchmark has no such architecture."""
        ...

    def at(self, index: int) -> BenchmarkRecord | None:
        """The record of an index of the benchmark; None when it has no such index."""
        ...


@dataclass(frozen=True, slots=True)
class Original:
    """A benchmark as its authors wrote it: a look-up reads until the record is found."""

    contents: Contents

    @property
    def kind(self) -> Kind:
        """Which benchmark it is."""
        return KINDS[self.contents.kind]

    def lookup(self, key: str | Genotype) -> BenchmarkRecord | None:
        """The record of a key or genotype; None where the benchmark has no such architecture."""
        wanted = self.kind.key_of(key)
        return self._found(lambda each, _: each == wanted)

    def at(self, index: int) -> BenchmarkRecord | None:
        """The record of an index of the benchmark; None when it has no such index."""
        return self._found(lambda _, each: each == index)

    def _found(self, wanted: Wanted) -> BenchmarkRecord | None:
        records = self.contents.records(wanted)
        first = next(records, None)
        if first is None or self.kind.indexed:
            return first
        parts = [each.values.items() for each in (first, *records)]
        return BenchmarkRecord(first.key, first.index, dict(chain.from_iterable(parts)))


@checked
def open_benchmark(
    path: str | Path, reading: ReadingOptions | None = None
) -> BenchmarkStore | Original:
    """The benchmark in a store, a file or a folder. Raises E101, E102, E108, E603, E604."""
    path = Path(path)
    if is_store(_head(path)):
        return open_store(path)
    return Original(open_source(path, reading or ReadingOptions()))


def open_source(path: Path, reading: ReadingOptions) -> Contents:
    """A file or a folder as its authors wrote it. Raises as `open_benchmark` does."""
    if path.is_dir():
        if (path / META).exists():
            return read_nats_folder(path, reading)
        if archived(path):
            return read_archive(path, reading)
        message = f"the directory has no file {META}, and none like 000000-FULL.pth"
        raise NasirError("E108", message, Where(str(path)), hint=_KNOWN)
    head = _head(path)
    if is_store(head):
        hint = "nasir query reads it as it is"
        raise NasirError("E108", "the file is a store already", Where(str(path)), hint)
    for start, read in _STARTS:
        if head.startswith(start):
            return read(path, reading)
    if starts_like_tfrecord(head) or path.suffix == ".tfrecord":
        return read_tfrecord(path, reading)
    raise NasirError("E108", "the file is of no known benchmark", Where(str(path)), hint=_KNOWN)


def _head(path: Path) -> bytes:
    if path.is_dir():
        return b""
    if path.exists() and not path.is_file():
        raise NasirError("E102", "the path is not a regular file", Where(str(path)))
    with read_whole(path), path.open("rb") as stream:
        return stream.read(_HEAD)

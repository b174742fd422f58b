"""A table of NAS-Bench-201 accuracies as CSV, compressed or not.

Its first line is `index,arch` and then names such as `cifar100_test_200`: data set, split, epochs.
Rows stand in the benchmark's own index order.
"""

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.budget import FileBudget
from runners.benchmarks.damage import percent, read_whole
from runners.benchmarks.kinds import KINDS
from runners.benchmarks.record import (
    MEAN,
    UNSTATED,
    BenchmarkRecord,
    Column,
    Contents,
    ReadingOptions,
    Wanted,
)

GZIP = b"\x1f\x8b"
_NAME = re.compile(r"(cifar10|cifar100|imagenet16)_(train|valid|test)_([0-9]{1,4})")
_DATASETS = {"imagenet16": "ImageNet16-120"}
_SEEDS = {200: MEAN}
"""By epochs: runs of 200 are averaged over their seeds; shorter ones are one run each."""


def read_csv(path: Path, reading: ReadingOptions) -> Contents:
    """The rows of a CSV file, or a gzip of one."""
    del reading  # a CSV has no curves, and nothing to trust
    return Contents("nasbench201", lambda wanted: _records(path, wanted))


def _records(path: Path, wanted: Wanted) -> Iterator[BenchmarkRecord]:
    with read_whole(path), path.open("rb") as file:
        stream = _text(file, FileBudget.of(path))
        rows = csv.reader(stream)
        columns = _columns(next(rows, list[str]()), Where(str(path), 1))
        for index, row in enumerate(rows):
            where = Where(str(path), rows.line_num)
            if len(row) != len(columns) + 2:
                message = f"the row has {len(row)} cells, not {len(columns) + 2}"
                raise NasirError("E109", message, where)
            key = row[1]
            if row[0] != str(index) or not KINDS["nasbench201"].keys.fullmatch(key):
                message = f"{quoted(row[0])}, {quoted(key)} is not architecture {index}"
                raise NasirError("E109", message, where)
            if wanted(key, index):
                yield BenchmarkRecord(key, index, _values(columns, row[2:], where))


def _text(file: BinaryIO, budget: FileBudget) -> IO[str]:
    packed = file.read(2) == GZIP
    file.seek(0)
    stream = budget.stream(gzip.GzipFile(fileobj=file) if packed else file)
    return io.TextIOWrapper(stream, encoding="utf-8", newline="")


def _columns(names: list[str], where: Where) -> list[Column]:
    if names[:2] != ["index", "arch"] or len(names) < 3:
        message = f"the first line is {quoted(','.join(names))}"
        raise NasirError("E109", message, where, hint="it must begin with index,arch,")
    columns: list[Column] = []
    for name in names[2:]:
        match = _NAME.fullmatch(name)
        if match is None:
            hint = "columns are named as cifar100_test_200"
            raise NasirError("E109", f"unknown column {quoted(name)}", where, hint)
        columns.append(_column(match[1], match[2], int(match[3])))
    for column, count in Counter(columns).items():
        if count > 1:
            raise NasirError("E105", f"two columns hold {column}", where)
    return columns


def _column(dataset: str, split: str, epochs: int) -> Column:
    # The networks whose validation accuracy is known were trained on half of CIFAR-10's
    # images: to the benchmark that is a data set of its own.
    half = dataset == "cifar10" and split == "valid"
    name = "cifar10-valid" if half else _DATASETS.get(dataset, dataset)
    return Column(name, split, epochs, epochs, _SEEDS.get(epochs, UNSTATED))


def _values(columns: list[Column], cells: list[str], where: Where) -> dict[Column, float]:
    values: dict[Column, float] = {}
    for column, cell in zip(columns, cells, strict=True):
        if not cell:
            continue
        try:
            number = float(cell)
        except ValueError:
            raise NasirError("E109", f"{quoted(cell)} is not a number", where) from None
        values[column] = percent(number, where, f"the accuracy {quoted(cell)}")
    return values

"""Benchmarks: accuracies of trained architectures, looked up in what their authors published."""

from runners.benchmarks.answering import Answer, Question, answers, find_record
from runners.benchmarks.kinds import KINDS, Kind, kind_named
from runners.benchmarks.record import Column, Reading, Record
from runners.benchmarks.sources import Benchmark, open_benchmark
from runners.benchmarks.store import Store, open_store
from runners.benchmarks.write_store import import_benchmark

__all__ = [
    "KINDS",
    "Answer",
    "Benchmark",
    "Column",
    "Kind",
    "Question",
    "Reading",
    "Record",
    "Store",
    "answers",
    "find_record",
    "import_benchmark",
    "kind_named",
    "open_benchmark",
    "open_store",
]

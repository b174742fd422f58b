"""Benchmarks: accuracies of trained architectures, looked up in what their authors published."""

from runners.benchmarks.answering import Answer, Question, answers, find_record
from runners.benchmarks.kinds import KINDS, Kind, kind_named
from runners.benchmarks.record import BenchmarkRecord, Column, ReadingOptions
from runners.benchmarks.sources import Benchmark, open_benchmark
from runners.benchmarks.store import BenchmarkStore, open_store
from runners.benchmarks.write_store import import_benchmark

__all__ = [
    "KINDS",
    "Answer",
    "Benchmark",
    "BenchmarkRecord",
    "BenchmarkStore",
    "Column",
    "Kind",
    "Question",
    "ReadingOptions",
    "answers",
    "find_record",
    "import_benchmark",
    "kind_named",
    "open_benchmark",
    "open_store",
]

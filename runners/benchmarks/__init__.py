"""Benchmarks: look-up of published accuracies of trained architectures."""

from runners.benchmarks.query import Answer, Question, answers, records_of
from runners.benchmarks.record import BenchmarkRecord, Column, ReadingOptions, kind_named
from runners.benchmarks.sources import import_benchmark, open_benchmark
from runners.benchmarks.store import BenchmarkStore, open_store

__all__ = [
    "Answer",
    "BenchmarkRecord",
    "BenchmarkStore",
    "Column",
    "Question",
    "ReadingOptions",
    "answers",
    "import_benchmark",
    "kind_named",
    "open_benchmark",
    "open_store",
    "records_of",
]

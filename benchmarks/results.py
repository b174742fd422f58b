"""Real searches, and the page that reports them.

`python -m benchmarks.results run DIR --data cifar10:PATH` searches NAS-Bench-201 with every method
and several seeds, skipping runs that are done; `python -m benchmarks.results write DIR --table CSV`
looks what was found up in the benchmark and prints the page `RESULTS.md`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import nasir
from nasir.space.load import results
from runners.benchmarks import Answer, Question, answers, open_benchmark
from runners.benchmarks.record import ReadingOptions
from runners.experiment.architect import Projection
from runners.experiment.method import METHODS, read_method

SEEDS = (0, 1, 2)
COMMON = ("--channels", "8", "--layers", "1", "--limit", "1024", "--epochs", "10")
MORE = ("--measure", "last", "--batches", "2", "--interval", "1")
"""A smaller supernet, 1,024 images for each part, ten epochs, short rounds of selection."""
PUBLISHED = {
    "darts": "DARTS",
    "pc-darts": "PC-DARTS",
    "drnas": "DrNAS",
    "snas": "SNAS",
    "enas": "ENAS",
}
"""The systems whose full searches in this space have a published figure."""
DATASETS = ("cifar10", "cifar100", "ImageNet16-120")


@dataclass(frozen=True, slots=True)
class Row:
    """What a method found with one seed: test accuracies in percent, and the time it took."""

    method: str
    seed: int
    genotype: str
    accuracies: tuple[float, ...]
    seconds: float


def arguments(method: str, seed: int, data: str, run: Path) -> list[str]:
    """The command of one search."""
    size = () if method == "random" else (*COMMON, *MORE)
    if isinstance(read_method(method, "nasbench201").select, Projection):
        size = (*size, "--epochs", "16")  # ten, and six of tuning between projections
    call = ("search", "nasbench201", "--method", method, "--data", data, "--seed", str(seed))
    return [*call, *size, "-o", str(run)]


def search_all(folder: Path, data: str, methods: Sequence[str]) -> None:
    """Every method with every seed, one after the other; a run that is there is gone on with."""
    for seed in SEEDS:
        for method in methods:
            run = folder / f"{method}-{seed}"
            if (run / "genotype.json").exists():
                continue
            nasir_ = [sys.executable, "-m", "runners.cli"]
            if (run / "run.json").exists():
                call = [*nasir_, "search", "--resume", str(run)]
            else:
                call = [*nasir_, *arguments(method, seed, data, run)]
            start = time.perf_counter()
            done = subprocess.run(call, check=False, capture_output=True, text=True)
            taken = time.perf_counter() - start
            print(f"{method} {seed}: {taken:.0f} s, exit code {done.returncode}", flush=True)
            if done.returncode:
                print(done.stderr[-500:], flush=True)


def rows(folder: Path, table: Path) -> list[Row]:
    """What the finished runs found."""
    benchmark = open_benchmark(table, ReadingOptions())
    found: list[Row] = []
    for method in METHODS:
        for seed in SEEDS:
            run = folder / f"{method}-{seed}"
            if not (run / "genotype.json").exists():
                continue
            genotype = nasir.load_genotype(str(run / "genotype.json"))
            text = nasir.dump_genotype(genotype, "nasbench201")
            record = benchmark.lookup(text)
            assert record is not None, text
            seconds = sum(row["seconds"] for row in _lines(run / "times.jsonl"))
            found.append(Row(method, seed, text, _tested(answers(record, _QUESTION)), seconds))
    return found


_QUESTION = Question(None, 200, "test", "mean", None)


def _tested(given: Sequence[Answer]) -> tuple[float, ...]:
    by = {answer.dataset: answer.accuracy for answer in given}
    return tuple(by[name] for name in DATASETS)


def random_mean(table: Path, count: int = 1000) -> tuple[tuple[float, float], ...]:
    """Mean and standard deviation of the accuracies of random architectures."""
    benchmark = open_benchmark(table, ReadingOptions())
    random = Random(0)
    records = [benchmark.at(random.randrange(15_625)) for _ in range(count)]
    drawn = [_tested(answers(record, _QUESTION)) for record in records if record is not None]
    columns = list(zip(*drawn, strict=True))
    return tuple((statistics.mean(values), statistics.stdev(values)) for values in columns)


def markdown(found: Sequence[Row], random: Sequence[tuple[float, float]]) -> str:
    """The table of methods."""
    names = ("CIFAR-10", "CIFAR-100", "ImageNet16-120", "seconds", "published, CIFAR-10")
    lines = [f"| method | seeds | {' | '.join(names)} |", "|---|---|---|---|---|---|---|"]
    for method in METHODS:
        mine = [row for row in found if row.method == method]
        if not mine:
            lines.append(f"| {method} | 0 | not run | | | | |")
            continue
        columns = list(zip(*(row.accuracies for row in mine), strict=True))
        cells = [_spread(values) for values in columns]
        seconds = statistics.median(row.seconds for row in mine)
        lines.append(
            f"| {method} | {len(mine)} | {' | '.join(cells)} | {seconds:.0f} | "
            f"{_published(method)} |"
        )
    cells = [f"{mean:.2f} ± {deviation:.2f}" for mean, deviation in random]
    lines.append(f"| *1,000 random cells* | – | {' | '.join(cells)} | | |")
    return "\n".join(lines)


def _published(method: str) -> str:
    """What the method's authors or others state for the whole search, in CIFAR-10."""
    for result in results():
        if result.system == PUBLISHED.get(method) and result.dataset == "nasbench201/cifar10":
            return f"{result.value:.2f} ± {result.deviation or 0.0:.2f}"
    return ""


def _spread(values: Sequence[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.2f} ± {deviation:.2f}"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    """Runs or writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__)
    parser.add_argument("what", choices=("run", "write"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    options = parser.parse_args()
    if options.what == "run":
        search_all(options.folder, options.data, options.methods)
    else:
        if options.table is None:
            parser.error("--table is missing: the benchmark's CSV or store")
        found = rows(options.folder, options.table)
        print(markdown(found, random_mean(options.table)))
        for row in found:
            print(f"{row.method} {row.seed} {row.genotype} {row.accuracies}")


if __name__ == "__main__":
    main()

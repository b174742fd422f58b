"""Searches without a supernet on a benchmark's table, many seeds each.

`python -m benchmarks.queries run DIR --table CSV` searches NAS-Bench-201, skipping runs that are
done; `python -m benchmarks.queries write DIR` prints the rows of `RESULTS.md` and draws the figure.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import nasir
from runners.experiment.asking import History, Teller, queries
from runners.experiment.experiment import Experiment
from runners.experiment.method import read_method
from runners.experiment.values import TableValue
from runners.plot.curves import BLUE, GREEN, GREY, VERMILION, sheet
from runners.plot.write import write_figure

SPACE = "nasbench201"
METHODS = ("random", "evolution", "local-search", "bananas")
SHOWN = (50, 100, 150, 200, 300, 500)
STEP = 10
"""Queries between two accuracies that are kept."""
BAND = (30, 70)
"""Percentiles."""

Curves = Mapping[str, Sequence[Sequence[float]]]
"""By method and run: test accuracies in percent of the best by validation after each STEP queries.

Runs may have different lengths.
"""


def search_all(
    folder: Path, table: str, methods: Sequence[str], runs: range, most: int, data: str | None
) -> None:
    """Appends a row for each seed to DIR/METHOD.jsonl; seeds that are there are left out."""
    torch.set_num_threads(1)
    space = nasir.load_space(SPACE)
    experiment = Experiment(of=SPACE, data=data)
    told = TableValue(of=table).open(experiment, space)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in runs:
        for method in methods:
            path = folder / f"{method}.jsonl"
            if any(row["seed"] == seed for row in _rows(path)):
                continue
            start = time.perf_counter()
            found = list(_curve(told, method, History(space, seed), most, folder))
            seconds = round(time.perf_counter() - start, 2)
            with path.open("a", encoding="utf-8") as stream:
                row = {"seed": seed, "seconds": seconds, "test": found}
                stream.write(f"{json.dumps(row)}\n")


def _curve(told: Teller, method: str, history: History, most: int, folder: Path) -> Iterator[float]:
    """Yields the test accuracy of the best by validation after every STEP queries."""
    asker = read_method(method, SPACE).ask
    assert asker is not None, f"{method} asks for values"
    tests: list[float] = []
    for row, answer, _ in queries(asker, history, partial(_answered, told, folder), most):
        measures: Any = answer.measures
        tests.append(measures["test"]["accuracy"])
        if (row.number + 1) % STEP == 0:
            yield tests[history.best.number]


def _answered(told: Teller, folder: Path, asked: Any) -> Any:
    return (told.answer(query, folder) for query in asked)


def _rows(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def table(curves: Curves) -> Iterator[str]:
    """Yields the lines of the Markdown table: the mean and the percentiles."""
    yield f"| method | runs | {' | '.join(f'{n} queries' for n in SHOWN)} |"
    yield "|---" * (len(SHOWN) + 2) + "|"
    for method, found in curves.items():
        cells = [_cell(_at(found, n // STEP)) for n in SHOWN]
        counts = dict.fromkeys(len(_at(found, n // STEP)) for n in SHOWN)
        yield f"| {method} | {', then '.join(map(str, counts))} | {' | '.join(cells)} |"


def _at(found: Sequence[Sequence[float]], place: int) -> list[float]:
    """Returns the accuracies of the runs that are as long."""
    return [row[place - 1] for row in found if len(row) >= place]


def _cell(found: Sequence[float]) -> str:
    low, high = np.percentile(found, BAND)
    return f"{np.mean(found):.2f} ({low:.2f} to {high:.2f})"


def draw(curves: Curves) -> Figure:
    """Returns the means over queries with bands of percentiles."""
    figure = sheet("NAS-Bench-201, CIFAR-10: mean, 30th to 70th percentile", "Queries", 6.4, 4.2)
    axes: Any = figure.subplots()
    colours = (GREY, BLUE, GREEN, VERMILION)
    for (method, found), colour in zip(curves.items(), colours, strict=False):
        places = range(1, max(map(len, found)) + 1)
        values = [_at(found, place) for place in places]
        asked = [STEP * place for place in places]
        bands = [np.percentile(each, BAND) for each in values]
        axes.plot(asked, [np.mean(each) for each in values], color=colour, label=method)
        low, high = zip(*bands, strict=True)
        axes.fill_between(asked, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_ylim(92.5, 94.5)
    axes.set_xlabel("queries")
    axes.set_ylabel("test accuracy (%)")
    axes.legend(loc="lower right")
    return figure


def main() -> None:
    """Runs the searches, or writes their results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queries", description=__doc__)
    parser.add_argument("what", choices=("run", "write"))
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--table")
    parser.add_argument("--data")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--queries", type=int, default=SHOWN[-1])
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    if given.what == "run":
        runs = range(given.first, given.first + given.runs)
        search_all(given.folder, given.table, given.methods, runs, given.queries, given.data)
        return
    rows = {name: _rows(given.folder / f"{name}.jsonl") for name in given.methods}
    curves = {name: [row["test"] for row in found] for name, found in rows.items()}
    print("\n".join(table(curves)))
    if given.figure:
        write_figure(given.figure, partial(draw, curves))


if __name__ == "__main__":
    main()

"""`nasir query`: what a benchmark says of an architecture."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import nasir
from nasir.errors import Where, quoted
from runners.benchmarks import Answer, BenchmarkRecord, Question, answers, find_record, kind_named
from runners.benchmarks import open_benchmark as open_one
from runners.benchmarks.kinds import Kind
from runners.benchmarks.record import ReadingOptions
from runners.benchmarks.trust import trusting
from runners.commands.options import FromOption, JsonOption, TrustOption
from runners.output import Cell, TextTable, print_json, print_table


def query(
    genotype: Annotated[
        str,
        typer.Argument(
            metavar="GENOTYPE",
            help="A published name, a file, a text, -, the benchmark's own index, or its key.",
        ),
    ],
    data: Annotated[
        Path, typer.Option(metavar="PATH", help="A store, or the benchmark's own file or folder.")
    ],
    bench: Annotated[
        str | None,
        typer.Option(help="nasbench201, nasbench101 or natsbench_size; that of PATH by default."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="One data set; all by default.")] = None,
    epochs: Annotated[int | None, typer.Option(help="One length of training.")] = None,
    split: Annotated[str | None, typer.Option(help="train, valid, test or valid+test.")] = None,
    seed: Annotated[str, typer.Option(help="mean, each, or a seed.")] = "mean",
    after: Annotated[
        int | None, typer.Option(help="After so many epochs of the training, not at its end.")
    ] = None,
    from_: FromOption = None,
    trust_pickle: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Look an architecture's accuracies up in a benchmark.

    An original file is read whole for each query; nasir bench import makes a store of it once,
    which answers at once. Accuracies are in percent.

    Example: nasir query 1462 --bench nasbench201 --data nasbench201.csv.gz --dataset cifar100
    """
    wanted = kind_named(bench) if bench is not None else None
    found = open_one(data, ReadingOptions(trusted=trusting(trust_pickle)))
    if wanted is not None and wanted != found.kind:
        message = f"the data is of {found.kind.title}, not of {quoted(wanted.name)}"
        raise nasir.NasirError("E505", message, Where(str(data)))
    record = find_record(found, genotype, data)
    try:
        given = answers(record, Question(dataset, epochs, split, seed, after))
    except nasir.NasirError as error:
        raise error.at(Where(str(data))) from None
    if as_json:
        print_json(_facts(found.kind, record, given))
    else:
        print_table(_table(found.kind, record, given))


def _facts(kind: Kind, record: BenchmarkRecord, given: tuple[Answer, ...]) -> dict[str, object]:
    return {
        "benchmark": kind.name,
        "architecture": record.key,
        "index": record.index,
        "accuracies": [asdict(answer) for answer in given],
    }


def _table(kind: Kind, record: BenchmarkRecord, given: tuple[Answer, ...]) -> TextTable:
    number = "" if record.index is None else f" {record.index}"
    rows: list[tuple[Cell, ...]] = [
        (
            answer.dataset,
            answer.epochs,
            answer.after,
            answer.split,
            answer.seed,
            "-" if answer.runs is None else answer.runs,
            f"{answer.accuracy:.2f}",
        )
        for answer in given
    ]
    columns = ("data set", "epochs", "after", "split", "seed", "runs", "accuracy %")
    if all(answer.after == answer.epochs for answer in given):
        columns = (*columns[:2], *columns[3:])
        rows = [(*row[:2], *row[3:]) for row in rows]
    return TextTable(f"{kind.title}{number}: {record.key}", columns, tuple(rows))

"""Commands on benchmarks: query, bench import, bench info."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import nasir
from nasir.errors import Where, quoted
from runners.benchmarks import (
    BenchmarkRecord,
    BenchmarkStore,
    Question,
    answers,
    import_benchmark,
    kind_named,
    open_benchmark,
    open_store,
)
from runners.benchmarks.query import best_of, describe_seeds
from runners.benchmarks.record import Original, ReadingOptions
from runners.cli.options import Fields, as_command
from runners.folder.display import display_for_stderr
from runners.inputs import check_file, read_genotype
from runners.output import Reply, print_warning, table_of

_Trust = Annotated[
    bool,
    typer.Option(
        "--trust-pickle", help="Load a pickle that asks for more than data: it may run any code."
    ),
]


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
    question: Annotated[Question, Fields(Question)],
    bench: Annotated[
        str | None,
        typer.Option(help="nasbench201, nasbench101 or natsbench_size; that of PATH by default."),
    ] = None,
    trust_pickle: _Trust = False,
) -> Reply:
    """Look up an architecture's accuracies in a benchmark.

    An original file is read completely for each query; nasir bench import converts it once into a
    store with fast look-ups. Accuracies are in percent.

    Example: nasir query 1462 --bench nasbench201 --data nasbench201.csv.gz --dataset cifar100
    """
    wanted = kind_named(bench) if bench is not None else None
    found = open_benchmark(data, ReadingOptions(trusted=_trusting(trust_pickle)))
    kind = found.kind
    if wanted is not None and wanted != kind:
        message = f"the data is of {kind.title}, not of {quoted(wanted.name)}"
        raise nasir.NasirError("E505", message, Where(str(data)))
    record = _record(found, genotype, data)
    try:
        given = answers(record, question)
    except nasir.NasirError as error:
        raise error.at(Where(str(data))) from None
    facts = {
        "benchmark": kind.name,
        "architecture": record.key,
        "index": record.index,
        "accuracies": [asdict(answer) for answer in given],
    }
    after = {} if all(each.after == each.epochs for each in given) else {"after": "after"}
    columns = {"data set": "dataset", "epochs": "epochs", **after, "split": "split", "seed": "seed"}
    rows = [asdict(each) | {"accuracy": f"{each.accuracy:.2f}"} for each in given]
    number = "" if record.index is None else f" {record.index}"
    title = f"{kind.title}{number}: {record.key}"
    columns |= {"runs": "runs", "accuracy %": "accuracy"}
    return Reply(facts, (table_of(rows, columns, title),))


def _record(benchmark: BenchmarkStore | Original, argument: str, path: Path) -> BenchmarkRecord:
    """Returns the record of the architecture that `argument` names.

    This is a key of the benchmark, a number as its index, or else a genotype. Raises an error if
    the benchmark does not have it, and errors of reading.
    """
    kind = benchmark.kind
    if kind.keys.fullmatch(argument):
        record, name = benchmark.lookup(argument), argument
    elif kind.indexed and argument.isdecimal() and len(argument) < 10:
        record, name = benchmark.at(int(argument)), f"index {argument}"
    else:
        name = kind.key(read_genotype(argument))
        record = benchmark.lookup(name)
    if record is None:
        message = f"{quoted(name, 120)} is not in the benchmark {kind.title}"
        hint = "nasir bench info lists a store's content"
        raise nasir.NasirError("E601", message, Where(str(path)), hint)
    return record


def _trusting(allowed: bool) -> Callable[[str], bool]:
    """Returns a function that allows each name of a pickle, with a warning, or refuses it."""

    def asked(name: str) -> bool:
        if allowed:
            print_warning(
                f"the file asks for {quoted(name)}, which may run code; --trust-pickle allows it"
            )
        return allowed

    return asked


bench = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Import a benchmark into a store with fast look-ups, or list a store's content."
    "\n\nExample: nasir bench import NAS-Bench-201-v1_1-096897.pth -o nasbench201.bench",
)


@bench.command("import")
@as_command
def import_source(
    original: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The benchmark's own file or folder.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The store to write.")
    ],
    curves: Annotated[
        bool, typer.Option("--curves", help="Keep the accuracy after every epoch too.")
    ] = False,
    trust_pickle: _Trust = False,
) -> Reply:
    """Import a benchmark into a store, which nasir query --data reads.

    Example: nasir bench import NATS-tss-v1_0-3ffb9-simple -o nats.bench
    """
    check_file(output)
    with display_for_stderr().stage(f"read {original.name}"):
        store = import_benchmark(original, output, ReadingOptions(curves, _trusting(trust_pickle)))
    return Reply(_facts(store), (f"{output}: {_describe(store)}",))


@bench.command()
@as_command
def info(
    store: Annotated[Path, typer.Argument(metavar="FILE", help="A store of nasir bench import.")],
) -> Reply:
    """Verify a store, and list its content.

    Lists for each column the number of accuracies and the best architecture.

    Example: nasir bench info nasbench201.bench
    """
    found = open_store(store)
    found.check()
    best = best_of(found)
    rows = [
        asdict(each) | {"seeds": describe_seeds(each.seeds), "accuracy": f"{each.accuracy:.2f}"}
        for each in best
    ]
    columns = {"data set": "dataset", "epochs": "epochs", "split": "split", "seeds": "seeds"}
    columns |= {"architectures": "architectures", "best %": "accuracy", "best": "key"}
    facts = _facts(found) | {"accuracies": [asdict(each) for each in best]}
    return Reply(facts, (f"{store}: {_describe(found)}", table_of(rows, columns)))


def _describe(store: BenchmarkStore) -> str:
    return (
        f"{store.kind.title} from {store.header.source}: {len(store):,} architectures, "
        f"{len(store.columns):,} columns, {len(store.content) / 2**20:.1f} MiB"
    )


def _facts(store: BenchmarkStore) -> dict[str, object]:
    return {
        "file": str(store.path),
        "benchmark": store.header.benchmark,
        "source": store.header.source,
        "nasir": store.header.nasir,
        "architectures": len(store),
        "columns": len(store.columns),
        "bytes": len(store.content),
    }

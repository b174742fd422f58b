"""`nasir bench import` and `nasir bench info`: stores of benchmarks."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from runners.benchmarks import BenchmarkStore, import_benchmark, open_store
from runners.benchmarks.record import ReadingOptions
from runners.benchmarks.summary import best_of, describe_seeds
from runners.benchmarks.trust import trusting
from runners.commands.options import JsonOption, TrustOption
from runners.forms.progress import display_for_stderr
from runners.inputs import check_file
from runners.output import TextTable, print_json, print_line, print_table

group = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Import a benchmark once into a store that answers at once, or say what a store holds."
    "\n\nExample: nasir bench import NAS-Bench-201-v1_1-096897.pth -o nasbench201.bench",
)


@group.command("import")
def import_source(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The benchmark's own file or folder.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The store to write.")
    ],
    curves: Annotated[
        bool, typer.Option("--curves", help="Keep the accuracy after every epoch too.")
    ] = False,
    trust_pickle: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import a benchmark into a store, which nasir query --data reads.

    Example: nasir bench import NATS-tss-v1_0-3ffb9-simple -o nats.bench
    """
    check_file(output)
    with display_for_stderr().stage(f"read {source.name}"):
        store = import_benchmark(source, output, ReadingOptions(curves, trusting(trust_pickle)))
    if as_json:
        print_json(_facts(store))
    else:
        print_line(f"{output}: {_describe(store)}")


@group.command()
def info(
    store: Annotated[Path, typer.Argument(metavar="FILE", help="A store of nasir bench import.")],
    as_json: JsonOption = False,
) -> None:
    """Check every byte of a store, and say what it holds.

    Of each column: the accuracies, and which architecture is best.

    Example: nasir bench info nasbench201.bench
    """
    found = open_store(store)
    found.check()
    best = best_of(found)
    if as_json:
        print_json(_facts(found) | {"accuracies": [asdict(each) for each in best]})
        return
    print_line(f"{store}: {_describe(found)}")
    rows = tuple(
        (
            each.dataset,
            each.epochs,
            each.split,
            describe_seeds(each.seeds),
            each.architectures,
            f"{each.accuracy:.2f}",
            each.key,
        )
        for each in best
    )
    columns = ("data set", "epochs", "split", "seeds", "architectures", "best %", "best")
    print_table(TextTable("", columns, rows))


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

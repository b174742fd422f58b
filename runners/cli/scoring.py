"""Commands on zero-cost proxies: score, correlate."""

import inspect
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import nasir
from runners.cli.options import Fields, SpaceOption
from runners.experiment.sizes import NetworkSection
from runners.folder.display import display_for_stderr
from runners.inputs import check_file, read_genotype
from runners.output import Reply, TextTable, finite, table_of

_Proxies = Annotated[
    str, typer.Option("--proxy", metavar="NAME,...", help="Proxies; a+b ranks by both together.")
]
_Size = Annotated[dict[str, Any], Fields(NetworkSection)]
_Data = Annotated[str, typer.Option(help="digits, cifar10:PATH, imagefolder:PATH, FILE.npz, ….")]
_Batch = Annotated[int, typer.Option(min=2, max=1 << 16, help="Number of images.")]
_Seed = Annotated[int, typer.Option(min=0, max=10**15, help="Seed of weights and batch.")]
_Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")]


def score(
    size: _Size,
    genotypes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GENOTYPE]...", help="Names, files, texts, or - for stdin."),
    ] = None,
    proxy: _Proxies = "synflow,naswot",
    space: SpaceOption = None,
    data: _Data = "digits",
    batch: _Batch = 64,
    seed: _Seed = 0,
    device: _Device = "cpu",
    listed: Annotated[bool, typer.Option("--list", help="List the proxies.")] = False,
) -> Reply:
    """Score untrained networks by zero-cost proxies.

    Higher is better; a dash where a proxy is undefined. The network's sizes are the space's own.

    Example: nasir score darts_v1 darts_v2 --proxy synflow,naswot --channels 16 --layers 8
    """
    if listed:
        return _proxies()
    if not genotypes:
        raise typer.BadParameter("give a GENOTYPE, or --list")
    found = [read_genotype(each, space) for each in genotypes]
    settings: dict[str, Any] = {"data": data, "batch": batch, "seed": seed, "device": device}
    display = display_for_stderr()
    scores = nasir.score(found, proxy.split(","), display=display, **settings, **size)
    names = [each.name or given for each, given in zip(found, genotypes, strict=True)]
    rows = [
        {"genotype": name, **dict(zip(scores, map(finite, row), strict=True))}
        for name, *row in zip(names, *scores.values(), strict=True)
    ]
    table = table_of(
        [{k: _shown(v) for k, v in row.items()} for row in rows], {k: k for k in rows[0]}
    )
    return Reply(rows, (table,))


def correlate(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A space: its name or file.")],
    size: _Size,
    table: Annotated[
        Path,
        typer.Option(metavar="PATH", help="A CSV of architecture,accuracy, or a benchmark."),
    ],
    proxy: _Proxies = "synflow,naswot",
    count: Annotated[
        int, typer.Option("-n", "--count", min=3, max=1_000_000, help="Architectures drawn.")
    ] = 1000,
    dataset: Annotated[
        str | None, typer.Option(help="The benchmark's data set; that of --data by default.")
    ] = None,
    data: _Data = "digits",
    batch: _Batch = 64,
    seed: _Seed = 0,
    device: _Device = "cpu",
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a scatter plot: .png, .svg or .pdf."),
    ] = None,
) -> Reply:
    """Correlate zero-cost proxies with a table's accuracies.

    Prints Spearman's and Kendall's coefficients with 95 % bootstrap intervals over a random sample
    of the table. Architectures of equal functions are scored once.

    Example: nasir correlate nasbench201 --proxy synflow,params --table nasbench201.csv.gz \
    --data cifar10:PATH --count 200 --layers 1
    """
    if plot is not None:
        check_file(plot)
    settings: dict[str, Any] = {"data": data, "batch": batch, "seed": seed, "device": device}
    found = nasir.correlate(
        nasir.load_space(space),
        proxy.split(","),
        table,
        count=count,
        dataset=dataset,
        display=display_for_stderr(),
        **settings,
        **size,
    )
    rows = [asdict(row) for row in found.rows]
    shown: list[str | TextTable] = [
        table_of(
            [row | {name: _interval(row[name]) for name in _COEFFICIENTS} for row in rows],
            {name: name for name in ("proxy", *_COEFFICIENTS, "undefined")},
            f"{found.space}: {len(found.architectures):,} architectures, "
            f"{found.networks:,} of them with different functions",
        )
    ]
    if plot is not None:
        from runners.plot.comparisons import scatter  # matplotlib takes time to import
        from runners.plot.write import write_figure

        shown.append(str(write_figure(plot, lambda: scatter(found))))
    return Reply(lambda: _facts(found, rows), shown)


_COEFFICIENTS = ("spearman", "kendall")


def _facts(found: nasir.Correlation, rows: list[dict[str, Any]]) -> dict[str, Any]:
    each = zip(found.architectures, found.accuracies, *found.scores.values(), strict=True)
    return {
        "space": found.space,
        "networks": found.networks,
        "proxies": [
            row | {name: {k: finite(v) for k, v in row[name].items()} for name in _COEFFICIENTS}
            for row in rows
        ],
        "architectures": [
            {
                "architecture": text,
                "accuracy": accuracy,
                "scores": dict(zip(found.scores, map(finite, row), strict=True)),
            }
            for text, accuracy, *row in each
        ],
    }


def _proxies() -> Reply:
    from runners.experiment.proxies import ENSEMBLES, PROXIES  # imports torch

    facts = [
        {"name": name, "summary": (inspect.getdoc(row) or "").partition("\n")[0].rstrip(".")}
        for name, row in PROXIES.items()
    ]
    facts += [
        {"name": name, "summary": f"ranks by {' + '.join(parts)}"}
        for name, parts in ENSEMBLES.items()
    ]
    return Reply(facts, (table_of(facts, {"proxy": "name", "score": "summary"}),))


def _shown(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def _interval(estimate: dict[str, float]) -> str:
    if math.isnan(estimate["value"]):
        return "-"
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**estimate)

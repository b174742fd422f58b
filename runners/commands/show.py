"""`nasir show`: a network's graph as text, after any pass."""

from typing import Annotated

import typer

import nasir
from nasir.errors import NasirError, nearest, quoted
from runners.commands.options import (
    AuxiliaryOption,
    ChannelsOption,
    ClassesOption,
    FromOption,
    HiddenOption,
    InChannelsOption,
    JsonOption,
    LayersOption,
    ResolutionOption,
    SkeletonOption,
    SpaceOption,
    VocabularyOption,
)
from runners.experiment.size import NetworkSize
from runners.inputs import is_graph, named, open_source, read_named, read_opened
from runners.output import TextTable, print_json, print_table, print_text


def show(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[GENOTYPE]",
            help="A published name, a file (a graph as text too), a text, or - for standard input.",
        ),
    ] = None,
    space: SpaceOption = None,
    from_: FromOption = None,
    skeleton: SkeletonOption = None,
    channels: ChannelsOption = None,
    layers: LayersOption = None,
    classes: ClassesOption = None,
    resolution: ResolutionOption = None,
    in_channels: InChannelsOption = None,
    vocabulary: VocabularyOption = None,
    hidden: HiddenOption = None,
    auxiliary: AuxiliaryOption = False,
    after: Annotated[
        str | None, typer.Option(metavar="PASS", help="Run the passes up to this one.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the passes.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a network's graph as text, after any pass.

    Without --after the ops are those of the genotype. With it, the passes run in the order of
    --list, up to and including the named one; passes that change the results run only when named.

    Example: nasir show darts_v2 --layers 3 --after cse
    """
    if listed:
        _list_passes(as_json=as_json)
        return
    if source is None:
        raise typer.BadParameter("give a GENOTYPE, or --list")
    size = NetworkSize(
        skeleton, channels, layers, classes, resolution, auxiliary, vocabulary, hidden, in_channels
    )
    graph = _read(source, space, size)
    if after is not None:
        graph, _ = nasir.run_passes(graph, passes_up_to(after))
    text = nasir.print_graph(graph)
    if as_json:
        print_json({"nodes": len(graph), "text": text})
    else:
        print_text(text)


def passes_up_to(name: str) -> tuple[nasir.Pass, ...]:
    """The passes of the table up to that one, of those before it only the exact. Raises E406."""
    if name not in nasir.PASSES:
        raise NasirError("E406", f"unknown pass {quoted(name)}", hint=nearest(name, nasir.PASSES))
    names = list(nasir.PASSES)
    before = [nasir.PASSES[each] for each in names[: names.index(name)]]
    return (*(row for row in before if row.exact), nasir.PASSES[name])


def _list_passes(*, as_json: bool) -> None:
    rows = nasir.PASSES.values()
    if as_json:
        print_json([{"name": p.name, "summary": p.summary, "exact": p.exact} for p in rows])
        return
    table = tuple((p.name, p.summary, "bitwise kept" if p.exact else "changed") for p in rows)
    print_table(TextTable("", ("pass", "what it does", "results"), table))


def _read(argument: str, space: str | None, size: NetworkSize) -> nasir.Graph:
    """The graph of a graph's text, or else the network of a genotype."""
    opened = open_source(argument)
    if opened is None:
        return size.build(read_named(argument, space))
    source, name = opened
    if not is_graph(source):
        return size.build(named(read_opened(source, name, space).genotype, argument))
    if size != NetworkSize() or space:
        raise NasirError(
            "E505",
            f"{quoted(source.name)} is a graph, whose size is fixed",
            hint="leave out the options of the skeleton, or give a genotype",
        )
    return nasir.parse_graph(source.text, source.name)

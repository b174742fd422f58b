"""`nasir diff`: what two genotypes differ in."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

import nasir
from runners.commands.options import (
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
from runners.experiment.size import NetworkSize, describe_size, size_facts
from runners.forms.costs import cost_sums, cost_table
from runners.inputs import read_named
from runners.output import TextTable, joined, print_json, print_line, print_table

DIFFERENT = 1


@dataclass(frozen=True, slots=True)
class CellDifference:
    """One place where two genotypes differ: what only the first has, and only the second."""

    cell: str
    place: str
    first: tuple[str, ...]
    second: tuple[str, ...]


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A genotype: name, file or text.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
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
    as_json: JsonOption = False,
) -> None:
    """Compare two genotypes: edges, ops and cost.

    The order of a node's edges does not count. Exit codes are those of diff(1): 0 the same,
    1 different, 2 trouble.

    Example: nasir diff darts_v1 darts_v2
    """
    one, two = read_named(first, space), read_named(second, space)
    size = NetworkSize(
        skeleton,
        channels,
        layers,
        classes,
        resolution,
        vocabulary=vocabulary,
        hidden=hidden,
        in_channels=in_channels,
    )
    found = tuple(differences(one, two))
    graphs = (size.build(one), size.build(two))
    costs = tuple(nasir.cost(graph) for graph in graphs)
    if as_json:
        print_json(
            {
                "first": {"genotype": one.name} | cost_sums(costs[0]),
                "second": {"genotype": two.name} | cost_sums(costs[1]),
                "equal": not found,
                "differences": [asdict(difference) for difference in found],
            }
        )
    else:
        _print(one.name, two.name, found)
        print_line()
        print_table(_cost_table(one.name, two.name, (costs[0], costs[1])))
        for genotype, graph in zip((one, two), graphs, strict=True):
            print_line(f"{genotype.name}: {describe_size(size_facts(graph))}")
    if found:
        raise typer.Exit(DIFFERENT)


def differences(one: nasir.Genotype, two: nasir.Genotype) -> Iterator[CellDifference]:
    """Where two genotypes differ: by cell, then by node, then the output."""
    for kind in dict.fromkeys((*one.kinds, *two.kinds)):
        if kind not in one.kinds or kind not in two.kinds:
            has = (f"{kind} cell",)
            yield CellDifference(
                kind, "cell", has if kind in one.kinds else (), has if kind in two.kinds else ()
            )
        else:
            yield from _cell_differences(one.cell(kind), two.cell(kind))


def _cell_differences(one: nasir.CellGenotype, two: nasir.CellGenotype) -> Iterator[CellDifference]:
    if one.inputs != two.inputs:
        yield CellDifference(one.kind, "inputs", (str(one.inputs),), (str(two.inputs),))
    first, second = _edges(one), _edges(two)
    for state in sorted(first.keys() | second.keys()):
        a, b = first.get(state, Counter()), second.get(state, Counter())
        if a != b:
            only = (tuple((a - b).elements()), tuple((b - a).elements()))
            yield CellDifference(one.kind, f"node {state}", *only)
    if one.output != two.output:
        outputs = tuple(tuple(str(state) for state in cell.output) for cell in (one, two))
        yield CellDifference(one.kind, "output", *outputs)


def _edges(cell: nasir.CellGenotype) -> dict[int, Counter[str]]:
    """The edges into each node, as `op(source)`; with ops on nodes the op, and `from source`."""
    if cell.ops:
        return {
            state: Counter([op, *(f"from {source}" for source in sources)])
            for state, (op, sources) in enumerate(
                zip(cell.ops, cell.sources, strict=True), start=cell.inputs
            )
        }
    return {
        state: Counter(f"{edge.op}({edge.source})" for edge in edges)
        for state, edges in enumerate(cell.nodes, start=cell.inputs)
    }


def _print(one: str, two: str, found: tuple[CellDifference, ...]) -> None:
    if not found:
        print_line(f"{one} and {two} are the same architecture")
        return
    rows = tuple(
        (row.cell, row.place, joined(row.first, ", "), joined(row.second, ", ")) for row in found
    )
    print_table(TextTable("", ("cell", "place", f"only in A: {one}", f"only in B: {two}"), rows))


def _cost_table(one: str, two: str, costs: tuple[nasir.Cost, nasir.Cost]) -> TextTable:
    """Both costs, and the second as a multiple of the first."""
    sums = [cost_sums(cost) for cost in costs]
    ratios = [f"{sums[1][key] / max(1, sums[0][key]):.3f}" for key in sums[0]]
    table = cost_table("", "", {f"A: {one}": costs[0], f"B: {two}": costs[1]})
    rows = tuple((*row, ratio) for row, ratio in zip(table.rows, ratios, strict=True))
    return TextTable("", (*table.columns, "B / A"), rows)

"""`nasir cost`: parameters, multiply-adds and activations, without torch."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

import nasir
from runners.commands.options import (
    AuxiliaryOption,
    ChannelsOption,
    ClassesOption,
    FromOption,
    GenotypeArgument,
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
from runners.forms.costs import cost_facts, cost_table, with_head
from runners.inputs import read_named
from runners.output import TextTable, print_json, print_line, print_table


def cost(
    genotype: GenotypeArgument,
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
    nodes: Annotated[bool, typer.Option("--nodes", help="List every primitive.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Count parameters, multiply-adds and activations.

    The auxiliary head is counted apart. What counts as one is in the output.

    Example: nasir cost darts_v2 --skeleton imagenet --auxiliary
    """
    size = NetworkSize(
        skeleton, channels, layers, classes, resolution, auxiliary, vocabulary, hidden, in_channels
    )
    read = read_named(genotype, space)
    graph = size.build(read)
    found = nasir.cost(graph)
    if as_json:
        facts = {"genotype": read.name} | size_facts(graph) | cost_facts(found)
        print_json(facts | ({"nodes": _node_facts(found)} if nodes else {}))
        return
    title = f"{read.name}: {describe_size(size_facts(graph))}"
    print_table(cost_table(title, "", with_head(found)))
    if nodes:
        print_line()
        print_table(_node_table(found))
    print_line(f"counted: {found.convention}")


def _all_nodes(found: nasir.Cost) -> tuple[nasir.NodeCost, ...]:
    return (*found.nodes, *(found.auxiliary.nodes if found.auxiliary else ()))


def _node_facts(found: nasir.Cost) -> list[dict[str, Any]]:
    return [asdict(node) for node in _all_nodes(found)]


def _node_table(found: nasir.Cost) -> TextTable:
    columns = ("node", "op", "parameters", "multiply-adds", "activations")
    rows = tuple(
        (node.name, node.op, node.params, node.macs, node.activations) for node in _all_nodes(found)
    )
    return TextTable("", columns, rows)

"""Networks of genotypes, supernets of spaces, and supernets decided by genotypes, as graphs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from nasir.arguments import checked
from nasir.errors import NasirError, quoted
from nasir.features import features as without_heads
from nasir.formats import dump_genotype, load_genotype
from nasir.formats.load import GenotypeLike, as_genotype
from nasir.graph import Choice, Graph
from nasir.passes.supernet import Picks
from nasir.passes.supernet import resolve as resolve_picks
from nasir.space import Space, adopt, home_of, load_space
from nasir.space.decisions import CellGenotype
from nasir.space.load import SpaceLike, as_space
from nasir.space.own_skeletons import find_skeleton
from nasir.space.skeletons import build_network, network_size
from nasir.space.space import Genotype


@checked
def network(
    genotype: GenotypeLike,
    skeleton: str | None = None,
    *,
    channels: int | None = None,
    layers: int | None = None,
    classes: int | None = None,
    resolution: int | None = None,
    in_channels: int | None = None,
    columns: int | None = None,
    vocabulary: int | None = None,
    hidden: int | None = None,
    auxiliary: bool = False,
    features: bool = False,
    space: SpaceLike | None = None,
) -> Graph:
    """The discrete network of a genotype (or argument of `load_genotype`) as a graph of macros.

    Sizes default to the genotype's (`genotype.size`), else its space's, else the skeleton's:
    `cifar` 36 channels, 20 layers (cells), 10 classes, 32 pixels; `imagenet` 48, 14, 1000, 224;
    `nasbench201` 16, 5 (cells in each of three stages), 10, 32; `transnasbench101` 64, 2 (cells in
    each of five modules), 75, 256; `rnn` a vocabulary of 10,000 words and 850 hidden units.
    `in_channels` are those of an image, 3 if None, `columns` its width where a skeleton of the
    space's own takes another than `resolution`. The skeleton's own name is the space's.
    `auxiliary` adds the auxiliary head, whose logits are `graph.auxiliary` (of `rnn`, the states of
    all steps). With `features` there is no head: outputs are the last value of each stage (of an
    own skeleton's stages, else before each halving of the image's side), and `graph.features` are
    their names, channels and strides; weights keep their keys. `space` (or an argument of
    `load_space`) overrides the genotype's space, also for own ops, layout and sizes.
    """
    if features and auxiliary:
        message = "a network of features has no heads, and so no auxiliary one"
        raise NasirError("E505", message, hint="leave the auxiliary head out")
    genotype = _at_home(genotype, space, required=skeleton is None)
    home = genotype.definition
    chosen = find_skeleton(skeleton or (home.skeleton if home else ""), home)
    asked = _given(channels, layers, classes, resolution, in_channels, columns, vocabulary, hidden)
    size = network_size(genotype, chosen, asked, auxiliary=auxiliary)
    graph = build_network(genotype, chosen, size, {"genotype": dump_genotype(genotype)})
    return without_heads(graph) if features else graph


@checked
def supernet(
    space: SpaceLike,
    skeleton: str | None = None,
    *,
    channels: int | None = None,
    layers: int | None = None,
    classes: int | None = None,
    resolution: int | None = None,
    in_channels: int | None = None,
    columns: int | None = None,
    vocabulary: int | None = None,
    hidden: int | None = None,
    auxiliary: bool = False,
) -> Graph:
    """The space (or argument of `load_space`) as a network with all decisions open.

    Every decision is a `mix` node in each cell of its kind; `graph.choices` lists them by kind of
    cell, then target node, then source, options in the space's order, and the weights of each are
    an input of the graph. As published, batch norms in cells have no weights in a supernet, and
    one follows each op that the space normalises.

    Sizes default to the space's, the largest if it leaves them open (as NATS-Bench's size space),
    else to the skeleton's for the search: `cifar` 16 channels, 8 layers (cells),
    10 classes, 32 pixels; `imagenet_search` 16, 8, 1000, 224; `nasbench201` 16, 5 (cells in each of
    three stages), 10, 32; `nasbench1shot1` 16, 9, 10, 32; `rnn` a vocabulary of 10,000 words and
    300 hidden units. Raises the errors of `load_space`.
    """
    space = as_space(space)
    chosen = find_skeleton(skeleton or space.skeleton, space)
    asked = _given(channels, layers, classes, resolution, in_channels, columns, vocabulary, hidden)
    size = network_size(space, chosen, asked, auxiliary=auxiliary)
    return _by_kind(build_network(space, chosen, size), space)


def _by_kind(graph: Graph, space: Space) -> Graph:
    """The graph with its choices, and the inputs of their weights, by kind of cell."""
    kinds = {kind: place for place, kind in enumerate(space.kinds)}
    order = sorted(graph.choices, key=lambda choice: kinds[choice.slot.kind])
    types = dict(graph.inputs)
    names = [choice.name for choice in order]
    inputs = [*(name for name in types if name not in names), *names]
    return replace(graph, choices=tuple(order), inputs=tuple((n, types[n]) for n in inputs))


_SIZES = (
    "channels",
    "layers",
    "classes",
    "resolution",
    "in_channels",
    "columns",
    "vocabulary",
    "hidden",
)


def _given(*sizes: int | None) -> dict[str, int]:
    """The sizes that are not None, by name; they come in the order of `_SIZES`."""
    named = zip(_SIZES, sizes, strict=True)
    return {name: value for name, value in named if value is not None}


def _at_home(genotype: GenotypeLike, space: SpaceLike | None, *, required: bool) -> Genotype:
    """The genotype with its space, if known. Raises an error if a required one is unknown."""
    if isinstance(genotype, str | Path):
        genotype = load_genotype(genotype, space)
    elif space is not None:
        genotype = adopt(genotype, space)
    home = home_of(genotype)
    if home is None and required:
        home = load_space(genotype.space)
    return genotype if home is None else adopt(genotype, home)


@checked
def picks(graph: Graph, genotype: GenotypeLike) -> dict[str, tuple[int, ...]]:
    """The options that the genotype picks, by name of the choice: numbers from 0.

    Edges that the genotype lacks have none. Raises an error if the genotype lacks a kind of cell,
    or has an op or an edge that is no option.
    """
    genotype = as_genotype(genotype)
    found = {choice.name: _picked(choice, genotype) for choice in graph.choices}
    _check_all_found(graph.choices, found, genotype)
    return found


@checked
def resolve(graph: Graph, decisions: GenotypeLike | Picks) -> Graph:
    """The supernet with its choices decided, by a genotype or by the options of some choices.

    `decisions` maps the name of a choice to the numbers of the options that it keeps, from 0; other
    choices stay open. Weights keep their keys, so those of the supernet fit.
    """
    return resolve_picks(
        graph,
        decisions if isinstance(decisions, Mapping) else picks(graph, decisions),
    )


def _picked(choice: Choice, genotype: Genotype) -> tuple[int, ...]:
    slot = choice.slot
    cell = genotype.cell(slot.kind)
    if slot.role == "output":
        return _numbers(choice, [str(state) for state in cell.output])
    node = slot.node - cell.inputs
    if node >= len(cell.nodes):
        return ()
    if slot.role == "op on node":
        return _numbers(choice, [cell.ops[node]])
    edges = cell.nodes[node]
    if slot.role == "op on edge":
        return _numbers(choice, [edge.op for edge in edges if edge.source == slot.source])
    return _numbers(choice, [str(edge.source) for edge in edges])


def _numbers(choice: Choice, names: Iterable[str]) -> tuple[int, ...]:
    names = tuple(names)
    for name in names:
        if name not in choice.options:
            raise NasirError(
                "E211",
                f"{quoted(name)} is no option of the choice {quoted(choice.name)}",
                hint=f"it has: {', '.join(choice.options)}",
            )
    return tuple(place for place, option in enumerate(choice.options) if option in names)


def _check_all_found(choices: Iterable[Choice], found: Picks, genotype: Genotype) -> None:
    """Raises an error for an edge of the genotype that the supernet does not have."""
    edges: dict[str, int] = {}
    for choice in choices:
        if choice.kind == "op on edge":
            kind = choice.slot.kind
            edges[kind] = edges.get(kind, 0) + len(found[choice.name])
    for kind, count in edges.items():
        missing = _distinct(genotype.cell(kind)) - count
        if missing:
            message = f"{missing} edges of cell {quoted(kind)} are not in the supernet"
            raise NasirError("E211", message)


def _distinct(cell: CellGenotype) -> int:
    return sum(len({(edge.source, edge.op) for edge in edges}) for edges in cell.nodes)

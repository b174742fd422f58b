"""Changes by search methods: decided choices, partial channels, edge weights, dropped paths."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from nasir.arguments import checked
from nasir.errors import NasirError, nearest, quoted
from nasir.graph import Choice, Graph
from nasir.node import MIXED, At, Node, Slot
from nasir.ops import Macro, NoAttrs
from nasir.ops.arithmetic import ADD, DROP_PATH, MIX, ZERO, MixAttrs, StrideAttrs
from nasir.passes.rewriting import (
    PROBABILITY,
    mixed,
    rewritten,
    with_bodies,
    with_options,
    without_unread,
)
from nasir.space import Space
from nasir.space.load import SpaceLike, as_space
from nasir.template import Scope, meaning_at, template
from nasir.types import ImageType, WeightsType

Picks = Mapping[str, Sequence[int]]
"""The options to keep, by name of the choice; an empty sequence removes the value."""


def resolve(graph: Graph, picks: Picks) -> Graph:
    """Resolves the choices in `picks` to these options, each with weight 1.

    A mixture becomes the value of its option, the sum of several, or zeros for none; the choice's
    weights are no longer an input. `dead-code` removes the other options. The result equals the
    graph with one-hot weights, bitwise for one option. Raises an error for an unknown choice or
    option.
    """
    check_picks(graph, picks)
    graph = without_unread(_resolved(graph, picks))
    inputs = tuple((name, type_) for name, type_ in graph.inputs if name not in picks)
    return replace(graph, inputs=inputs)


@checked
def restrict(graph: Graph, kept: Picks) -> Graph:
    """Restricts the mixtures of the choices in `kept` to these options.

    The choices and the length of their weights stay; the weights of other options are not read.
    Equal to the supernet with weights of 0 there. `dead-code` removes the other options. Raises an
    error if a choice would keep none.
    """
    check_picks(graph, kept)
    for name, options in kept.items():
        if not options:
            message = f"the choice {quoted(name)} would keep no option"
            raise NasirError("E211", message, hint="`resolve` removes a choice")
    return without_unread(_restricted(graph, kept))


def _restricted(graph: Graph, kept: Picks) -> Graph:
    graph = with_bodies(graph, partial(_restricted, kept=kept))
    return graph.with_nodes(_fewer(node, kept) for node in graph.nodes)


def _fewer(node: Node, kept: Picks) -> Node:
    """A mixture of the kept options, or zeros for none; other nodes are unchanged.

    A mixture with some of the options (a state that may leave its cell) can have none.
    """
    if not node.has("mixture") or node.inputs[0] not in kept:
        return node
    pairs = tuple(pair for pair in mixed(node) if pair[1] in kept[node.inputs[0]])
    return with_options(node, pairs) if pairs else _joined(node, ())


def check_picks(graph: Graph, picks: Picks) -> None:
    """Raises an error for an unknown choice or option."""
    known = {choice.name: choice for choice in graph.choices}
    for name, options in picks.items():
        if name not in known:
            message = f"there is no choice {quoted(name)}"
            raise NasirError("E401", message, hint=nearest(name, known))
        count = len(known[name].options)
        for option in options:
            if not 0 <= option < count:
                message = f"the choice {quoted(name)} has no option {option}"
                raise NasirError("E202", message, hint=f"it has {count}, from 0")


def _resolved(graph: Graph, picks: Picks) -> Graph:
    """The resolved graph with unchanged inputs."""

    def step(node: Node) -> tuple[Iterable[Node], str]:
        if not node.has("mixture") or node.inputs[0] not in picks:
            return (node,), node.name
        values = [value for value, option in mixed(node) if option in picks[node.inputs[0]]]
        return ((), values[0]) if len(values) == 1 else ((_joined(node, values),), node.name)

    graph = rewritten(with_bodies(graph, partial(_resolved, picks=picks)), step)
    choices = tuple(choice for choice in graph.choices if choice.name not in picks)
    return replace(graph, choices=choices)


def _joined(mix: Node, values: Sequence[str]) -> Node:
    """The sum of several values, or zeros, which replaces a mixture."""
    if values:
        return replace(mix, op=ADD, inputs=tuple(values), attrs=NoAttrs())
    return replace(mix, op=ZERO, inputs=mix.inputs[1:2], attrs=StrideAttrs())


_KINDS = ("op on edge", "op on node")
_META = "partial_channels"


@checked
def partial_channels(graph: Graph, parts: int) -> Graph:
    """Applies the mixtures of ops to the first of `parts` equal parts of the channels.

    Of C channels the ops read and compute C / parts. The others bypass them, through a 2x2 maximum
    pool if the ops halve the image; then both are joined and shuffled in `parts` groups, so that
    the next ops read channels of both. PC-DARTS, arXiv:1907.05737, equation 2, whose K is `parts`.
    With one part the graph is returned unchanged.

    Nodes and weights keep their names and keys. The result has the name of the mixture,
    `c00/n2.e0`; the mixture becomes `c00/n2.e0.mix`, with `.first`, `.rest`, `.pool` and `.join`.

    Raises an error if `parts` is below 1, if channels or images cannot be divided, if the graph has
    no choices of ops on images, or if its channels are partial already.
    """
    if parts < 1:
        raise NasirError("E107", f"the number of parts must be 1 or more, not {parts}")
    if parts == 1:
        return graph
    if _META in graph.about:
        raise NasirError("E505", f"the channels are divided by {graph.about[_META]} already")
    mixes = _mixes(graph)
    above_of = _above(graph, mixes)
    sources = _sources(graph, mixes, above_of)
    b = Scope(dict(graph.inputs))
    for node in graph.nodes:
        above = above_of[node.name]
        if node.name in mixes:
            _close(b, graph, node, sources[node.name], parts)
        elif above is not None:
            source = sources[above]
            _rebuild(b, node, {source: _first(b, mixes[above], source, parts)})
        else:
            b.nodes.append(node)
            b.types[node.name] = graph.types[node.name]
    meta = (*graph.meta, (_META, str(parts)))
    return replace(graph, nodes=tuple(b.nodes), meta=meta)


def _mixes(graph: Graph) -> dict[str, Node]:
    """The mixtures of ops, by name. Raises an error if there is none."""
    names = {choice.name for choice in graph.choices if choice.kind in _KINDS}
    found = {
        node.name: node
        for node in graph.nodes
        if node.has("mixture") and node.inputs[0] in names
        if node.at and len(node.at.steps) == 1
        if isinstance(graph.types[node.name], ImageType)
    }
    if not found:
        recurrent = bool(names and graph.bodies)
        raise NasirError(
            "E505",
            "the graph has no choice of ops on images",
            hint="recurrent cells have vectors, which are not divided"
            if recurrent
            else "it takes a supernet as nasir.supernet makes it",
        )
    return found


def _above(graph: Graph, mixes: Mapping[str, Node]) -> dict[str, str | None]:
    """The mixture whose options each node is part of."""
    places = {mix.at: name for name, mix in mixes.items()}
    found = ((node.name, node.at) for node in graph.nodes)
    return {
        name: places.get(At(at.cell, at.steps[:1]).option(MIXED)) if at and at.steps else None
        for name, at in found
    }


def _sources(
    graph: Graph, mixes: Mapping[str, Node], above_of: Mapping[str, str | None]
) -> dict[str, str]:
    """The value that the options of each mixture read."""
    read: dict[str, set[str]] = {name: set() for name in mixes}
    for node in graph.nodes:
        above = above_of[node.name]
        if above is not None:
            outside = (x for x in node.inputs if above_of.get(x) != above)
            read[above] |= {x for x in outside if not isinstance(graph.types[x], WeightsType)}
    for name, values in read.items():
        if len(values) != 1:
            raise NasirError(
                "E505",
                f"the options of {quoted(name)} read {len(values)} values from outside, not one",
                mixes[name].place,
                hint="it takes a supernet as nasir.supernet makes it: options below their mixture",
            )
    return {name: values.pop() for name, values in read.items()}


def _rebuild(b: Scope, node: Node, names: Mapping[str, str]) -> None:
    """Adds the node with renamed inputs; weights keep their keys and change their shapes."""
    node = node.rewired(names)
    types = tuple(b.types[name] for name in node.inputs)
    found = meaning_at(node.op, node.attrs, types, node.place)
    params = zip(node.params, found.params, strict=True)
    fitted = tuple(replace(ref, shape=spec.shape, init=spec.init) for ref, spec in params)
    b.nodes.append(replace(node, params=fitted))
    b.types[node.name] = found.type


def _first(b: Scope, mix: Node, source: str, parts: int) -> str:
    """The first part of the channels, added at its first use."""
    name = f"{mix.name}.first"
    if name in b.types:
        return name
    channels = b.channels(source)
    if channels % parts:
        raise NasirError(
            "E302",
            f"the {channels} channels of {quoted(source)} cannot be divided by {parts}",
            mix.place,
            hint=f"choose channels that are a multiple of {parts}",
        )
    b.at = mix.at and mix.at.option("")  # the options read it
    return b("channels", source, name=name, count=channels // parts)


def _close(b: Scope, graph: Graph, mix: Node, source: str, parts: int) -> None:
    """Adds the mixture, the bypass, and both shuffled under the mixture's old name."""
    first, name = _first(b, mix, source, parts), f"{mix.name}.mix"
    _rebuild(b, replace(mix, name=name), {source: first})
    if b.channels(name) != b.channels(first):
        message = f"the options of {quoted(mix.name)} change the number of channels"
        raise NasirError("E302", message, mix.place)
    b.at = mix.at
    start = b.channels(first)
    count = b.channels(source) - start
    rest = b("channels", source, name=f"{mix.name}.rest", start=start, count=count)
    before, after = graph.types[source].shape[1:], b.type(name).shape[1:]
    if before != after:
        odd = tuple(size % 2 for size in before)
        if after != tuple((size + rest) // 2 for size, rest in zip(before, odd, strict=True)):
            raise NasirError(
                "E302",
                f"channels that pass by {quoted(mix.name)} cannot become as small as its options "
                f"make {graph.types[source]}: only half",
                mix.place,
            )
        window: dict[str, Any] = {"kernel": 2, "stride": 2}
        if any(odd):
            window |= {"kernel": (2 + odd[0], 2 + odd[1]), "padding": odd}
        rest = b("max_pool", rest, name=f"{mix.name}.pool", **window)
    joined = b("concat", name, rest, name=f"{mix.name}.join")
    b("channel_shuffle", joined, name=mix.name, groups=parts)


@checked
def edge_weights(graph: Graph, space: SpaceLike) -> Graph:
    """Replaces each sum of edges into a node of a space's supernet by a mixture.

    PC-DARTS, arXiv:1907.05737, equation 3 (its β), for any space with ops on edges. The choice of
    a node is called `normal/n3`, is of the kind "edge into node" and follows the choices of the
    node's edges. Its options are the states that the node reads; the space (or argument of
    `load_space`) has the number that it keeps. Nodes with one edge and nodes that are means of
    their edges are unchanged.

    Raises an error if there is no such sum (recurrent cells have none), or if the graph has other
    edges than the space, and the errors of `load_space`.
    """
    space = as_space(space)
    chooses = {each.slot: each for tree in space.trees for each in tree.walk}
    found: dict[Slot, Choice] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        slot = _weighable(graph, node)
        if slot is None:
            nodes.append(node)
            continue
        none = Choice(str(slot), slot.role, ())
        choice = found[slot] = chooses[slot].choice if slot in chooses else none
        _check_edges(graph, node, choice, space)
        nodes.append(_weighed(node, choice))
    if not found:
        raise NasirError(
            "E505",
            "the graph has no sum of edges into a node of a cell",
            hint="it takes a supernet of images, with ops on edges, whose edges have no weights",
        )
    return _with_choices(graph, nodes, found)


def _weighable(graph: Graph, node: Node) -> Slot | None:
    """The slot of a node that sums several mixtures of ops on edges."""
    slot = node.at.slot if node.at else None
    if slot is None or slot.role != "edge into node" or not node.has("sum"):
        return None
    edges = [graph[name].at for name in node.inputs if name in graph]
    mixed = len(edges) > 1 and all(at and at.op == MIXED for at in edges)
    return slot if mixed and len(edges) == len(node.inputs) else None


def _check_edges(graph: Graph, node: Node, choice: Choice, space: Space) -> None:
    """Raises an error if the node has other edges than in the space."""
    places = (graph[name].at for name in node.inputs)
    sources = [str(at.slot.source) for at in places if at and at.slot]
    if sources != list(choice.options):
        raise NasirError(
            "E505",
            f"node {quoted(node.name)} has edges from nodes {', '.join(sources)}; "
            f"in the space '{space.name}' from: {', '.join(choice.options) or 'none'}",
            node.place,
            hint="give the space that the supernet was made of",
        )


def _weighed(node: Node, choice: Choice) -> Node:
    attrs = MixAttrs(options=tuple(range(len(node.inputs))))
    return replace(node, op=MIX, inputs=(choice.name, *node.inputs), attrs=attrs)


def _with_choices(graph: Graph, nodes: Sequence[Node], found: Mapping[Slot, Choice]) -> Graph:
    """The graph with these nodes and with each found choice after those of its node's edges."""
    above = [replace(c.slot, role="edge into node", source=0) for c in graph.choices]
    choices: list[Choice] = []
    for place, choice in enumerate(graph.choices):
        choices.append(choice)
        if above[place] in found and above[place] not in above[place + 1 :]:
            choices.append(found[above[place]])
    names = {choice.name for choice in choices}
    weights = [(choice.name, WeightsType(len(choice.options))) for choice in choices]
    first = next(place for place, (name, _) in enumerate(graph.inputs) if name in names)
    later = (row for row in graph.inputs[first:] if row[0] not in names)
    inputs = (*graph.inputs[:first], *weights, *later)
    return replace(graph, nodes=tuple(nodes), inputs=inputs, choices=tuple(choices))


@checked
def drop_path(graph: Graph) -> Graph:
    """The graph in which training drops paths, with the probability in its input `drop_path`.

    In a supernet a path is the mixture of ops of an edge (RobustDARTS, arXiv:1909.09656); in a
    network without choices it is the result of an op on an edge, except identities and zeros, as
    the DARTS family evaluates: a skip at stride 2 is no identity. Examples are dropped
    independently, and kept ones divided by the share that is kept. The dropped value of `x` is
    `x.drop`; nodes and weights keep their names and keys.

    Apply it before passes that share values; `partial_channels` and `edge_weights` can be applied
    before or after it. Raises an error if the name of the input is taken, if the graph has no path
    (ops on nodes are none), or if paths are dropped already.
    """
    if PROBABILITY in graph.types:
        if any(node.op is DROP_PATH for node in graph):
            raise NasirError("E505", "the graph drops paths already")
        raise NasirError("E401", f"the name {quoted(PROBABILITY)} is taken")
    found = frozenset(_paths(graph))
    if not found:
        raise NasirError(
            "E505",
            "the graph has no path to drop",
            hint="drop path takes cells of images with ops on edges, before passes",
        )

    def step(node: Node) -> tuple[Iterable[Node], str]:
        if node.name not in found:
            return (node,), node.name
        inputs = (node.name, PROBABILITY)
        dropped = Node(f"{node.name}.drop", DROP_PATH, inputs, NoAttrs(), at=node.at)
        return (node, dropped), dropped.name

    given = replace(graph, inputs=(*graph.inputs, (PROBABILITY, WeightsType(1))))
    return rewritten(given, step)


def _paths(graph: Graph) -> Iterator[str]:
    """The results of mixtures of ops, or of ops other than identities, on edges of images.

    Raises an error if an op has several results.
    """
    for members in _on_edges(graph).values():
        inside = {node.name for node in members}
        read = [
            node
            for node in members
            if node.name in graph.results or not inside.issuperset(graph.readers[node.name])
        ]
        if len(read) > 1:
            raise NasirError(
                "E505",
                f"the op {quoted(read[0].name)} has {len(read)} values that others read",
                read[0].place,
                hint="drop paths before passes that share values",
            )
        images = (node for node in read if isinstance(graph.types[node.name], ImageType))
        yield from (node.name for node in images if graph.choices or not _adds_nothing(graph, node))


def _on_edges(graph: Graph) -> dict[At, list[Node]]:
    """The mixtures of ops on edges (in a graph without choices the ops), each with its nodes."""
    found: dict[At, list[Node]] = {}
    for node in graph:
        if node.at and node.at.steps:
            slot, op = node.at.steps[0]
            if slot.role == "op on edge" and (op == MIXED) == bool(graph.choices):
                found.setdefault(At(node.at.cell, node.at.steps[:1]), []).append(node)
    return found


def _adds_nothing(graph: Graph, node: Node) -> bool:
    """True if the node is an identity or zero."""
    if not isinstance(node.op, Macro):
        return node.has("zero")
    found = template(node.op, node.attrs, graph.types_of(node))
    last = next((inner for inner in found.nodes if inner.name == found.output), None)
    return last is None or last.has("zero")

"""The ops of a mixture see a part of the channels, and the rest passes by."""

from collections.abc import Mapping
from dataclasses import replace

from nasir.errors import NasirError, quoted
from nasir.graph import Graph
from nasir.node import MIXED, At, Node
from nasir.template import Scope, meaning_at
from nasir.types import ImageType, WeightsType
from nasir.wanted import checked

_KINDS = ("op on edge", "op on node")
_META = "partial_channels"


@checked
def partial_channels(graph: Graph, parts: int) -> Graph:
    """The supernet whose mixtures of ops see the first of `parts` equal parts of the channels.

    Of C channels the ops read and compute C / parts. The others pass by, through the maximum of
    each 2x2 square where the ops halve the image; then both are joined and shuffled in `parts`
    groups, so that the next ops see channels of both. PC-DARTS, arXiv:1907.05737, equation 2,
    whose K is `parts`. One part is all of them: the graph comes back as it is.

    Nodes and weights keep their names and keys. The result has the name that the mixture had,
    `c00/n2.e0`; the mixture is `c00/n2.e0.mix`, beside `.first`, `.rest`, `.pool` and `.join`.

    Raises an error for fewer than one part, or where channels or images cannot be divided, or for a
    graph without choices of ops on images, or whose channels are partial already.
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
    """The mixtures of ops, by name. Raises an error when there is none."""
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
    """For each node the mixture that it is an option of, or a part of one."""
    places = {mix.at: name for name, mix in mixes.items()}
    found = ((node.name, node.at) for node in graph.nodes)
    return {
        name: places.get(At(at.cell, at.steps[:1]).option(MIXED)) if at and at.steps else None
        for name, at in found
    }


def _sources(
    graph: Graph, mixes: Mapping[str, Node], above_of: Mapping[str, str | None]
) -> dict[str, str]:
    """For each mixture the one value from outside that its options read."""
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
    """Adds the node reading `names[x]` for x; its weights keep their keys, not their shapes."""
    node = node.rewired(names)
    types = tuple(b.types[name] for name in node.inputs)
    found = meaning_at(node.op, node.attrs, types, node.place)
    params = zip(node.params, found.params, strict=True)
    fitted = tuple(replace(ref, shape=spec.shape, init=spec.init) for ref, spec in params)
    b.nodes.append(replace(node, params=fitted))
    b.types[node.name] = found.type


def _first(b: Scope, mix: Node, source: str, parts: int) -> str:
    """The first part of the channels, made when it is first asked for."""
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
    """Adds the mixture, what passes it by, and both shuffled under the mixture's old name."""
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
        if before != tuple(2 * size for size in after):
            raise NasirError(
                "E302",
                f"channels that pass by {quoted(mix.name)} need an even height and width, "
                f"not {graph.types[source]}",
                mix.place,
                hint="choose an image size that the reductions divide evenly",
            )
        rest = b("max_pool", rest, name=f"{mix.name}.pool", kernel=2, stride=2)
    joined = b("concat", name, rest, name=f"{mix.name}.join")
    b("channel_shuffle", joined, name=mix.name, groups=parts)

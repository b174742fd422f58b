"""Fuses batch norms, and convolutions, that read the same value."""

from collections.abc import Iterable
from dataclasses import replace

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops.fused import CONV_BANK, ConvBankAttrs
from nasir.ops.layers import CHANNELS, CROP, ChannelsAttrs, ConvAttrs, CropAttrs, slid
from nasir.passes.rewriting import in_bodies, rewritten
from nasir.template import make_attrs
from nasir.types import ImageType

_Key = tuple[object, ...]
_Offset = tuple[int, int]


@in_bodies
def share_norms(graph: Graph) -> Graph:
    """Merges batch norms that differ only in running statistics; the result keeps all of these.

    In a supernet every edge that pools a state normalises the same values. Results and running
    statistics are bitwise equal in training; in evaluation each norm reads its own statistics.
    """
    found: dict[_Key, list[Node]] = {}

    def step(node: Node) -> tuple[Iterable[Node], str]:
        if not node.has("channel_affine") or not all(ref.buffer for ref in node.params):
            return (node,), node.name
        nodes = found.setdefault((node.op, node.inputs, node.attrs), [])
        nodes.append(node)
        return (node,) if len(nodes) == 1 else (), nodes[0].name

    after = rewritten(graph, step)
    if after is graph:
        return graph
    shared = {nodes[0].name: _together(nodes) for nodes in found.values() if len(nodes) > 1}
    return after.with_nodes(shared.get(node.name, node) for node in after)


def _together(nodes: list[Node]) -> Node:
    first = nodes[0]
    attrs = make_attrs(first.op, dict(first.attrs) | {"copies": len(nodes)})
    return replace(first, attrs=attrs, params=tuple(ref for node in nodes for ref in node.params))


@in_bodies
def horizontal(graph: Graph) -> Graph:
    """Fuses dense convolutions of one value with equal windows; each becomes some of the channels.

    1x1 convolutions of the value and of its crops, as in a factorized reduce, become points of one
    window. Weights are unchanged and concatenated only during the step. Depthwise convolutions are
    unchanged: mixed sums contain theirs, and a grouped convolution of torch is no faster. Equal up
    to rounding.
    """
    made: dict[str, Node] = {}
    parts: dict[str, Node] = {}
    for nodes in _groups(graph):
        bank = _bank(graph, nodes)
        made[nodes[0].name] = bank
        parts |= _parts(nodes, bank)
    if not made:
        return graph
    kept: list[Node] = []
    for node in graph.nodes:
        if node.name in made:
            kept.append(made[node.name])
        kept.append(parts.get(node.name, node))
    return graph.with_nodes(kept)


def _groups(graph: Graph) -> list[list[Node]]:
    """The convolutions to fuse, by group."""
    found: dict[_Key, list[Node]] = {}
    for node in graph.nodes:
        if isinstance(node.attrs, ConvAttrs) and _is_dense(node, node.attrs):
            found.setdefault(_key(graph, node, node.attrs), []).append(node)
    groups: list[list[Node]] = []
    for nodes in found.values():
        if _fits(graph, nodes):
            groups.append(nodes)
        else:
            groups += ([n for n in nodes if n.inputs == i] for i in {n.inputs: 0 for n in nodes})
    return [nodes for nodes in groups if len(nodes) > 1]


def _is_dense(node: Node, attrs: ConvAttrs) -> bool:
    """True for a convolution of all channels with a weight that is not derived."""
    return attrs.groups == 1 and not attrs.bias and not any(ref.parts for ref in node.params)


def _key(graph: Graph, node: Node, attrs: ConvAttrs) -> _Key:
    """Equal for convolutions that can be fused; they belong to one cell, which is one call."""
    source, _ = _source(graph, node)
    shape = graph.types[node.name].shape[1:]
    return (source, attrs.kernel, attrs.stride, attrs.margins, attrs.dilation, shape, node.cell)


def _source(graph: Graph, node: Node) -> tuple[str, _Offset]:
    """The convolution's input and (0, 0); for a point, the cropped value and the offset."""
    (name,) = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ConvAttrs)
    crop = graph.by_name.get(name)
    if crop and crop.op is CROP and attrs.kernel == (1, 1) and attrs.margins == (0, 0):
        assert isinstance(crop.attrs, CropAttrs)
        offset = (crop.attrs.top, crop.attrs.left)
        if all(o < s for o, s in zip(offset, attrs.stride, strict=True)):
            return crop.inputs[0], offset
    return name, (0, 0)


def _offsets(graph: Graph, nodes: Iterable[Node]) -> tuple[_Offset, ...]:
    return tuple(_source(graph, node)[1] for node in nodes)


def _fits(graph: Graph, nodes: list[Node]) -> bool:
    """True if the window around all offsets gives results of the same size."""
    offsets = _offsets(graph, nodes)
    if not any(any(offset) for offset in offsets):
        return True
    attrs, made = nodes[0].attrs, graph.types[nodes[0].name]
    x = graph.types[_source(graph, nodes[0])[0]]
    assert isinstance(attrs, ConvAttrs)
    assert isinstance(x, ImageType)
    return slid(x, _window(offsets), attrs.stride, (0, 0), (1, 1)).shape[1:] == made.shape[1:]


def _window(offsets: Iterable[_Offset]) -> _Offset:
    """The smallest window around these points."""
    rows, columns = zip(*offsets, strict=True)
    return max(rows) + 1, max(columns) + 1


def _bank(graph: Graph, nodes: list[Node]) -> Node:
    first = nodes[0]
    attrs = [node.attrs for node in nodes if isinstance(node.attrs, ConvAttrs)]
    offsets = _offsets(graph, nodes) if len({node.inputs for node in nodes}) > 1 else ()
    return replace(
        first,
        name=f"{first.name}+bank",
        op=CONV_BANK,
        inputs=(_source(graph, first)[0],) if offsets else first.inputs,
        attrs=ConvBankAttrs(
            outs=tuple(each.out for each in attrs),
            kernel=_window(offsets) if offsets else attrs[0].kernel,
            stride=attrs[0].stride,
            padding=attrs[0].margins,
            dilation=(1, 1) if offsets else attrs[0].dilation,
            rows=tuple(row for row, _ in offsets),
            columns=tuple(column for _, column in offsets),
        ),
        params=tuple(node.params[0] for node in nodes),
    )


def _parts(nodes: list[Node], bank: Node) -> dict[str, Node]:
    """The nodes that replace the convolutions, by name."""
    assert isinstance(bank.attrs, ConvBankAttrs)
    outs = bank.attrs.outs
    attrs = (ChannelsAttrs(start=sum(outs[:i]), count=out) for i, out in enumerate(outs))
    taken = {"op": CHANNELS, "inputs": (bank.name,), "params": ()}
    return {n.name: replace(n, attrs=a, **taken) for n, a in zip(nodes, attrs, strict=True)}

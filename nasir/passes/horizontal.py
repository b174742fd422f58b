"""Convolutions that read one value become one convolution."""

from dataclasses import replace

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops.conv import ConvAttrs
from nasir.ops.fused import CONV_BANK, PART, ConvBankAttrs, PartAttrs
from nasir.passes.bodies import in_bodies

_Key = tuple[object, ...]


@in_bodies
def horizontal(graph: Graph) -> Graph:
    """Dense convolutions of one value with equal windows become one, and each a part of it.

    Their weights stay what they are and lie side by side only while the step runs. Depthwise
    convolutions are left alone: mixed sums have theirs, and as one grouped convolution of torch
    they are no faster. The result is the same up to rounding.
    """
    groups: dict[_Key, list[Node]] = {}
    for node in graph.nodes:
        attrs = node.attrs
        if isinstance(attrs, ConvAttrs) and _is_dense(node, attrs):
            groups.setdefault(_key(node, attrs), []).append(node)
    banks = {nodes[0].name: nodes for nodes in groups.values() if len(nodes) > 1}
    if not banks:
        return graph
    parts = {node.name: part for nodes in banks.values() for node, part in _parts(graph, nodes)}
    made: list[Node] = []
    for node in graph.nodes:
        if node.name in banks:
            made.append(_bank(banks[node.name]))
        made.append(parts.get(node.name, node))
    return graph.with_nodes(made)


def _is_dense(node: Node, attrs: ConvAttrs) -> bool:
    """Whether it is a convolution of all channels, with a weight of its own alone."""
    return attrs.groups == 1 and not attrs.bias and not any(ref.parts for ref in node.params)


def _key(node: Node, attrs: ConvAttrs) -> _Key:
    """Equal for convolutions that can be one; those of one cell only, which is called as one."""
    return (node.inputs, attrs.kernel, attrs.stride, attrs.margins, attrs.dilation, node.cell)


def _bank(nodes: list[Node]) -> Node:
    first = nodes[0]
    attrs = [node.attrs for node in nodes if isinstance(node.attrs, ConvAttrs)]
    return replace(
        first,
        name=f"{first.name}+bank",
        op=CONV_BANK,
        attrs=ConvBankAttrs(
            outs=tuple(each.out for each in attrs),
            kernel=attrs[0].kernel,
            stride=attrs[0].stride,
            padding=attrs[0].margins,
            dilation=attrs[0].dilation,
        ),
        params=tuple(node.params[0] for node in nodes),
    )


def _parts(graph: Graph, nodes: list[Node]) -> list[tuple[Node, Node]]:
    bank = f"{nodes[0].name}+bank"
    return [
        (
            node,
            replace(
                node,
                op=PART,
                inputs=(bank,),
                attrs=PartAttrs(number=number, channels=graph.types[node.name].shape[0]),
                params=(),
            ),
        )
        for number, node in enumerate(nodes)
    ]

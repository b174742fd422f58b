"""Open decisions are decided."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from nasir.errors import NasirError, nearest, quoted
from nasir.graph import Choice, Graph
from nasir.node import Node
from nasir.ops import PRIMITIVES, OpSpec
from nasir.ops.choice import MixAttrs, StrideAttrs
from nasir.ops.spec import NoAttrs
from nasir.passes.bodies import with_bodies, without_unread
from nasir.wanted import checked

Picks = Mapping[str, Sequence[int]]
"""Of a choice, by its name, the options that are kept; none drops what the choice decides."""


def resolve(graph: Graph, picks: Picks) -> Graph:
    """The graph in which every choice in `picks` has only these options, each with weight 1.

    A mixture becomes the value of its option, the sum of several, or zeros of none, and the
    choice's weights are no longer an input. What is not picked is left to `dead-code`. The result
    equals the graph given one-hot weights, bitwise where one option is picked. Raises an error for
    an unknown choice, or for an option that is not there.
    """
    check_picks(graph, picks)
    graph = without_unread(_resolved(graph, picks))
    return replace(
        graph,
        inputs=tuple((name, type_) for name, type_ in graph.inputs if name not in picks),
        choices=tuple(choice for choice in graph.choices if choice.name not in picks),
    )


@checked
def restrict(graph: Graph, kept: Picks) -> Graph:
    """The supernet in which the mixtures of the choices in `kept` have only these options.

    The choices and the length of their weights stay; the weights of other options are not read.
    Equal to the supernet with weights of 0 there. What is left out is left to `dead-code`. Raises
    an error where nothing is kept.
    """
    check_picks(graph, kept)
    for name, options in kept.items():
        if not options:
            message = f"the choice {quoted(name)} would keep no option"
            raise NasirError("E211", message, hint="`resolve` drops what a choice decides")
    return without_unread(_restricted(graph, kept))


def _restricted(graph: Graph, kept: Picks) -> Graph:
    graph = with_bodies(graph, partial(_restricted, kept=kept))
    return replace(graph, nodes=tuple(_fewer(node, kept) for node in graph.nodes))


def _fewer(node: Node, kept: Picks) -> Node:
    """A mixture of the options that are kept, or zeros of none; any other node as it is.

    Of none is a mixture that does not have all options: a state that may leave its cell.
    """
    if not node.has("mixture") or node.inputs[0] not in kept:
        return node
    options: tuple[int, ...] = dict(node.attrs)["options"]
    wanted = kept[node.inputs[0]]
    pairs = tuple((v, o) for v, o in zip(node.inputs[1:], options, strict=True) if o in wanted)
    if not pairs:
        return _joined(node, ())
    attrs = MixAttrs(options=tuple(option for _, option in pairs))
    return replace(node, inputs=(node.inputs[0], *(value for value, _ in pairs)), attrs=attrs)


def check_picks(graph: Graph, picks: Picks) -> None:
    """Raises an error for an unknown choice, or for an option that is not there."""
    known = {choice.name: choice for choice in graph.choices}
    for name, options in picks.items():
        _check(name, options, known)


def _check(name: str, options: Sequence[int], known: Mapping[str, Choice]) -> None:
    if name not in known:
        message = f"there is no choice {quoted(name)}"
        raise NasirError("E401", message, hint=nearest(name, known))
    count = len(known[name].options)
    for option in options:
        if not 0 <= option < count:
            message = f"the choice {quoted(name)} has no option {option}"
            raise NasirError("E202", message, hint=f"it has {count}, from 0")


def _resolved(graph: Graph, picks: Picks) -> Graph:
    """The same with the inputs left in place."""
    graph = with_bodies(graph, partial(_resolved, picks=picks))
    alias: dict[str, str] = {}
    kept: list[Node] = []
    for old in graph.nodes:
        node = old.rewired(alias)
        if not node.has("mixture") or node.inputs[0] not in picks:
            kept.append(node)
            continue
        options: tuple[int, ...] = dict(node.attrs)["options"]
        wanted = picks[node.inputs[0]]
        values = [v for v, o in zip(node.inputs[1:], options, strict=True) if o in wanted]
        if len(values) == 1:
            alias[node.name] = values[0]
        else:
            kept.append(_joined(node, values))
    choices = tuple(choice for choice in graph.choices if choice.name not in picks)
    return replace(graph.aliased(kept, alias), choices=choices)


def _joined(mix: Node, values: Sequence[str]) -> Node:
    """The sum of several values, or zeros, in the place of a mixture."""
    if values:
        return _node(mix, PRIMITIVES["add"], tuple(values), NoAttrs())
    return _node(mix, PRIMITIVES["zero"], (mix.inputs[1],), StrideAttrs())


def _node(mix: Node, op: OpSpec, inputs: tuple[str, ...], attrs: NoAttrs | StrideAttrs) -> Node:
    return replace(mix, op=op, inputs=inputs, attrs=attrs)

"""Weights for a wider network: the channels of a narrower one, some of them several times."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lowering.torch.store import generator
from nasir import Graph, NasirError, Node, run_passes
from nasir.arguments import checked
from nasir.ops import ParamRef
from nasir.ops.layers import ConvAttrs, LinearAttrs
from nasir.passes import PLAIN

Duplicates = tuple[int, ...]
"""For each new channel of a widened axis, the old one that it copies."""


@dataclass(frozen=True, slots=True)
class Widened:
    """The state of the wider network by key, and its momentum buffers."""

    state: dict[str, Tensor]
    momentum: dict[str, Tensor]


@checked
def widen(
    narrow: Mapping[str, Tensor],
    graph: Graph,
    seed: int,
    momentum: Mapping[str, Tensor] | None = None,
) -> Widened:
    """The weights of a narrower network made wide enough for `graph`, momentum buffers likewise.

    `graph` is the wider network before any pass, as it is given to `to_torch`.

    On every axis that grows the old channels come first; each new one is a copy of an old one,
    drawn uniformly with replacement. What is drawn depends on the seed and the weight's key alone.
    As in DrNAS, arXiv:2006.10355, and its code:

    - a convolution draws its outputs; one without groups takes its inputs by the draw of the
      convolution behind which it stands, and draws them where it reads anything else;
    - a grouped convolution draws both, aligned with nothing;
    - a batch norm goes by the convolution before it; behind joined convolutions by their draws
      one after the other, as numbers in each alone (the second half is misaligned there, too).

    Nothing is rescaled, so the function is not preserved. What does not grow is copied. Raises an
    error where keys differ, or a shape is smaller or cannot grow.
    """
    momentum = momentum or {}
    graph, _ = run_passes(graph, PLAIN)
    refs = {ref.key: ref for ref in graph.params}
    _check_keys(narrow, refs, momentum)
    growth = _growth(graph, {key: tuple(value.shape) for key, value in narrow.items()}, seed)
    state = {key: _grown(narrow[key], growth.get(key, {})) for key in refs}
    buffers = {key: _grown(value, growth.get(key, {})) for key, value in momentum.items()}
    return Widened(state, buffers)


def _check_keys(
    narrow: Mapping[str, Tensor], refs: Mapping[str, ParamRef], momentum: Mapping[str, Tensor]
) -> None:
    missing = [key for key in refs if key not in narrow]
    unexpected = [key for key in (*narrow, *momentum) if key not in refs]
    if missing or unexpected:
        first = f"'{missing[0]}' is missing" if missing else f"'{unexpected[0]}' is unexpected"
        raise NasirError(
            "E503",
            f"the narrower network's weights do not fit the wider one: {first}",
            hint="both are one supernet, with other channels or parts of them",
        )
    for key, value in momentum.items():
        if value.shape != narrow[key].shape:
            shapes = f"{list(value.shape)}, its weight {list(narrow[key].shape)}"
            raise NasirError("E503", f"the momentum of '{key}' has shape {shapes}")


Shapes = Mapping[str, tuple[int, ...]]
Growth = Mapping[int, Duplicates]
"""The duplicates of a weight on each axis that grows."""


def _growth(graph: Graph, before: Shapes, seed: int) -> dict[str, Growth]:
    """Returns the growth of every weight by key, a convolution's draw followed to what reads it."""
    growth: dict[str, Growth] = {}
    drawn: dict[str, Duplicates] = {}
    for node in graph.nodes:
        known = _known(node, drawn)
        for ref in node.params:
            growth[ref.key] = _axes(node, ref, before, seed, known)
        if node.params and not node.body:
            drawn[node.name] = growth[node.params[0].key].get(0, ())
        elif known is not None and _passes_on(node):
            drawn[node.name] = known
    return growth


def _passes_on(node: Node) -> bool:
    """True if the node's channels are those that it reads, one value's after the other's."""
    return len(node.inputs) == 1 if node.has("elementwise") else node.has("join")


def _known(node: Node, drawn: Mapping[str, Duplicates]) -> Duplicates | None:
    """The draws of all that the node reads, one after the other; None unless all are known."""
    found: Duplicates = ()
    for name in node.inputs:
        if name not in drawn:
            return None
        found += drawn[name]
    return found


def _axes(node: Node, ref: ParamRef, before: Shapes, seed: int, known: Duplicates | None) -> Growth:
    """The duplicates on each axis of one of the node's weights."""
    grown = _grown_axes(node, ref, before[ref.key])
    found: dict[int, Duplicates] = {}
    for axis, count in grown.items():
        follows = node.has("channel_affine") or (axis == 1 and _groups(node) == 1)
        if follows and known is not None and len(known) == count:
            found[axis] = known
        else:
            label = f"widen {axis} {node.params[0].key}"  # what a node has on an axis goes together
            found[axis] = _draw(seed, label, before[ref.key][axis], count)
    return found


def _grown_axes(node: Node, ref: ParamRef, shape: tuple[int, ...]) -> dict[int, int]:
    """By how much each axis grows."""
    sizes = dict(enumerate(zip(shape, ref.shape, strict=False)))
    grown = {axis: new - old for axis, (old, new) in sizes.items() if new != old}
    able = node.has("channel_affine") or isinstance(node.attrs, (ConvAttrs, LinearAttrs))
    fits = len(shape) == len(ref.shape) and all(axis < 2 and grown[axis] > 0 for axis in grown)
    if not fits or (grown and not able):
        raise NasirError(
            "E503",
            f"'{ref.key}' has shape {list(shape)}, which cannot grow to {list(ref.shape)}",
            hint="channels of convolutions, linear maps and batch norms can grow, never shrink; "
            "the graph is that which is lowered, not the one that a module runs",
        )
    return grown


def _groups(node: Node) -> int:
    return node.attrs.groups if isinstance(node.attrs, ConvAttrs) else 1


def _draw(seed: int, label: str, channels: int, count: int) -> Duplicates:
    drawn = torch.randint(channels, (count,), generator=generator(seed, label))
    return tuple(int(channel) for channel in drawn)


def _grown(value: Tensor, growth: Growth) -> Tensor:
    """A copy of the weight with the duplicates behind the old channels."""
    value = value.detach()
    for axis, duplicates in growth.items():
        index = torch.tensor((*range(value.shape[axis]), *duplicates), device=value.device)
        value = value.index_select(axis, index)
    return value.clone()

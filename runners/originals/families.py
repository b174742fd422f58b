"""Original implementations with importable weights: detection, sizes, tensor names."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nasir import Genotype, Graph, NasirError, Space
from nasir.errors import quoted
from nasir.space.cells import Design

State = Mapping[str, Tensor]

Group = tuple[str, tuple[str, ...]]
"""An original name and the network's keys, in full or as prefixes.

Prefixes end in a dot or a slash. All tensors below the name correspond in order to those below the
keys.

Both sides have convolutions and batch norms in execution order, and a batch norm as weight, bias,
mean, variance.
"""


@dataclass(frozen=True, slots=True)
class Family:
    """Networks of one implementation. `marks` are prefixes of tensor names in all of them.

    `size` reads a network's size from its state, and raises an error if it cannot. `tied` are
    tensors equal to others, by name; `optional` are prefixes of tensors that nasir's network may
    lack. A `supernet` belongs to a space, other networks to a genotype.
    """

    name: str
    marks: tuple[str, ...]
    size: Callable[[State], dict[str, Any]]
    groups: Callable[[Any, Graph], Iterable[Group]]
    tied: Mapping[str, str] = field(default_factory=dict[str, str])
    optional: tuple[str, ...] = ()
    supernet: bool = False


def family_of(state: State) -> Family:
    """Returns the family of a state. Raises an error for an unknown one."""
    for family in FAMILIES:
        if all(any(name.startswith(mark) for name in state) for mark in family.marks):
            return family
    names = ", ".join(quoted(name) for name in list(state)[:4])
    known = "; ".join(family.name for family in FAMILIES)
    message = f"the weights are of an unknown network: {names}, …"
    raise NasirError("E503", message, hint=f"known are {known}")


def _image_size(state: State) -> dict[str, Any]:
    """Reads the size of an image network. Raises an error if a part cannot be read."""
    skeleton, first, last, factor = next((stem for stem in _STEMS if stem[2] in state), _STEMS[0])
    cells = {name.split(".")[1] for name in state if name.startswith("cells.")}
    if cells != {str(number) for number in range(len(cells))}:
        found = ", ".join(quoted(each) for each in sorted(cells)[:4])
        raise _unsized(f"its cells are {found}, …")
    size = {
        "skeleton": skeleton,
        "channels": _length(state, last) // factor,
        "layers": len(cells),
        "classes": _length(state, "classifier.weight"),
    }
    read = state[first].shape if first in state else ()
    return size | ({"in_channels": read[1]} if len(read) == 4 else {})


_STEMS = (
    ("cifar", "stem.0.weight", "stem.0.weight", 3),
    ("cifar", "stem.conv.weight", "stem.conv.weight", 3),
    ("imagenet", "stem0.0.weight", "stem0.3.weight", 1),
    ("imagenet", "stem0.conv1.weight", "stem0.conv2.weight", 1),
)
"""Skeleton, first and last convolution of the stem, and the factor of its channels."""


def _darts_size(state: State) -> dict[str, Any]:
    """Reads the size.

    An auxiliary head with a batch norm after its last convolution (AutoDL) is not that of nasir's
    ImageNet networks, which lack it as published.
    """
    size = _image_size(state)
    head = any(name.startswith("auxiliary_head.") for name in state)
    foreign = size["skeleton"] == "imagenet" and "auxiliary_head.features.6.weight" in state
    return size | {"auxiliary": head and not foreign}


def _supernet_size(state: State) -> dict[str, Any]:
    """Reads the size. `parts`: ops process 1/parts of the channels."""
    size, below = _image_size(state), "cells.0._ops.0._ops."
    kernels = [name for name in state if name.startswith(below) and name.endswith(".op.1.weight")]
    seen = _length(state, *kernels[:1] or [f"{below}4.op.1.weight"])
    parts = max(1, _length(state, "cells.0.preprocess1.op.1.weight") // max(1, seen))
    skeletons = {"imagenet": "imagenet_search"}
    return size | {"skeleton": skeletons.get(size["skeleton"], size["skeleton"]), "parts": parts}


def _tiny_size(state: State) -> dict[str, Any]:
    size = _image_size(state)
    layers, channels = (size["layers"] - 2) // 3, _length(state, "stem.0.weight")
    return size | {"skeleton": "nasbench201", "channels": channels, "layers": layers}


def _recurrent_size(state: State) -> dict[str, Any]:
    encoder = state.get("encoder.weight")
    if encoder is None or encoder.dim() != 2:
        raise _unsized("'encoder.weight' is not a matrix")
    vocabulary, hidden = encoder.shape
    return {"skeleton": "rnn", "vocabulary": vocabulary, "hidden": hidden}


def _length(state: State, name: str) -> int:
    """Returns the first dimension of a tensor. Raises an error without one."""
    if name not in state:
        raise _unsized(f"there is no tensor '{name}'")
    if not state[name].dim():
        raise _unsized(f"{quoted(name)} is a single number")
    return len(state[name])


def _unsized(what: str) -> NasirError:
    message = f"the size of the network cannot be read from the weights: {what}"
    return NasirError("E503", message, hint="the whole state dict of one network is needed")


def _darts(design: Design, graph: Graph) -> Iterator[Group]:
    """Yields groups of `NetworkCIFAR`, `NetworkImageNet` and supernets.

    AutoDL-Projects has other names of stems and reductions, in the same order.
    """
    yield "stem.", ("stem/",)
    yield "stem0.", ("stem0a/", "stem0b/")
    yield "stem1.", ("stem1/",)
    kinds = {node.cell.name: node.cell.kind for node in graph if node.cell is not None}
    for number, name in enumerate(sorted(kinds)):
        theirs, ours = f"cells.{number}.", f"c{number:02d}/"
        for i in range(2):
            yield f"{theirs}preprocess{i}.", (f"{ours}pre{i}/",)
        kind = kinds[name]
        ops = _options(graph, kind) if isinstance(design, Space) else _ops(design, kind)
        for place, label in ops:
            yield f"{theirs}_ops.{place}.", (f"{ours}{label}/",)
    yield "auxiliary_head.", ("aux/",)
    yield "classifier.", ("head/",)


def _ops(genotype: Genotype, kind: str) -> Iterator[tuple[str, str]]:
    """Yields the number of each op in a cell, by node, and its name: `n2.e0/sep_conv_3x3`."""
    cell, place = genotype.cell(kind), 0
    for number, node in enumerate(cell.nodes, start=cell.inputs):
        labels = [f"n{number}.e{edge.source}/{edge.op}" for edge in node]
        for i, label in enumerate(labels):
            twins = labels[:i].count(label)
            yield str(place), f"{label}#{twins + 1}" if twins else label
            place += 1


def _options(graph: Graph, kind: str) -> Iterator[tuple[str, str]]:
    """Yields names and labels of `E._ops.K`, option K of edge E.

    Edges by target node, then source, which is the order of a cell's choices; options in the
    space's order.
    """
    edges = [choice for choice in graph.choices if choice.slot.kind == kind]
    for edge, choice in enumerate(edges):
        for place, option in enumerate(choice.options):
            yield f"{edge}._ops.{place}", f"{choice.slot.local}/{option}"


def _tiny(genotype: Genotype, graph: Graph) -> Iterator[Group]:
    """Yields groups of `cells`: N cells, a residual reduction, N cells, a reduction, N cells.

    The layers of a cell are its six edges by target, then source, including those of `none`.
    """
    layers = int(graph.about["layers"])
    yield "stem.", ("stem/",)
    for place in range(3 * layers + 2):
        stage, number = divmod(place, layers + 1)
        if number == layers:
            yield f"cells.{place}.", (f"reduce{stage + 1}/",)
            continue
        cell = f"c{stage * layers + number:02d}/"
        for target, node in enumerate(genotype.cell("cell").nodes, start=1):
            for edge in node:
                layer = target * (target - 1) // 2 + edge.source
                key = f"{cell}n{target}.e{edge.source}/{edge.op}/"
                yield f"cells.{place}.layers.{layer}.", (key,)
    yield "lastact.", ("head/bn.",)
    yield "classifier.", ("head/linear.",)


def _recurrent(genotype: Genotype, graph: Graph) -> Iterator[Group]:
    """Yields groups of `RNNModel` with one `DARTSCell`. Encoder and decoder share a weight."""
    del graph
    yield "encoder.", ("embedding.weight",)
    yield "rnns.0._W0", ("cell/n0.weight",)
    for node in range(len(genotype.cell("recurrent").nodes)):
        yield f"rnns.0._Ws.{node}", (f"cell/n{node + 1}.weight",)
    yield "decoder.bias", ("decoder.bias",)


FAMILIES = (
    Family(
        "language models of DARTS",
        ("encoder.weight", "rnns.0._W0"),
        _recurrent_size,
        _recurrent,
        tied={"decoder.weight": "encoder.weight"},
    ),
    Family(
        "NAS-Bench-201's TinyNetwork",
        ("stem.0.weight", "lastact.", "cells.", "classifier.weight"),
        _tiny_size,
        _tiny,
    ),
    Family(
        "supernets of DARTS",
        ("stem", "cells.0.preprocess0.", "cells.0._ops.0._ops.", "classifier.weight"),
        _supernet_size,
        _darts,
        optional=("alphas_", "betas_", "_arch_parameters", "arch_parameters"),
        supernet=True,
    ),
    Family(
        "NetworkCIFAR and NetworkImageNet of DARTS and AutoDL",
        ("stem", "cells.0.preprocess0.", "classifier.weight"),
        _darts_size,
        _darts,
        optional=("auxiliary_head.",),
    ),
)

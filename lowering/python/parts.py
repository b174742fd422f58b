"""The network as a tree of parts: cells, and in and around them blocks of layers, and loops."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Literal

from lowering.python.rules import LOOPS, check_rules
from nasir import Graph, Node, Type, run_passes
from nasir.graph import body_of
from nasir.macros import ALL_OPS
from nasir.node import Cell
from nasir.ops import Macro
from nasir.passes import DISCRETE, cse

Role = Literal["block", "cell", "loop", "network"]


@dataclass(frozen=True, eq=False)
class Part:
    """An instance of a future class.

    It is called with `inputs` and gives `outputs`, which its items know as `reads` and `returns`.
    """

    role: Role
    name: str
    kind: str
    items: "tuple[Node | Part, ...]"
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reads: tuple[str, ...]
    returns: tuple[str, ...]
    summary: str = ""

    def local(self, name: str) -> str:
        """A name without the part's own."""
        return name.removeprefix(f"{self.name}/").removeprefix(f"{self.name}\0")

    @property
    def nodes(self) -> Iterator[Node]:
        """All nodes, those of inner parts included."""
        for item in self.items:
            yield from nodes_of(item)

    @property
    def parts(self) -> "Iterator[Part]":
        """All parts, inner ones first, this one last."""
        for item in self.items:
            if isinstance(item, Part):
                yield from item.parts
        yield self

    @cached_property
    def given(self) -> "list[Part]":
        """The blocks of a cell that only prepare its inputs (`c03/pre0`).

        They differ between the cells of a class, which are made with them.
        """
        parts = [item for item in self.items if isinstance(item, Part) and self.role == "cell"]
        made = {name for item in self.items for name in outputs_of(item)}
        return [
            part
            for part in parts
            if not made.intersection(part.inputs) and not any(node.cell for node in part.nodes)
        ]

    @property
    def values(self) -> dict[str, None]:
        """Returns the values that other items read and do not make."""
        items = [item for item in self.items if item not in self.given]
        made = {name for item in items for name in outputs_of(item)}
        return dict.fromkeys(x for item in items for x in item.inputs if x not in made)


def nodes_of(item: Node | Part) -> Iterable[Node]:
    """The nodes of a part, or the node itself."""
    return item.nodes if isinstance(item, Part) else (item,)


def outputs_of(item: Node | Part) -> tuple[str, ...]:
    """The values that an item makes."""
    return item.outputs if isinstance(item, Part) else (item.name,)


def prepare(graph: Graph) -> Graph:
    """The discrete pipeline's graph, where ops of several layers stay whole.

    The pipeline shares the first ReLU of all separable convolutions that read one state. Here
    each keeps its own, so that it can be a class; what stands alone (pools) is shared as there,
    and has the name of its op in the papers.
    """
    macros = _macros(graph)
    graph, _ = run_passes(graph, [row for row in DISCRETE if row.name != "cse"])
    whole = {
        node.name
        for name, run in _runs(graph.nodes, macros)
        if _is_block(name, run)
        for node in run
    }
    graph = cse(graph, whole)
    names = {
        run[0].name: name
        for name, run in _runs(graph.nodes, macros)
        if name in macros and len(run) == 1 and not run[0].params
    }
    nodes = (replace(n.rewired(names), name=names.get(n.name, n.name)) for n in graph)
    return graph.aliased(nodes, names)


def outline(graph: Graph, original: Graph) -> tuple[Part, Mapping[str, Type]]:
    """The network of a prepared graph, and the types of all values, those in loops included."""
    macros = _macros(original)
    types = dict(graph.types)
    cells = {node.cell.name: node.cell for node in graph if node.cell}

    def around(node: Node) -> Cell | None:
        below = (cell for cell in cells.values() if node.name.startswith(f"{cell.name}/"))
        return node.cell or next(below, None)

    items: list[Node | Part] = []
    for cell, nodes in groupby(graph.nodes, key=around):
        run = tuple(nodes)
        inner = tuple(_items(graph, run, macros, types))
        if cell and any(node.cell for node in run):
            items.append(_prepared(_part(graph, "cell", cell.name, cell.kind, inner)))
        else:
            items += inner
    inputs = tuple(name for name, _ in graph.inputs)
    outputs = (*graph.outputs, *graph.auxiliary)
    network = Part("network", "", "network", tuple(items), inputs, outputs, inputs, outputs)
    check_rules(network.nodes)
    return network, types


def _prepared(cell: Part) -> Part:
    """The cell, with an input of its own for each that a given block reads."""
    slots = {part: tuple(f"{part.name}\0{x}" for x in part.inputs) for part in cell.given}
    made = {x for part in slots for x in part.outputs}
    others = [x for x in cell.values if x not in made]
    inputs = [x for part in slots for x in part.inputs] + others
    reads = [slot for names in slots.values() for slot in names] + others
    items = tuple(
        replace(item, inputs=slots[item]) if isinstance(item, Part) and item in slots else item
        for item in cell.items
    )
    return replace(cell, items=items, inputs=tuple(inputs), reads=tuple(reads))


def _items(
    graph: Graph, nodes: tuple[Node, ...], macros: Mapping[str, Macro], types: dict[str, Type]
) -> Iterator[Node | Part]:
    """The nodes, with stretches that belong together as parts, and loops."""
    for name, run in _runs(nodes, macros):
        if _is_block(name, run):
            macro = macros.get(name)
            kind = macro.name if macro else _kind(name, run[0])
            heads = {node.name.rpartition("/")[0] for node in run}
            part = _part(graph, "block", name if len(heads) > 1 else heads.pop(), kind, run)
            summary = macro.summary if macro else ALL_OPS[kind].summary if kind in ALL_OPS else ""
            yield replace(part, summary=summary)
        else:
            yield from (_loop(node, types) if node.op.name in LOOPS else node for node in run)


def _loop(node: Node, types: dict[str, Type]) -> Part:
    """The body of a node, with names that no other value has; its types become known."""
    body = body_of(node)
    assert body is not None
    names = {name: f"{node.name}\0{name}" for name in body.types}
    types |= {names[name]: type_ for name, type_ in body.types.items()}
    weights = {ref.key: own for ref, own in zip(body.params, node.params, strict=True)}
    items: list[Node | Part] = []
    for inner in body:
        params = tuple(weights[ref.key] for ref in inner.params)
        inner = replace(inner.rewired(names), name=names[inner.name], params=params)
        items.append(_loop(inner, types) if inner.op.name in LOOPS else inner)
    kind = f"{body.about.get('cell', 'body')} cell"
    reads = tuple(names[name] for name, _ in body.inputs)
    returns = tuple(names[name] for name in body.outputs)
    return Part("loop", node.name, kind, tuple(items), node.inputs, (node.name,), reads, returns)


def _part(graph: Graph, role: Role, name: str, kind: str, items: tuple[Node | Part, ...]) -> Part:
    """A part of these items: it reads what others make, and gives what others read."""
    made = [name for item in items for name in outputs_of(item)]
    inside = {*made, *(node.name for item in items for node in nodes_of(item))}
    shown = {*graph.outputs, *graph.auxiliary}
    order = {name: number for number, name in enumerate(graph.types)}
    reads = {x for item in items for x in item.inputs if x not in inside}
    inputs = tuple(sorted(reads, key=order.__getitem__))
    outputs = tuple(x for x in made if x in shown or not inside.issuperset(graph.readers[x]))
    return Part(role, name, kind, items, inputs, outputs, inputs, outputs)


def _macros(graph: Graph) -> Mapping[str, Macro]:
    """The macro that each macro node of an unexpanded graph stands for."""
    return {node.name: node.op for node in graph.nodes if isinstance(node.op, Macro)}


def _runs(
    nodes: tuple[Node, ...], macros: Mapping[str, Macro]
) -> Iterator[tuple[str, tuple[Node, ...]]]:
    """Stretches of nodes of one cell that come from one macro node, with its name.

    Without one, with what their names begin with (`c03/se`).
    """

    def key(node: Node) -> tuple[Cell | None, str]:
        heads = [node.name[:i] for i, letter in enumerate(node.name) if letter == "/"]
        name = next((head for head in heads if head in macros), heads[-1] if heads else "")
        return node.cell, "" if node.cell and name == node.cell.name else name

    for (_, name), run in groupby(nodes, key=key):
        yield name, tuple(run)


def _is_block(name: str, run: tuple[Node, ...]) -> bool:
    """True if a stretch becomes a class of its own: several layers, some with weights."""
    return bool(name) and len(run) > 1 and any(node.params for node in run)


def _kind(name: str, node: Node) -> str:
    """The kind of a block that no macro node stands for: its op, or what its name says."""
    op = node.at.op if node.at else ""
    return op.partition("#")[0] or name.rpartition("/")[2].rstrip("0123456789") or "block"

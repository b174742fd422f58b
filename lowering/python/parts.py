"""The network as a tree of parts: cells, and in and around them blocks of layers, and loops."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Literal

from lowering.python.rules import LOOPS, check_rules
from nasir import Graph, Node, Type, run_passes
from nasir.graph import body_of
from nasir.macros import ALL_OPS
from nasir.node import MIXED, At, Cell, inside, plain_op
from nasir.ops import Macro
from nasir.passes import DISCRETE, cse
from nasir.template import template

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
    own: Mapping[str, str] = field(default_factory=dict[str, str])

    def local(self, name: str) -> str:
        """A name without the part's own; those of a loop are the body's."""
        return self.own.get(name) or inside(name, self.name) or name

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


def outline(
    original: Graph, values: tuple[str, ...]
) -> tuple[Graph, Part, Mapping[str, Type], tuple[str, ...]]:
    """The graph of a file, its network, and the types of all values, those in loops included.

    Also the names there of these values of the original; of none where one is inside a part.
    """
    macros, count = _macros(original), len(original.auxiliary)
    graph = _prepared(replace(original, auxiliary=(*original.auxiliary, *values)), macros)
    graph, ends = replace(graph, auxiliary=graph.auxiliary[:count]), graph.auxiliary[count:]
    if not graph.needed((*graph.outputs, *graph.auxiliary)).issuperset(ends):
        return outline(original, ())  # dead cells were kept for these values alone
    found = _Outline(graph, macros)
    network = found.network()
    check_rules(network.nodes)
    made = {name for item in network.items for name in outputs_of(item)}
    return found.graph, network, found.types, ends if made.issuperset(ends) else ()


def _macros(original: Graph) -> Mapping[str, Node]:
    """The macro node that each node of the expanded graph comes from."""
    return {
        inner.name: node
        for node in original
        if isinstance(node.op, Macro)
        for inner in template(node.op, node.attrs, original.types_of(node)).instance(node)[0]
    }


def _prepared(original: Graph, macros: Mapping[str, Node]) -> Graph:
    """The discrete pipeline's graph, where ops of several layers stay whole.

    The pipeline shares the first ReLU of all separable convolutions that read one state. Here
    each keeps its own, so that it can be a class; what stands alone (pools) is shared as there,
    and has the name of its op in the papers.
    """
    graph, _ = run_passes(original, [row for row in DISCRETE if row.name != "cse"])
    whole = {n.name for run in _runs(graph.nodes, macros) if _is_block(run) for n in run}
    graph = cse(graph, whole)
    alone = [run[0] for run in _runs(graph.nodes, macros) if len(run) == 1 and not run[0].params]
    names = {node.name: macros[node.name].name for node in alone if node.name in macros}
    nodes = (replace(n.rewired(names), name=names.get(n.name, n.name)) for n in graph)
    return graph.aliased(nodes, names)


def _runs(nodes: Iterable[Node], macros: Mapping[str, Node]) -> Iterator[tuple[Node, ...]]:
    """Stretches of nodes of one option of a slot, elsewhere of one macro node; else single ones."""

    def key(node: Node) -> At | Node | str:
        if node.at and node.at.op not in ("", MIXED):
            return node.at
        return macros.get(node.name, node.name)

    return (tuple(run) for _, run in groupby(nodes, key))


def _is_block(run: tuple[Node, ...]) -> bool:
    """True if a stretch becomes a class of its own: several layers, some with weights."""
    return len(run) > 1 and any(node.params for node in run)


class _Outline:
    """The parts of a prepared graph; `types` grows by those of the values in loops."""

    def __init__(self, graph: Graph, macros: Mapping[str, Node]) -> None:
        self.graph, self.types = graph, dict(graph.types)
        self._macros = macros
        self._order = {name: number for number, name in enumerate(graph.types)}

    def network(self) -> Part:
        """All items, each block that only prepares an input of a cell in its cell."""
        runs = [
            (cell, tuple(self._items(run))) for cell, run in groupby(self.graph, lambda n: n.cell)
        ]
        owned = self._owned([item for cell, inner in runs if not cell for item in inner])
        inside = {block for blocks in owned.values() for block in blocks}
        items: list[Node | Part] = []
        for cell, inner in runs:
            if cell:
                inner = (*owned.pop(cell, ()), *inner)
                items.append(_slotted(self._part("cell", cell.name, cell.kind, inner)))
            else:
                items += (item for item in inner if item not in inside)
        inputs = tuple(name for name, _ in self.graph.inputs)
        results = (*self.graph.outputs, *self.graph.auxiliary)
        return Part("network", "", "network", tuple(items), inputs, results, inputs, results)

    def _owned(self, items: Iterable[Node | Part]) -> dict[Cell, list[Part]]:
        """The blocks of these that only one cell reads, if all cells of a kind have as many.

        A block that reads an input of the network (the stem) is in no cell.
        """
        owned: dict[Cell, list[Part]] = {cell: [] for cell in self.graph.cells}
        given = dict(self.graph.inputs)
        for block in (item for item in items if isinstance(item, Part)):
            names = {name for x in block.outputs for name in self.graph.readers[x]}
            cells = {self.graph[name].cell for name in names}
            cell = cells.pop() if len(cells) == 1 else None
            if cell and block.role == "block" and not given.keys() & block.inputs:
                owned[cell].append(block)
        counts = {(cell.kind, len(blocks)) for cell, blocks in owned.items()}
        kinds = Counter(kind for kind, _ in counts)
        return {cell: blocks for cell, blocks in owned.items() if kinds[cell.kind] == 1}

    def _items(self, nodes: Iterable[Node]) -> Iterator[Node | Part]:
        """The nodes, with stretches that belong together as parts, and loops."""
        for run in _runs(nodes, self._macros):
            if not _is_block(run):
                yield from (self._loop(node) if node.op.name in LOOPS else node for node in run)
                continue
            macro = next((self._macros[n.name] for n in run if n.name in self._macros), None)
            at = run[0].at
            if macro:
                name, kind, op = macro.name, macro.op.name, macro.op
            else:
                assert at, "an option of a slot"
                name, kind = at.name, plain_op(at.op)
                op = ALL_OPS.get(kind)
            yield self._part("block", name, kind, run, op.summary if op else "")

    def _loop(self, node: Node) -> Part:
        """The body of a node, with names that no other value has; its types become known."""
        body = body_of(node)
        assert body is not None
        names = {name: f"{node.name}\0{name}" for name in body.types}
        own = {new: name for name, new in names.items()}
        self.types |= {names[name]: type_ for name, type_ in body.types.items()}
        weights = {ref.key: own for ref, own in zip(body.params, node.params, strict=True)}
        items: list[Node | Part] = []
        for inner in body:
            params = tuple(weights[ref.key] for ref in inner.params)
            inner = replace(inner.rewired(names), name=names[inner.name], params=params)
            items.append(self._loop(inner) if inner.op.name in LOOPS else inner)
        kind = f"{body.about.get('cell', 'body')} cell"
        reads = tuple(names[name] for name, _ in body.inputs)
        returns = tuple(names[name] for name in body.outputs)
        return Part(
            "loop",
            node.name,
            kind,
            tuple(items),
            node.inputs,
            (node.name,),
            reads,
            returns,
            own=own,
        )

    def _part(
        self, role: Role, name: str, kind: str, items: tuple[Node | Part, ...], summary: str = ""
    ) -> Part:
        """A part of these items: it reads what others make, and gives what others read."""
        made = [name for item in items for name in outputs_of(item)]
        inside = {*made, *(node.name for item in items for node in nodes_of(item))}
        shown = {*self.graph.outputs, *self.graph.auxiliary}
        reads = {x for item in items for x in item.inputs if x not in inside}
        inputs = tuple(sorted(reads, key=self._order.__getitem__))
        readers = self.graph.readers
        outputs = tuple(x for x in made if x in shown or not inside.issuperset(readers[x]))
        return Part(role, name, kind, items, inputs, outputs, inputs, outputs, summary)


def _slotted(cell: Part) -> Part:
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

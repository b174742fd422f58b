"""The network as a tree of parts: cells, and in and around them blocks of layers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, islice

from lowering.plan import Call, Plan, make_plan
from lowering.python.prepare import is_block, kind_of, runs
from nasir import Graph, Node
from nasir.ops import Macro


@dataclass(frozen=True)
class Part:
    """One instance of what becomes a class.

    It is called with `inputs`; its items read `inner` instead, which differ where a part of
    `given` (by position) stands between: a module that the instance is made with. `summary` is
    that of the op it stands for, if any.
    """

    name: str
    kind: str
    items: "tuple[Node | Part, ...]"
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    inner: tuple[str, ...]
    function: str = ""
    summary: str = ""
    given: "tuple[tuple[int, Part], ...]" = ()

    def local(self, name: str) -> str:
        """A name without the part's own."""
        return name.removeprefix(f"{self.name}/") if self.name else name

    @property
    def key(self) -> tuple[str, ...]:
        """Of this part alone: a cell may have the outputs of a block in it, but not its name."""
        return (self.name, *self.outputs)

    @property
    def nodes(self) -> Iterator[Node]:
        """All nodes, those of inner and given parts included."""
        for _, part in self.given:
            yield from part.nodes
        for item in self.items:
            if isinstance(item, Part):
                yield from item.nodes
            else:
                yield item


def outline(graph: Graph, kinds: Mapping[str, Macro]) -> Part:
    """The network's part, cut as the plan of cell functions says."""
    plan = make_plan(graph)
    items: list[Node | Part] = []
    nodes = iter(graph.nodes)
    for is_node, steps in groupby(plan.steps, key=lambda step: isinstance(step, Node)):
        for step in [list(steps)] if is_node else ([step] for step in steps):
            call = step[0] if isinstance(step[0], Call) else None
            count = len(plan.function(call.function).steps) if call else len(step)
            run = tuple(islice(nodes, count))
            inner = tuple(_blocks(graph, run, kinds))
            items += (_cell(plan, call, inner),) if call else inner
    inputs = tuple(name for name, _ in graph.inputs)
    outputs = (*graph.outputs, *graph.auxiliary)
    return Part("", "network", tuple(_with_given(items)), inputs, outputs, inputs)


def _cell(plan: Plan, call: Call, items: tuple[Node | Part, ...]) -> Part:
    kind = plan.function(call.function).kind
    inputs = call.inputs
    return Part(call.cell, kind, items, inputs, call.outputs, inputs, function=call.function)


def _blocks(
    graph: Graph, nodes: tuple[Node, ...], kinds: Mapping[str, Macro]
) -> Iterator[Node | Part]:
    """The nodes, with stretches that belong together as parts."""
    shown = {*graph.outputs, *graph.auxiliary}
    for run in runs(nodes):
        if not is_block(run):
            yield from run
            continue
        inside = {node.name for node in run}
        reads = dict.fromkeys(x for node in run for x in node.inputs if x not in inside)
        outputs = tuple(
            node.name
            for node in run
            if node.name in shown or not inside.issuperset(graph.readers[node.name])
        )
        name = run[0].name.rpartition("/")[0]
        part = Part(name, kind_of(name, kinds), run, tuple(reads), outputs, tuple(reads))
        yield replace(part, summary=kinds[name].summary) if name in kinds else part


def _with_given(items: list[Node | Part]) -> list[Node | Part]:
    """The items, where blocks that only prepare a cell's input (`c03/pre0`) went into the cell.

    All cells of one function must have the same ones, so that they stay one class.
    """
    cells = [item for item in items if isinstance(item, Part) and item.function]
    found = {cell.outputs: _preparations(cell, items) for cell in cells}
    forms: dict[str, set[tuple[tuple[int, str], ...]]] = {}
    for cell in cells:
        form = tuple((slot, cell.local(part.name)) for slot, part in found[cell.outputs])
        forms.setdefault(cell.function, set()).add(form)
    result: dict[tuple[str, ...], Node | Part] = {}
    for item in items:
        result[item.outputs if isinstance(item, Part) else (item.name,)] = item
    for cell in cells:
        if len(forms[cell.function]) == 1 and found[cell.outputs]:
            for _, part in found[cell.outputs]:
                del result[part.outputs]
            result[cell.outputs] = _prepared(cell, found[cell.outputs])
    return list(result.values())


def _preparations(cell: Part, items: list[Node | Part]) -> tuple[tuple[int, Part], ...]:
    """The blocks named below the cell that compute one of its inputs, for it alone."""
    reads: dict[str, int] = {}
    for item in items:
        for name in item.inputs:
            reads[name] = reads.get(name, 0) + 1
    return tuple(
        (cell.inputs.index(item.outputs[0]), item)
        for item in items
        if isinstance(item, Part)
        and item.name.startswith(f"{cell.name}/")
        and len(item.inputs) == len(item.outputs) == 1
        and item.outputs[0] in cell.inputs
        and reads[item.outputs[0]] == 1
    )


def _prepared(cell: Part, given: tuple[tuple[int, Part], ...]) -> Part:
    inputs = list(cell.inputs)
    for slot, part in given:
        inputs[slot] = part.inputs[0]
    return replace(cell, inputs=tuple(inputs), given=given)

"""A graph becomes straight-line Python: no interpreter in eager mode, no break in torch.compile."""

import itertools
import linecache
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from lowering.python_text import Names, identifier
from lowering.torch import fused, layers, memory, sequence
from lowering.torch.code import Code, Variable
from lowering.torch.rule import Emit, RowNode, TorchEmitter
from lowering.torch.store import FlatWeights
from nasir import Graph, NasirError, Node
from nasir.ops import Op, OpSpec
from nasir.ops.layers import ChannelsAttrs
from nasir.table import Table

RULES = Table.of({**layers.RULES, **sequence.RULES, **fused.RULES, **memory.RULES}, "torch")

LARGE, CHUNK = 200, 2_048
"""Python keeps frames in chunks of CHUNK slots, and one that does not fit in a chunk with room for
others. Where a frame just fits, each call in it takes a new chunk from the system and gives it
back: DARTS_V2 (36, 20) took 41 ms for 18. So programs of more values than LARGE never fit.
"""

_numbers = itertools.count()

Function = Callable[..., Any]


def _same(function: Function) -> Function:
    return function


@dataclass(frozen=True, slots=True)
class Mode:
    """The use of a program: whether it trains, and whether running statistics follow the batch's.

    `together`: whether batch norms use the statistics of all processes' batches. `finish` is
    applied to the function of each body that applies no other.
    """

    training: bool
    follow: bool = True
    together: bool = False
    finish: Callable[[Function], Function] = _same


@dataclass(frozen=True, slots=True)
class Program:
    """Source of a function, and the names it uses from outside.

    Its bodies are compiled already, each with names of its own; `text` is the source of all.
    """

    source: str
    names: dict[str, Any]
    name: str = "forward"
    bodies: tuple["Program", ...] = ()

    @property
    def text(self) -> str:
        """The source of the bodies, and then its own."""
        return "\n\n".join([*(body.text for body in self.bodies), self.source])

    def function(self) -> Function:
        """The compiled function; tracebacks show its source as long as it lives."""
        file = f"<nasir program {next(_numbers)}>"
        linecache.cache[file] = (len(self.source), None, self.source.splitlines(True), file)
        scope = dict(self.names)
        exec(compile(self.source, file, "exec"), scope)
        function = scope[self.name]
        code = function.__code__
        if code.co_nlocals > LARGE:
            function.__code__ = code.replace(co_stacksize=max(code.co_stacksize, CHUNK))
        function.__module__ = __name__  # torch.fx asks where a function that it calls is from
        weakref.finalize(function, linecache.cache.pop, file, None)
        return function


def make_program(
    graph: Graph,
    outputs: Iterable[str],
    mode: Mode,
    given: Iterable[str] = (),
    flat: Mapping[str, tuple[FlatWeights, ...]] | None = None,
) -> Program:
    """The program `forward(self, …)` of these outputs (one alone, or a tuple) from primitives.

    The weights with the keys `given` are its last arguments, in that order; it takes the others
    from the module. `flat`: by node the weights that it takes as one tensor, and its running
    statistics.
    """
    writer = _SourceWriter(graph, mode)
    for ref in graph.params:
        writer.weights[ref.key] = partial(writer.code.weight, ref.key)
    for node, found in (flat or {}).items():
        writer.flat[node] = found
        writer.weights |= {each.key: lambda value=each.value: value for each in found}
    for key in given:
        value = writer.code.argument(key)
        writer.weights[key] = lambda value=value: value
    return writer.write(tuple(outputs), "forward")


def make_body(graph: Graph, name: str, mode: Mode) -> Program:
    """The program `<name>(inputs …, weights …)` of a body, the weights in the order of `params`."""
    writer = _SourceWriter(graph, mode)
    for ref in graph.params:
        value = writer.code.argument(ref.key)
        writer.weights[ref.key] = lambda value=value: value
    return writer.write(graph.outputs, name)


class _SourceWriter:
    """A program while it is written; `weights` make the value of a weight at its first use."""

    def __init__(self, graph: Graph, mode: Mode) -> None:
        self.graph = graph
        self.mode = mode
        self.code = Code()
        self.titles = Names({"forward"})
        self.values = {name: self.code.argument(name) for name, _ in graph.inputs}
        self.weights: dict[str, Callable[[], Variable | Tensor]] = {}
        self.made: dict[str, Variable | Tensor] = {}
        self.flat: dict[str, tuple[FlatWeights, ...]] = {}
        self.bodies: list[Program] = []
        self.functions: dict[tuple[Graph, bool], Function] = {}

    def write(self, outputs: tuple[str, ...], name: str) -> Program:
        """The program of these outputs."""
        follow = self.mode.training and self.mode.follow
        wanted = self.graph.needed(self.graph.moved(outputs) if follow else outputs)
        for run in _runs(node for node in self.graph.nodes if node.name in wanted):
            within = {node.name: place for place, node in enumerate(run)}
            beyond = wanted - within.keys()
            members: list[RowNode] = []
            for node in run:
                read = node.name in outputs or not beyond.isdisjoint(self.graph.readers[node.name])
                members.append(self._member(node, within, read=read))
            for node, value in zip(run, _emitted(run[0].op, members), strict=True):
                if value is not None:
                    self.values[node.name] = value
        while name in self.code.names:
            name = f"{name}_"
        first = "self" if name == "forward" else ""
        source = self.code.text(name, first, [self.values[each] for each in outputs])
        return Program(source, self.code.names, name, tuple(self.bodies))

    def _member(self, node: Node, within: Mapping[str, int], *, read: bool) -> RowNode:
        assert isinstance(node.op, OpSpec), f"{node.name} is a macro: expand it first"
        flat = self.flat.get(node.name, ())
        keys = [each.key for each in flat or node.params]
        for key in keys:
            if key not in self.made:
                self.made[key] = self.weights[key]()
        emitter = TorchEmitter(
            self.code,
            self.mode.training,
            self.mode.follow,
            self.mode.together,
            identifier(node.name),
            partial(self._function, follow=self.mode.follow),
            partial(self._function, follow=False),
            _pieces(self.graph, node),
            flat,
        )
        inputs = [within[each] if each in within else self.values[each] for each in node.inputs]
        return RowNode(emitter, node.attrs, inputs, [self.made[key] for key in keys], read)

    def _function(self, body: Graph, *, follow: bool) -> Function:
        """The function of a body, the same for equal bodies."""
        if (body, follow) not in self.functions:
            name = self.titles.fresh(identifier(body.about.get("cell") or "body"))
            program = make_body(body, name, replace(self.mode, follow=follow))
            self.bodies.append(program)
            function = program.function()
            done = function if program.bodies else self.mode.finish(function)
            self.functions[body, follow] = done
        return self.functions[body, follow]


def _runs(nodes: Iterable[Node]) -> list[list[Node]]:
    """The nodes in order, those that are lowered together in one list."""
    runs: list[list[Node]] = []
    for node in nodes:
        if runs and node.op is runs[-1][0].op and node.op.name in fused.ROWS:
            runs[-1].append(node)
        else:
            runs.append([node])
    return runs


def _emitted(op: Op, run: Sequence[RowNode]) -> Sequence[Variable | None]:
    """The values of nodes of that op."""
    if op.name in fused.ROWS:
        return fused.ROWS[op.name](run)
    assert isinstance(op, OpSpec)
    emitter, attrs, inputs, weights, _ = run[0]
    return [find_rule(op)(emitter, attrs, *inputs, *weights)]


def _pieces(graph: Graph, node: Node) -> tuple[int, ...]:
    """The numbers of channels that the readers of its first input cut it into, if it is a cut."""
    if not isinstance(node.attrs, ChannelsAttrs):
        return ()
    readers = (graph[name].attrs for name in graph.readers[node.inputs[0]])
    spans = sorted({(a.start, a.count) for a in readers if isinstance(a, ChannelsAttrs)})
    starts, counts = zip(*spans, strict=True)
    ends = (0, *itertools.accumulate(counts))
    return counts if (*starts, graph.types[node.inputs[0]].shape[0]) == ends else ()


def find_rule(op: OpSpec) -> Emit:
    """The rule of the op in torch."""
    if op.name not in RULES:
        raise NasirError("E306", f"torch has no rule for the op '{op.name}'")
    return RULES[op.name]

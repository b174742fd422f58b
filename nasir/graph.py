"""The graph: plain, named nodes in topological order, and its text. Edits return a new one."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from nasir.arguments import checked
from nasir.errors import NasirError, Summarised, json_text, nearest, quoted
from nasir.macros import ALL_OPS
from nasir.node import (
    At,
    Cell,
    ChoiceKind,
    Node,
    Slot,
    below,
    default_params,
    is_list,
    plain_op,
    print_ref,
    print_value,
    twin_option,
)
from nasir.ops import Body, Macro, Op, ParamRef
from nasir.template import Scope, all_types, find_op, make_node, meaning
from nasir.types import Type, WeightsType

if TYPE_CHECKING:
    from networkx import MultiDiGraph


HEADER = "nasir graph 1"
NAME = re.compile(r"[A-Za-z_%][^\s(){}\[\]=,:\"\ud800-\udfff]*")


@dataclass(frozen=True, slots=True)
class Choice:
    """An open decision: pick `keep` of `options`. Cells of a kind share it.

    A graph with choices is a supernet: the weights of each one's options are an input of its name.
    """

    name: str
    kind: ChoiceKind
    options: tuple[str, ...]
    keep: int = 1

    @property
    def slot(self) -> Slot:
        """The address of the decision. Raises ValueError for a name that no slot has."""
        return Slot.parse(self.name, self.kind)


class Feature(NamedTuple):
    """An output of a stage: its name in files, its channels, and how many pixels it strides."""

    name: str
    channels: int
    stride: int


class Builder(Scope):
    """Builds a graph from primitives and macros."""

    ops: Mapping[str, Op] = ALL_OPS

    def __init__(self, **inputs: Type) -> None:
        super().__init__(inputs)
        self._inputs = dict(inputs)
        self._choices: dict[str, Choice] = {}

    def know(self, ops: Iterable[Op]) -> "Builder":
        """Adds ops, which replace others of their name; returns the builder."""
        own = {op.name: op for op in ops}
        if own:
            self.ops = {**self.ops, **own}
        return self

    def choose(self, choice: Choice) -> str:
        """The name of the choice's weights, an input of the graph; all its cells share them.

        Raises an error where another choice has that name.
        """
        known = self._choices.get(choice.name)
        if (known is None and choice.name in self.types) or known not in (None, choice):
            raise NasirError("E401", f"the name {quoted(choice.name)} is taken")
        self._choices[choice.name] = choice
        self.types[choice.name] = self._inputs[choice.name] = WeightsType(len(choice.options))
        return choice.name

    def part(self, key: object, inputs: Sequence[str], name: str, add: Callable[[], str]) -> str:
        """Returns the value that `add` builds.

        Calls with equal keys and input types build equal nodes: `CostCounter` reuses their cost.
        """
        del key, inputs, name
        return add()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices so far, in order of first use."""
        return tuple(self._choices.values())

    def graph(
        self,
        *outputs: str,
        auxiliary: tuple[str, ...] = (),
        meta: Mapping[str, str] | None = None,
    ) -> "Graph":
        """The finished graph with these outputs."""
        return Graph(
            nodes=tuple(self.nodes),
            inputs=tuple(self._inputs.items()),
            outputs=outputs,
            auxiliary=auxiliary,
            choices=self.choices,
            meta=tuple((meta or {}).items()),
        )


@dataclass(frozen=True, repr=False)
class Graph(Summarised):
    """Nodes in topological order, validated when constructed.

    `outputs` name the results, `auxiliary` further results for training only. `meta` records the
    graph's origin (space, skeleton, genotype as text, …). Nodes of `before` keep their types. A
    fault of the structure or of the types is an error with the node's name. Every op has an input.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[tuple[str, Type], ...]
    outputs: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    meta: tuple[tuple[str, str], ...] = ()
    types: Mapping[str, Type] = field(init=False, compare=False, repr=False)
    before: InitVar["Graph | None"] = None

    def __post_init__(self, before: "Graph | None") -> None:
        nodes, known = (before.by_name, before.types) if before else (None, None)
        types = all_types(self.inputs, self.nodes, nodes, known)
        object.__setattr__(self, "types", MappingProxyType(types))
        _check_outputs(self)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Cached: bodies are attributes, which are dictionary keys at every node."""
        return hash(self.__reduce__()[1])

    def __reduce__(self) -> tuple[type["Graph"], tuple[object, ...]]:
        fields = (self.nodes, self.inputs, self.outputs, self.auxiliary, self.choices, self.meta)
        return (Graph, fields)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, name: str) -> Node:
        """The node of that name."""
        if name not in self.by_name:
            message = f"there is no node {quoted(name)}"
            raise NasirError("E401", message, hint=nearest(name, self.by_name))
        return self.by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __str__(self) -> str:
        return print_graph(self)

    @property
    def _facts(self) -> Mapping[str, object]:
        named = {key: value for key, value in self.meta if key in ("name", "space", "edited")}
        counts = {"nodes": len(self), "cells": len(self.cells), "choices": len(self.choices)}
        results = " ".join(f"{name}: {self.types[name]}" for name in self.outputs)
        return {**named, "output": results, **counts}

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """The nodes that read each value, in order and without duplicates."""
        readers: dict[str, list[str]] = {name: [] for name in self.types}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers[name].append(node.name)
        return {name: tuple(found) for name, found in readers.items()}

    @cached_property
    def params(self) -> tuple[ParamRef, ...]:
        """Every parameter and buffer once, in order of first use."""
        return tuple({ref.key: ref for node in self.nodes for ref in node.params}.values())

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The cell instances, in order."""
        return tuple(dict.fromkeys(node.cell for node in self.nodes if node.cell))

    @cached_property
    def bodies(self) -> "tuple[Graph, ...]":
        """The different graphs that nodes apply, in order of first use."""
        return tuple(dict.fromkeys(filter(None, map(body_of, self.nodes))))

    @cached_property
    def body_numbers(self) -> "Mapping[Graph, int]":
        """The place of each of the `bodies`, from 1."""
        return {body: number for number, body in enumerate(self.bodies, start=1)}

    @property
    def results(self) -> tuple[str, ...]:
        """The outputs, and behind them the auxiliary ones."""
        return (*self.outputs, *self.auxiliary)

    @property
    def features(self) -> tuple[Feature, ...]:
        """What the outputs are, of a network built with `features=True`; else empty."""
        channels = (self.types[name].shape[0] for name in self.outputs)
        return tuple(map(Feature, self.words("outputs"), channels, map(int, self.words("strides"))))

    def types_of(self, node: Node) -> tuple[Type, ...]:
        """The types of the values that a node reads."""
        return tuple([self.types[name] for name in node.inputs])

    @property
    def about(self) -> Mapping[str, str]:
        """`meta` as a mapping."""
        return dict(self.meta)

    def words(self, key: str) -> tuple[str, ...]:
        """The words of an entry of `meta`: names of outputs, of stages and the values that end
        them; empty without it.
        """
        return tuple(self.about.get(key, "").split())

    @cached_property
    def nx(self) -> "MultiDiGraph[str]":
        """A networkx view: nodes carry `op` and `type`, edges the input's position as their key."""
        from networkx import MultiDiGraph

        view: MultiDiGraph[str] = MultiDiGraph()
        for name, type_ in self.inputs:
            view.add_node(name, op="input", type=type_)
        for node in self.nodes:
            view.add_node(node.name, op=node.op.name, type=self.types[node.name])
            for slot, source in enumerate(node.inputs):
                view.add_edge(source, node.name, key=slot)
        return view

    @property
    def own_ops(self) -> tuple[Macro, ...]:
        """The ops of nodes that the graph's space defines itself, in order of first use."""
        found = (node.op for node in self.nodes if isinstance(node.op, Macro))
        return tuple(dict.fromkeys(op for op in found if op.definition))

    def has(self, trait: str) -> bool:
        """True if a node has that trait."""
        return any(node.has(trait) for node in self.nodes)

    def needed(self, outputs: Iterable[str]) -> frozenset[str]:
        """The values that `outputs` depend on, themselves included."""
        wanted = set(outputs)
        for node in reversed(self.nodes):
            if node.name in wanted:
                wanted.update(node.inputs)
        return frozenset(wanted)

    def moved(self, outputs: Iterable[str]) -> tuple[str, ...]:
        """`outputs`, followed by the nodes with running statistics, which training updates."""
        stateful = (node.name for node in self.nodes if node.has("stateful"))
        return tuple(dict.fromkeys((*outputs, *stateful)))

    def with_nodes(
        self,
        nodes: Iterable[Node],
        outputs: Iterable[str] | None = None,
        auxiliary: Iterable[str] | None = None,
    ) -> "Graph":
        """The graph with other nodes, and other outputs if they are given. For passes."""
        return replace(
            self,
            nodes=tuple(nodes),
            outputs=self.outputs if outputs is None else tuple(outputs),
            auxiliary=self.auxiliary if auxiliary is None else tuple(auxiliary),
            before=self,
        )

    def aliased(self, nodes: Iterable[Node], names: Mapping[str, str]) -> "Graph":
        """`with_nodes`, where outputs that are keys of `names` become the values there."""
        return self.with_nodes(
            nodes,
            [names.get(name, name) for name in self.outputs],
            [names.get(name, name) for name in self.auxiliary],
        )

    # Editing. The graph that comes back no longer carries the genotype it was built from.

    def replace(self, name: str, op: str, **attrs: Any) -> "Graph":
        """Replaces the op of a node, which reads the same values.

        Attributes that both ops have keep their values unless they are given. A node that is named
        after its place (`c00/n2.e0/sep_conv_3x3`) or op gets a new name, and its weights new keys.
        """
        old = self[name]
        spec = find_op(op, Builder().know(self.own_ops).ops)
        kept = {k: _single(v) for k, v in old.attrs if k in spec.attrs.model_fields}
        kept = {k: v for k, v in kept.items() if v is not None}
        fresh, at = self._renamed(old, op)
        node, _ = make_node(spec, fresh, old.inputs, kept | attrs, self.types, at)
        nodes = [node if n.name == name else n.rewired({name: fresh}) for n in self.nodes]
        return self._edited(nodes, {name: fresh})

    def insert_after(
        self, name: str, op: str | Callable[[Builder, str], str], *, under: str = "", **attrs: Any
    ) -> "Graph":
        """Inserts nodes after a value; the readers of the value read their result.

        `op` is an op's name, or a function of a builder and the value's name that returns the
        result's name. The new nodes are named below `under` (default: `<name>+`).
        """
        if name not in self.types:
            message = f"there is no value {quoted(name)}"
            raise NasirError("E401", message, hint=nearest(name, self.types))
        at = self[name].at if name in self else None
        build = Builder(x=self.types[name]).know(self.own_ops)
        if isinstance(op, str):
            result = build(op, "x", name=op, **attrs)
        elif attrs:
            raise TypeError("attributes go with an op's name, not with a function")
        else:
            result = op(build, "x")
        if result not in build.types:
            raise NasirError(
                "E401",
                f"the function returned {quoted(result)}, which is no value that it built",
                hint="return the name of the result: what builder(...) returned last",
            )
        if result == "x":
            return self
        under = under or self._unused(f"{name}+", [node.name for node in build.nodes])
        names = {"x": name} | {node.name: below(under, node.name) for node in build.nodes}
        nodes = [_moved(node, names, at, build.types) for node in build.nodes]
        place = [node.name for node in self.nodes].index(name) + 1 if name in self else 0
        later = [node.rewired({name: names[result]}) for node in self.nodes[place:]]
        return self._edited([*self.nodes[:place], *nodes, *later], {name: names[result]})

    def remove(self, name: str, instead: str = "") -> "Graph":
        """Removes a node; its readers read `instead` (default: the node's only input)."""
        node = self[name]
        if not instead:
            if len(node.inputs) != 1:
                raise NasirError(
                    "E401",
                    f"node {quoted(name)} reads {len(node.inputs)} values",
                    hint="choose the value that its readers read: remove(name, instead=…)",
                )
            instead = node.inputs[0]
        kept = [n.rewired({name: instead}) for n in self.nodes if n.name != name]
        return self._edited(kept, {name: instead})

    def rewire(self, name: str, names: Mapping[str, str]) -> "Graph":
        """Makes the node read `names[x]` instead of x. Raises an error if it does not read x."""
        old = self[name]
        for source in names:
            if source not in old.inputs:
                message = f"node {quoted(name)} does not read {quoted(source)}"
                raise NasirError("E401", message, hint=f"it reads: {', '.join(old.inputs)}")
        return self._swapped(old.rewired(names))

    def with_attrs(self, name: str, **attrs: Any) -> "Graph":
        """Changes attributes of a node.

        Weights keep their keys, shared ones too, unless their shape changes.
        """
        old = self[name]
        node, _ = make_node(old.op, name, old.inputs, dict(old.attrs) | attrs, self.types, old.at)
        types = self.types_of(old)
        specs = meaning(old.op, old.attrs, types).params
        before = {(s.name, s.shape): ref for s, ref in zip(specs, old.params, strict=True)}
        own = zip(meaning(node.op, node.attrs, types).params, node.params, strict=True)
        params = tuple(before.get((s.name, s.shape), ref) for s, ref in own)
        return self._swapped(replace(node, params=params))

    def _swapped(self, node: Node) -> "Graph":
        return self._edited([node if n.name == node.name else n for n in self.nodes], {})

    def _edited(self, nodes: Iterable[Node], names: Mapping[str, str]) -> "Graph":
        meta = {k: v for k, v in self.meta if k != "genotype"} | {"edited": "yes"}
        return replace(self.aliased(nodes, names), meta=tuple(meta.items()))

    def _renamed(self, node: Node, op: str) -> tuple[str, At | None]:
        """The name and the place of a node that gets another op, numbered where they are taken."""
        at = node.at if node.at and plain_op(node.at.op) == node.op.name else None
        if op == node.op.name:
            return node.name, node.at
        if node.name != (at.name if at else node.op.name):
            return node.name, at.option(op) if at else node.at
        options = (twin_option(op, number) for number in count(1))
        places = ((at.option(o).name, at.option(o)) if at else (o, node.at) for o in options)
        return next((name, place) for name, place in places if name not in self.types)

    def _unused(self, prefix: str, names: Iterable[str]) -> str:
        """The prefix, with a number appended if one of the names below it is taken already."""
        number, fresh = 1, prefix
        while any(below(fresh, name) in self.types for name in names):
            number += 1
            fresh = f"{prefix}{number}"
        return fresh


def graph_of(body: Body) -> Graph:
    """The body as the graph that it is."""
    assert isinstance(body, Graph)
    return body


def body_of(node: Node) -> Graph | None:
    """The graph that the node applies, or None."""
    return graph_of(node.body) if node.body is not None else None


@checked
def print_graph(graph: Graph) -> str:
    """The graph as text, ending with a newline; `parse_graph` gives an equal graph back."""
    return "\n".join((HEADER, *_lines(graph))) + "\n"


def _lines(graph: Graph) -> list[str]:
    lines = [f"meta {key} {json_text(value)}" for key, value in graph.meta]
    lines += [f"op {op.name} {op.definition}" for op in graph.own_ops]
    lines += [f"input {name}: {type_}" for name, type_ in graph.inputs]
    for number, body in enumerate(graph.bodies, start=1):
        lines += [f"body body{number}", *(f"  {line}" for line in _lines(body)), "end"]
    lines += [print_node(graph, node) for node in graph.nodes]
    for choice in graph.choices:
        options = " ".join(choice.options)
        lines.append(f"choice {choice.name}: {choice.kind}, keep {choice.keep} of {options}")
    lines += [f"output {name}" for name in graph.outputs]
    return lines + [f"auxiliary {name}" for name in graph.auxiliary]


def print_node(graph: Graph, node: Node) -> str:
    """The node's line in the text of its graph, without a newline."""
    parts = [f"{node.name} = {node.op.name}({', '.join(node.inputs)})"]
    fields = type(node.attrs).model_fields
    shown = {k: v for k, v in node.attrs if fields[k].is_required() or v != fields[k].default}
    if shown:
        values = {
            k: f"body{graph.body_numbers[v]}"
            if k == "body"
            else print_value(v, listed=is_list(fields[k]))
            for k, v in shown.items()
        }
        parts.append(" {" + ", ".join(f"{k}={v}" for k, v in values.items()) + "}")
    parts.append(f": {graph.types[node.name]}")
    if node.at:
        parts.append(f" in {node.at}")
    specs = meaning(node.op, node.attrs, graph.types_of(node)).params
    if node.params != default_params(node.name, specs):
        refs = (f"{s.name}={print_ref(r)}" for s, r in zip(specs, node.params, strict=True))
        parts.append(" with " + ", ".join(refs))
    return "".join(parts)


def _single(value: object) -> object:
    """A pair of equal numbers as one number."""
    if not isinstance(value, tuple):
        return value
    first, second = cast("tuple[int, int]", value)
    return first if first == second else (first, second)


def _moved(node: Node, names: Mapping[str, str], at: At | None, types: Mapping[str, Type]) -> Node:
    name = names[node.name]
    specs = meaning(node.op, node.attrs, tuple(types[x] for x in node.inputs)).params
    own = zip(default_params(node.name, specs), default_params(name, specs), strict=True)
    keys = {old.key: new.key for old, new in own}
    params = tuple(replace(ref, key=keys.get(ref.key, f"{name}.{ref.name}")) for ref in node.params)
    inputs = tuple(names[x] for x in node.inputs)
    return replace(node, name=name, inputs=inputs, params=params, at=at)


def _check_outputs(graph: Graph) -> None:
    if not graph.outputs:
        raise NasirError("E202", "the graph has no output")
    for name in graph.results:
        if name not in graph.types:
            message = f"the output {quoted(name)} is not there"
            raise NasirError("E401", message, hint=nearest(name, graph.types))

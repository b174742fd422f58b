"""One class of the file as text."""

from collections.abc import Callable, Mapping

from lowering.python.body import CodeLine, CodeWriter
from lowering.python.classes import Class, Classes
from lowering.python.code import Code, call, signature, statement
from lowering.python.numbers import Numbers, Values, has_default
from lowering.python.outline import Part
from lowering.python.rule import Site, class_of
from lowering.python.rules import rule
from lowering.python_text import Names, docstring, identifier
from nasir import Graph, Node
from nasir.macros import ALL_OPS
from nasir.quoting import visible


def write_class(graph: Graph, one: Class, classes: Classes) -> str:
    """The class of a cell or a block."""
    _declare(graph, one)
    members = write_members(graph, one, classes)
    body = _forward(graph, one, classes)
    arguments = one.numbers.arguments
    plain = [f"{name}: int" for name in arguments if not has_default(name)]
    plain += [f"{one.attributes[part.outputs[0]]}: nn.Module" for _, part in one.first.given]
    plain += [f"{name}: int = 1" for name in arguments if has_default(name)]
    held = [f"        self.{name} = {name}" for name in one.numbers.held]
    made = ["        super().__init__()", *held, *members]
    init = [*signature("__init__", plain, "None"), *made, ""] if len(made) > 1 else []
    lines = [
        f"class {one.name}(nn.Module):",
        f"    {docstring(_summary(one))}",
        "",
        *init,
        *body,
    ]
    return "\n".join(lines) + "\n"


def write_members(graph: Graph, one: Class, classes: Classes) -> list[str]:
    """The lines that make the layers and inner parts."""
    lines: list[str] = []
    for _, given in one.first.given:
        attribute = one.attributes[given.outputs[0]]
        lines.append(f"        self.{attribute} = {attribute}")
    for number, item in enumerate(one.first.items):
        same = tuple(part.items[number] for part in one.parts)
        code = _made(graph, one.numbers, same, classes)
        if code is not None:
            lines += statement(f"self.{one.attribute(item)} = ", code, 8)
    return lines


def write_lines(graph: Graph, one: Class, classes: Classes) -> list[CodeLine]:
    """What `forward` does, step by step."""
    lines: list[CodeLine] = []
    for slot, given in one.first.given:
        attribute = one.attributes[given.outputs[0]]
        reads = (_source(slot),)
        lines.append(
            CodeLine(reads, given.outputs, (attribute,), _called(attribute), movable=False)
        )
    for number, item in enumerate(one.first.items):
        if isinstance(item, Part):
            lines.append(_part_line(one, item, movable=one.name != "Network"))
        else:
            same = tuple(part.items[number] for part in one.parts)
            lines.append(_node_line(graph, one, _nodes(same)))
    return lines


def tensors(count: int) -> str:
    """The type of that many tensors."""
    return "Tensor" if count == 1 else f"tuple[{', '.join(['Tensor'] * count)}]"


def _source(slot: int) -> str:
    """What stands for the value that a given part reads; no value of a graph is called so."""
    return f"\0{slot}"


def _declare(graph: Graph, one: Class) -> None:
    """Offers the channels of inputs, and of a block's result, as arguments.

    What stands alone outside cells (the stem, the head) has literals instead.
    """
    inside = one.first.function or any(_in_cell(part) for part in one.parts)
    if not inside and len(one.parts) == 1:
        return
    for slot in range(len(one.first.inner)):
        values = tuple(graph.types[part.inner[slot]].shape[0] for part in one.parts)
        one.numbers.declare_width(values, "channels")
    if not one.first.function:
        for slot in range(len(one.first.outputs)):
            values = tuple(graph.types[part.outputs[slot]].shape[0] for part in one.parts)
            one.numbers.declare_width(values, "out_channels")


def _in_cell(part: Part) -> bool:
    return any(node.cell is not None for node in part.nodes)


def _nodes(items: tuple[Node | Part, ...]) -> tuple[Node, ...]:
    return tuple(item for item in items if isinstance(item, Node))


def _parts(items: tuple[Node | Part, ...]) -> tuple[Part, ...]:
    return tuple(item for item in items if isinstance(item, Part))


def _made(
    graph: Graph, numbers: Numbers, items: tuple[Node | Part, ...], classes: Classes
) -> Code | None:
    """The call that makes a layer or a part."""
    nodes = _nodes(items)
    if nodes:
        layer = rule(nodes[0].op).layer
        return layer(Site(nodes, graph.types, numbers)) if layer else None
    return _construct(graph, numbers, _parts(items), classes)


def _construct(graph: Graph, numbers: Numbers, parts: tuple[Part, ...], classes: Classes) -> Code:
    """The call that makes a part, in terms of the arguments of the class it is in."""
    one = classes.of(parts[0])
    positions = [one.positions[part.key] for part in parts]
    first: list[str] = []
    last: list[str] = []
    for name, row in one.numbers.arguments.items():
        values: Values = tuple(row[i] for i in positions)
        if one.numbers.is_width(name):  # these come first
            first.append(numbers.width(values, name))
        elif not has_default(name):
            first.append(f"{name}={numbers.geometry(values, name)}")
        elif set(values) != {1}:
            last.append(f"{name}={numbers.geometry(values, name)}")
    for number, (_, model) in enumerate(one.first.given):
        made = _construct(graph, numbers, tuple(p.given[number][1] for p in parts), classes)
        attribute = one.attributes[model.outputs[0]]
        first.append(f"{attribute}={made}")
    return call(one.name, *first, *last)


def _forward(graph: Graph, one: Class, classes: Classes) -> list[str]:
    """The method `forward` of a cell or a block."""
    part = one.first
    inputs = ["x"] if len(part.inputs) == 1 else [f"x{i}" for i in range(len(part.inputs))]
    given = {slot for slot, _ in part.given}
    variables = {_source(i) if i in given else part.inner[i]: name for i, name in enumerate(inputs)}
    body = CodeWriter(write_lines(graph, one, classes), variables, Names(set(inputs)))
    body.decide(part.outputs)
    result = tensors(len(part.outputs))
    return [
        *signature("forward", (f"{name}: Tensor" for name in inputs), result),
        *body.write(8, part.outputs, reuse=not part.function and len(inputs) == 1),
    ]


def _called(attribute: str) -> Callable[[tuple[str, ...]], Code]:
    return lambda inputs: call(f"self.{attribute}", *inputs)


def _part_line(one: Class, part: Part, *, movable: bool) -> CodeLine:
    attribute = one.attribute(part)
    many = len(part.outputs) > 1
    labels = [f"{attribute}_{identifier(part.local(name))}" for name in part.outputs]
    random = any(node.has("random") for node in part.nodes)
    return CodeLine(
        part.inputs,
        part.outputs,
        tuple(labels) if many else (identifier(attribute),),
        _called(attribute),
        movable=movable and not many and not random,
    )


def _node_line(graph: Graph, one: Class, nodes: tuple[Node, ...]) -> CodeLine:
    node = nodes[0]
    site = Site(nodes, graph.types, one.numbers, held=True)
    found = rule(node.op)
    attribute = one.attributes.get(node.name, "")
    return CodeLine(
        node.inputs,
        (node.name,),
        (_label(one.first.local(node.name)),),
        lambda inputs: found.use(site, inputs, attribute),
        movable=not node.has("random"),
        activation=node.has("elementwise") and len(node.inputs) == 1,
    )


def _label(name: str) -> str:
    """The variable of a node; one that is an op by itself is called after the op's place."""
    return identifier(name.rpartition("/")[0] or name)


def _summary(one: Class) -> str:
    """The first line of the docstring."""
    part = one.first
    if part.function:
        given = " and ".join(one.attributes[p.outputs[0]] for _, p in part.given)
        verb = "prepares its input" if len(part.given) == 1 else "prepare its inputs"
        more = f"; {given} {verb}" if given else ""
        kind = "" if part.kind == "cell" else f"{identifier(part.kind)} "
        return f"The {kind}cell{more}."
    summary = part.summary or (ALL_OPS[part.kind].summary if part.kind in ALL_OPS else "")
    summary = visible(" ".join(summary.split()))
    if summary:
        return f"{summary[0].upper()}{summary[1:]}."
    return f"The block {identifier(part.kind)}."


def helpers(graph: Graph) -> Mapping[str, str]:
    """The sources of the classes that layers of this graph need, by name."""
    nodes = [*graph.nodes, *(node for body in graph.bodies for node in body)]
    sources = {rule(node.op).source(node) for node in nodes} - {""}
    return {class_of(source): source for source in sorted(sources)}

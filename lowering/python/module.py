"""The classes of the file as text."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from lowering.python.classes import Class
from lowering.python.forward import Line, broken, returned, write_steps
from lowering.python.numbers import Values, has_default
from lowering.python.parts import Part, nodes_of, outputs_of
from lowering.python.rules import CODES, HOLDING, LAYERS, Site, call
from lowering.python.template import LOOP
from lowering.python_text import Names, docstring, identifier
from nasir import Graph, Node, Type, WeightsType
from nasir.errors import visible
from nasir.node import MIXED
from nasir.ops.arithmetic import DROP_PATH
from nasir.ops.layers import LINEAR
from nasir.passes.rewriting import PROBABILITY, given_inputs

Types = Mapping[str, Type]
Classes = Mapping[Part, Class]


def write_class(one: Class, classes: Classes, types: Types) -> str:
    """The class of a block, a cell or a loop."""
    part = one.first
    _declare(one, types)
    members = _members(one, classes, types)
    inputs = _arguments(part, types)
    variables = dict(inputs)
    body = write_steps(
        list(_steps(one, types)),
        variables,
        Names(set(inputs.values())),
        part.returns,
        reuse=part.role == "block" and len(inputs) == 1,
    )
    result = returned(body, (variables[name] for name in part.returns))
    method = _method(
        "step" if part.role == "loop" else "forward",
        [f"{variable}: Tensor" for variable in inputs.values()],
        _tensors(len(part.returns)),
        [*body, f"return {result}"],
    )
    # Layers and statements, written so far, have found out which arguments the class needs.
    given = [one.attributes[part.items.index(item)] for item in part.given]
    arguments = one.numbers.arguments
    init = [f"{name}: int" for name in arguments if not has_default(name)]
    init += [f"{attribute}: nn.Module" for attribute in given]
    init += [f"{name}: int = 1" for name in arguments if has_default(name)]
    held = [f"self.{name} = {name}" for name in one.numbers.held]
    text = _class(one.name, _summary(part, given), init, [*held, *members], method)
    return f"{text}\n{LOOP}" if part.role == "loop" else text


def write_network(
    graph: Graph,
    one: Class,
    classes: Classes,
    types: Types,
    shared: Mapping[str, str],
    dropped: Sequence[str],
    features: Sequence[str],
) -> str:
    """The class `Network`. `shared`: paths of weights that are another path's; `features`: the ends
    of stages.

    `dropped` are the nodes that drop paths in the network as it is trained, in order; their draws
    have these numbers.
    """
    names = Names()
    variables = {name: names.fresh(identifier(name)) for name, _ in graph.inputs}
    arguments = [f"{variables[name]}: Tensor" for name, _ in given_inputs(graph)]
    members = [
        *_members(one, classes, types),
        *(f"self.{path} = self.{first}" for path, first in shared.items()),
        *_rows(one, dropped),
    ]
    body: list[str] = []
    if PROBABILITY in graph.types:
        members.insert(
            0, "self.drop_path = 0.0  # how likely training drops a path; may be changed"
        )
        like, _ = given_inputs(graph)[0]
        chance = "self.drop_path if self.training else 0.0"
        masks = f"path_masks({len(dropped)}, {variables[like]}, {chance})"
        body.append(f"{variables[PROBABILITY]} = {masks}")
    methods = _features(graph, one, types, features, [arguments, body])
    wanted = graph.needed(graph.outputs)
    steps = list(_steps(one, types, _labels(graph)))
    training = [step for step in steps if not wanted.intersection(step.outputs)]
    always = [step for step in steps if step not in training]
    result = _tensors(len(graph.outputs))
    body += write_steps(
        always, variables, names, (*graph.outputs, *(x for step in training for x in step.reads))
    )
    if graph.auxiliary:
        result = f"{result} | {_tensors(len(graph.outputs) + len(graph.auxiliary))}"
        values = ", ".join(variables[name] for name in graph.outputs)
        extra = write_steps(training, variables, names, graph.auxiliary)
        more = returned(extra, (variables[name] for name in graph.auxiliary))
        body += ["if self.training:", *(f"    {line}" for line in extra)]
        body += [f"    return {values}, {more}", f"return {values}"]
    else:
        body.append(f"return {returned(body, (variables[x] for x in graph.outputs))}")
    method = _method("forward", arguments, result, body)
    text = _class("Network", _network_summary(graph), [], members, method)
    return "\n".join([text, *methods, *_reset(one, classes)])


def _features(
    graph: Graph, one: Class, types: Types, features: Sequence[str], start: list[list[str]]
) -> list[str]:
    """The method that returns the ends of stages; `start`: arguments, and first statements."""
    if not features:
        return []
    names = Names()
    variables = {name: names.fresh(identifier(name)) for name, _ in graph.inputs}
    wanted = graph.needed(features)
    steps = [step for step in _steps(one, types) if wanted.intersection(step.outputs)]
    arguments, first = start
    body = [*first, *write_steps(steps, variables, names, tuple(features))]
    result = ", ".join(variables[name] for name in features)
    summary = docstring("Returns the last value of each stage.")
    kinds = f"tuple[{', '.join(['Tensor'] * len(features))}]"
    comma = "," * (len(features) == 1)
    method = _method("forward_features", arguments, kinds, [f"return {result}{comma}"])
    head, *last = method
    return ["\n".join([*_lines(head, summary, body), *last]) + "\n"]


def _lines(head: str, summary: str, body: Sequence[str]) -> Iterator[str]:
    yield head
    yield f"        {summary}"
    for statement in body:
        yield from broken(statement, 8)


def _reset(one: Class, classes: Classes) -> list[str]:
    """The method that replaces the heads' linear layers, if there are some."""
    lines: list[str] = []
    for name, (item, *_) in one.rows:
        if not isinstance(item, Part) or item.name not in ("head", "aux"):
            continue
        for layer, (node, *_) in classes[item].rows:
            if isinstance(node, Node) and node.op is LINEAR:
                more = "" if node.attrs.model_dump()["bias"] else ", bias=False"
                old = f"{name}.{layer}"
                made = f"nn.Linear({old}.in_features, classes{more})"
                lines += [f"{name} = self.{name}", f"{old} = {made}.to({old}.weight)"]
    if not lines:
        return []
    summary = docstring("Replaces the last layers by new ones, for another number of classes.")
    head = "    def reset_classifier(self, classes: int) -> None:"
    return ["\n".join(_lines(head, summary, lines)) + "\n"]


def _class(
    name: str, summary: str, init: list[str], members: list[str], method: Iterable[str]
) -> str:
    lines = [f"class {name}(nn.Module):", f"    {docstring(summary)}", ""]
    if members:
        lines += [*_method("__init__", init, "None", ["super().__init__()", *members]), ""]
    return "\n".join([*lines, *method]) + "\n"


def _method(name: str, arguments: list[str], result: str, body: Iterable[str]) -> Iterator[str]:
    yield from broken(f"def {name}({', '.join(['self', *arguments])}) -> {result}:", 4)
    for statement in body:
        inner = statement.lstrip()
        yield from broken(inner, 8 + len(statement) - len(inner))


def _tensors(count: int) -> str:
    return "Tensor" if count == 1 else f"tuple[{', '.join(['Tensor'] * count)}]"


def _declare(one: Class, types: Types) -> None:
    """Offers the channels of inputs, and of a block's result, as arguments.

    What stands alone outside cells (the stem, the head) has literals instead.
    """
    inside = any(node.cell for part in one.parts for node in part.nodes)
    if not inside and len(one.parts) == 1:
        return
    rows = [("channels", names) for names in zip(*(part.values for part in one.parts), strict=True)]
    if one.first.role == "block":
        results = zip(*(part.returns for part in one.parts), strict=True)
        rows += [("out_channels", names) for names in results]
    for label, names in rows:
        if not isinstance(types[names[0]], WeightsType):
            one.numbers.declare_width(tuple(types[name].shape[0] for name in names), label)


def _members(one: Class, classes: Classes, types: Types) -> list[str]:
    """The statements that make the layers and inner parts."""
    made: dict[str, str] = {}
    for attribute, items in one.rows:
        parts = [item for item in items if isinstance(item, Part)]
        nodes = tuple(item for item in items if isinstance(item, Node))
        if attribute in made or not attribute:
            continue
        if nodes:
            made[attribute] = LAYERS[nodes[0].op.name](Site(nodes, types, one.numbers))
        elif parts[0] in one.first.given:
            made[attribute] = attribute
        else:
            made[attribute] = _construct(one, parts, classes)
    return [f"self.{attribute} = {code}" for attribute, code in made.items()]


def _construct(outer: Class, parts: list[Part], classes: Classes) -> str:
    """The call that makes a part, in terms of the arguments of the class it is in."""
    one = classes[parts[0]]
    positions = [one.parts.index(part) for part in parts]
    found: list[str] = []
    for name, row in one.numbers.arguments.items():
        values: Values = tuple(row[i] for i in positions)
        if one.numbers.is_width(name):  # these come first
            found.append(outer.numbers.width(values, name))
        elif not has_default(name) or set(values) != {1}:
            found.append(f"{name}={outer.numbers.geometry(values, name)}")
    for given in zip(*(part.given for part in parts), strict=True):
        attribute = one.attributes[parts[0].items.index(given[0])]
        found.append(f"{attribute}={_construct(outer, list(given), classes)}")
    return call(one.name, *found)


def _steps(one: Class, types: Types, labels: Mapping[str, str] | None = None) -> Iterator[Line]:
    """Returns the statements of the method; `labels` are wanted names of variables."""
    part = one.first
    for attribute, items in one.rows:
        item, outputs = items[0], outputs_of(items[0])
        nodes = tuple(node for node in items if isinstance(node, Node))
        inner = tuple(nodes_of(item))
        label = _label(part, inner, item.name)
        names = (label,)
        if isinstance(item, Part) and len(outputs) > 1:
            names = tuple(f"{label}_{identifier(item.local(name))}" for name in outputs)
        write = _writer(one, attribute, nodes, types)
        holds = bool(nodes) and nodes[0].op.name in HOLDING
        term = not holds and len(outputs) == 1 and not any(node.has("random") for node in inner)
        names = tuple(map((labels or {}).get, outputs, names))
        yield Line(item.inputs, outputs, names, write, holds=holds, term=term)


def _arguments(part: Part, types: Types) -> dict[str, str]:
    """The names of a method's arguments, by value; those of a loop's step are its body's."""
    names = Names()
    values = [name for name in part.reads if not isinstance(types.get(name), WeightsType)]
    wanted = {x: f"x{i}" if values[1:] else "x" for i, x in enumerate(values)}
    wanted[PROBABILITY] = "masks"
    if part.role == "loop":
        wanted = {name: identifier(part.local(name)) for name in part.reads}
    return {x: names.fresh(wanted.get(x) or identifier(f"w_{x}")) for x in part.reads}


def _label(part: Part, nodes: tuple[Node, ...], name: str) -> str:
    """The variable of a value: in a cell its slot (`n2_e0`), elsewhere what its name says.

    The slot's name is that of the mixture where there is one; its options have theirs behind.
    """
    at = nodes[0].at if part.role == "cell" and nodes and nodes[0].cell else None
    if at is None or not at.steps:
        return identifier(part.local(name))
    mixed = any(isinstance(item, Node) and item.at == at.option(MIXED) for item in part.items)
    slots = [slot.local for slot, _ in at.steps]
    return identifier("_".join((*slots, at.op) if mixed and at.op != MIXED else slots))


def _labels(graph: Graph) -> dict[str, str]:
    """The names of the network's results."""
    shown = [*map(identifier, graph.words("outputs"))]
    if len(shown) == len(graph.outputs):
        return dict(zip(graph.outputs, shown, strict=True))
    return dict.fromkeys(graph.outputs, "logits") if graph.auxiliary else {}


def _writer(
    one: Class, attribute: str, nodes: tuple[Node, ...], types: Types
) -> Callable[[tuple[str, ...]], str]:
    if attribute:
        return lambda inputs: call(f"self.{attribute}", *inputs)
    return lambda inputs: CODES[nodes[0].op.name](Site(nodes, types, one.numbers, inputs))


def _rows(one: Class, dropped: Sequence[str]) -> list[str]:
    """The numbers of the layers that drop paths, in the order in which they were made."""
    rows = [dropped.index(node.name) for node in one.first.nodes if node.op is DROP_PATH]
    if not rows:
        return []
    paths = "paths = (layer for layer in self.modules() if isinstance(layer, DropPath))"
    if rows == list(range(len(rows))):
        return [paths, "for row, path in enumerate(paths):", "    path.row = row"]
    zipped = "zip(rows, paths, strict=True)"  # of the paths that reach the output
    return [paths, f"rows = {tuple(rows)}", f"for row, path in {zipped}:", "    path.row = row"]


def _summary(part: Part, given: list[str]) -> str:
    """The first line of the docstring."""
    kind = "" if part.kind == part.role else f"{identifier(part.kind)} "
    if part.role == "cell":
        verb = "prepares its input" if len(given) == 1 else "prepare its inputs"
        more = f"; {' and '.join(given)} {verb}" if given else ""
        return f"The {kind}cell{more}."
    if part.role == "loop":
        return f"The {part.kind}, and its loop over time."
    summary = visible(" ".join(part.summary.split())) or f"the block {identifier(part.kind)}"
    return f"{summary[0].upper()}{summary[1:]}."


def _network_summary(graph: Graph) -> str:
    if graph.auxiliary:
        named = graph.about.get("outputs")
        more = "its auxiliary outputs too" if named else "(logits, auxiliary logits)"
        return f"The network; in training mode it returns {more}."
    name = graph.about.get("name", "")
    return f"The network {name}." if name.isidentifier() else "The network."

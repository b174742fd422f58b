"""The class of the whole network as text."""

from collections.abc import Mapping, Sequence

from lowering.python.body import CodeLine, CodeWriter
from lowering.python.classes import Class, Classes
from lowering.python.code import Code, signature, statement, text
from lowering.python.module import tensors, write_lines, write_members
from lowering.python_text import Names, docstring, identifier
from nasir import Graph, ImageType
from nasir.ops.choice import DROP_PATH
from nasir.passes.dropping import PROBABILITY, given_inputs


def write_network(
    graph: Graph,
    one: Class,
    classes: Classes,
    shared: Mapping[str, str],
    summary: str,
    dropped: Sequence[str],
) -> str:
    """The class `Network`. `shared`: paths of weights that are another path's.

    `dropped` are the nodes that drop paths in the network as it is trained, in order; their draws
    have these numbers.
    """
    names = Names()
    inputs = {name: names.fresh(identifier(name)) for name, _ in graph.inputs}
    result = tensors(len(graph.outputs))
    if graph.auxiliary:
        result = f"{result} | {tensors(len(graph.outputs) + len(graph.auxiliary))}"
    members = [*_attribute(graph), *write_members(graph, one, classes)]
    ties = [f"        self.{path} = self.{first}" for path, first in shared.items()]
    lines = [
        "class Network(nn.Module):",
        f"    {docstring(summary)}",
        "",
        *signature("__init__", (), "None"),
        "        super().__init__()",
        *members,
        *ties,
        *_rows(one, dropped),
        "",
        *signature(
            "forward", (f"{inputs[name]}: Tensor" for name, _ in given_inputs(graph)), result
        ),
        *_masks(graph, inputs, len(dropped)),
        *_forward(graph, write_lines(graph, one, classes), inputs, names),
    ]
    return "\n".join(lines) + "\n"


def _attribute(graph: Graph) -> list[str]:
    """The probability to drop paths, if the graph drops any."""
    if PROBABILITY not in graph.types:
        return []
    return ["        self.drop_path = 0.0  # how likely training drops a path; may be changed"]


def _rows(one: Class, dropped: Sequence[str]) -> list[str]:
    """The numbers of the layers that drop paths, in the order in which they were made."""
    rows = [dropped.index(node.name) for node in one.first.nodes if node.op is DROP_PATH]
    if not rows:
        return []
    found = "(layer for layer in self.modules() if isinstance(layer, DropPath))"
    lines = [f"        paths = {found}"]
    if rows == list(range(len(rows))):
        return [*lines, "        for row, path in enumerate(paths):", "            path.row = row"]
    numbers = Code("(", tuple(map(str, rows))) if len(rows) > 1 else text(f"({rows[0]},)")
    lines += statement("rows = ", numbers, 8)  # of the paths that reach the output
    zipped = "zip(rows, paths, strict=True)"
    return [*lines, f"        for row, path in {zipped}:", "            path.row = row"]


def _masks(graph: Graph, inputs: Mapping[str, str], count: int) -> list[str]:
    """The masks of all paths, under the name of the probability's input."""
    if PROBABILITY not in graph.types:
        return []
    like = next(name for name, type_ in given_inputs(graph) if isinstance(type_, ImageType))
    probability = "self.drop_path if self.training else 0.0"
    return [f"        {inputs[PROBABILITY]} = path_masks({count}, {inputs[like]}, {probability})"]


def _forward(
    graph: Graph, lines: list[CodeLine], inputs: dict[str, str], names: Names
) -> list[str]:
    if not graph.auxiliary:
        return _write(lines, inputs, names, graph.outputs).write(8, graph.outputs, reuse=False)
    wanted = graph.needed(graph.outputs)
    always = [line for line in lines if wanted.intersection(line.outputs)]
    training = [line for line in lines if not wanted.intersection(line.outputs)]
    shown = [identifier(name) for name in graph.about.get("outputs", "").split()]
    labels = dict.fromkeys(graph.outputs, "logits")
    if len(shown) == len(graph.outputs):
        labels = dict(zip(graph.outputs, shown, strict=True))
    always = [_labelled(line, labels) for line in always]
    kept = (*graph.outputs, *(x for line in training for x in line.reads))
    main = _write(always, inputs, names, kept)
    found = main.write(8, reuse=False)
    extra = _write(training, main.variables, names, graph.auxiliary)
    first = ", ".join(main.variables[name] for name in graph.outputs)
    body = extra.write(12, graph.auxiliary, reuse=False)
    body[-1] = body[-1].replace("return ", f"return {first}, ", 1)
    return [*found, "        if self.training:", *body, f"        return {first}"]


def _write(
    lines: list[CodeLine], variables: dict[str, str], names: Names, outputs: tuple[str, ...]
) -> CodeWriter:
    body = CodeWriter(lines, variables, names)
    body.decide(outputs)
    return body


def _labelled(line: CodeLine, labels: Mapping[str, str]) -> CodeLine:
    found = tuple(
        labels.get(name, label) for name, label in zip(line.outputs, line.labels, strict=True)
    )
    return CodeLine(line.reads, line.outputs, found, line.write, line.movable, line.activation)

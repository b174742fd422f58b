"""All rules, as one table. A body, written with these rules, is a class that loops over time."""

import re
import zlib

from lowering.python import choice, layers, sequence
from lowering.python.body import CodeLine, CodeWriter
from lowering.python.code import Code, call, signature, statement
from lowering.python.numbers import Numbers
from lowering.python.rule import PythonRule, Site, attributes, class_of
from lowering.python_text import CLASSES, Names, class_name, docstring, identifier
from nasir import Graph, NasirError, Node
from nasir.ops import Op
from nasir.ops.sequence import SCAN
from nasir.table import Table

_LOOP = """\
    def forward(self, sequence: Tensor, state: Tensor, *constants: Tensor) -> Tensor:
        states = []
        for x in sequence:
            state = self.step(x, state, *constants)
            states.append(state)
        return torch.stack(states)
"""


def _scan(site: Site) -> Code:
    return call(_class_of(site.nodes[0]))


def _class_of(node: Node) -> str:
    """The class of a node's body: the node has it alone.

    A number of the name follows where `class_name` does not keep different names apart.
    """
    body = node.body
    assert body is not None
    helpers = {class_of(row.helper) for row in RULES.values() if isinstance(row.helper, str)}
    name = f"{body.about.get('cell', 'body')}_{node.name}"
    found = class_name(name)
    apart = re.fullmatch(r"[a-z]+(_[a-z]+)*", name) and found not in CLASSES | helpers
    return found if apart else f"{found}_{zlib.crc32(name.encode()):08x}"


def layer_names(body: Graph) -> dict[str, str]:
    """The attribute of each node's layer, by the node's name; equal weights share one."""
    names = attributes("step")
    layers: dict[object, str] = {}
    found: dict[str, str] = {}
    for node in body:
        keys = tuple(ref.key for ref in node.params)
        stem = keys[0].rpartition(".")[0] if keys else node.name
        same = (node.op, keys) if keys else node.name
        if same not in layers:
            layers[same] = names.fresh(identifier(stem))
        found[node.name] = layers[same]
    return found


def write_body(node: Node) -> str:
    """The class of a body: its weights, one step, and the loop."""
    body = node.body
    assert body is not None
    if body.bodies:
        raise NasirError("E306", f"Python has no rule for a graph inside the body of '{node.name}'")
    numbers = Numbers(Names())
    made: dict[str, Code] = {}
    lines: list[CodeLine] = []
    layers = layer_names(body)
    for inner in body:
        found, attribute = rule(inner.op), layers[inner.name]
        site = Site((inner,), body.types, numbers, held=True)
        if found.layer is not None:
            made[attribute] = found.layer(site)
        lines.append(_line(inner, site, attribute))
    members = [row for name, code in made.items() for row in statement(f"self.{name} = ", code, 8)]
    summary = f"The {body.about.get('cell', 'body')} cell, and its loop over time."
    head = [
        f"class {_class_of(node)}(nn.Module):",
        f"    {docstring(summary)}",
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *members,
        "",
        *_step(body, lines),
        "",
    ]
    return "\n".join(head) + "\n" + _LOOP


def _line(node: Node, site: Site, attribute: str) -> CodeLine:
    found = rule(node.op)
    return CodeLine(
        node.inputs,
        (node.name,),
        (identifier(node.name),),
        lambda inputs: found.use(site, inputs, attribute),
        movable=not node.has("random"),
        activation=node.has("elementwise") and len(node.inputs) == 1,
    )


def _step(body: Graph, lines: list[CodeLine]) -> list[str]:
    """The method that computes the next state."""
    names = Names()
    variables = {name: names.fresh(identifier(name)) for name, _ in body.inputs}
    arguments = [f"{name}: Tensor" for name in variables.values()]
    written = CodeWriter(lines, variables, names)
    written.decide(body.outputs)
    return [
        *signature("step", arguments, "Tensor"),
        *written.write(8, body.outputs, reuse=False),
    ]


RULES: Table[PythonRule] = Table(
    *layers.RULES,
    *choice.RULES,
    *sequence.RULES,
    PythonRule(SCAN, layer=_scan, helper=write_body),
)


def rule(op: Op) -> PythonRule:
    """The rule of a primitive. Raises E306 when there is none."""
    if op.name not in RULES:
        raise NasirError("E306", f"Python has no rule for the op '{op.name}'")
    return RULES[op.name]

"""A graph as text that people read and `parse_graph` reads back.

One line for each thing, in this order:

    nasir graph 1
    meta space "darts"
    op se {"title": "…", "steps": […]}
    input image: image[3,32,32]
    stem/conv = conv2d(image) {kernel=3, out=108}: image[108,32,32]
    c00/n2 = add(a, b): image[36,32,32] in normal c00, edge into node normal/n2
    x = conv2d(y) {…}: image[…] with weight=other.weight[36,1,3,3] uniform(0.333)
    choice normal/n2.e0: op on edge, keep 1 of none skip_connect
    output head/linear
    auxiliary aux/linear

A graph that nodes apply stands before them, indented, from `body body1` to `end`; they name it:
`states = scan(x, h) {body=body1}: sequence[850]`.

Attributes at their default are left out, and so are weights that are the node's own. Pairs are
written 1x7, lists [0,2]. An `op` line defines an op of the graph's own space (see
`nasir.own_ops`). A line that starts with `#` is a comment.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, cast, get_args

from pydantic.fields import FieldInfo

from nasir.node import Node, default_params
from nasir.ops import Attrs, ParamRef
from nasir.template import meaning
from nasir.types import Type

VERSION = 1
HEADER = f"nasir graph {VERSION}"
NAME = re.compile(r"[A-Za-z_%][^\s(){}\[\]=,:\"\ud800-\udfff]*")


def print_node(node: Node, types: Mapping[str, Type], bodies: Mapping[Any, int]) -> str:
    """The node's line, without a newline; `bodies` are those of its graph with their numbers."""
    parts = [f"{node.name} = {node.op.name}({', '.join(node.inputs)})"]
    fields = type(node.attrs).model_fields
    shown = {k: v for k, v in node.attrs if fields[k].is_required() or v != fields[k].default}
    if shown:
        values = {
            k: f"body{bodies[v]}" if k == "body" else print_value(v, listed=is_list(fields[k]))
            for k, v in shown.items()
        }
        parts.append(" {" + ", ".join(f"{k}={v}" for k, v in values.items()) + "}")
    parts.append(f": {types[node.name]}")
    if node.at:
        parts.append(f" in {node.at}")
    inputs = tuple(types[name] for name in node.inputs)
    specs = meaning(node.op, node.attrs, inputs).params
    if node.params != default_params(node.name, specs):
        refs = (f"{s.name}={print_ref(r)}" for s, r in zip(specs, node.params, strict=True))
        parts.append(" with " + ", ".join(refs))
    return "".join(parts)


def is_list(field: FieldInfo) -> bool:
    """Whether an attribute is a list of numbers, and not a pair of them."""
    return get_args(field.annotation)[1:] == (Ellipsis,)


def print_value(value: Any, *, listed: bool = False) -> str:
    """An attribute's value: a number, true, false, none, or a pair as 1x7 (7 for 7x7).

    A list of numbers is written [0,2,3], one of other things as a string of JSON.
    """
    if listed and value and isinstance(value[0], Attrs):
        parts = [each.model_dump(mode="json", exclude_defaults=True) for each in value]
        return json.dumps(json.dumps(parts))
    if listed:
        return f"[{','.join(str(each) for each in value)}]"
    if isinstance(value, tuple):
        first, second = cast(tuple[int, int], value)
        return str(first) if first == second else f"{first}x{second}"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def print_ref(ref: ParamRef) -> str:
    """A weight: key[shape] init(value), with its parts and `buffer` where there are any."""
    parts = "".join(f"; {role}={print_ref(part)}" for role, part in ref.parts)
    shape = ",".join(str(size) for size in ref.shape)
    text = f"{ref.key}[{shape}] {ref.init.kind}({ref.init.value!r}{parts})"
    return text + " buffer" if ref.buffer else text

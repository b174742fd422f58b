"""`nasir ops`: the ops as papers name them, and the primitives they consist of."""

from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

import nasir
from nasir.errors import NasirError, nearest, quoted
from nasir.macros import ALL_OPS, EDGE_MACROS
from nasir.ops import Macro, Op
from nasir.passes import PLAIN
from nasir.text import is_list, print_node, print_value
from runners.commands.options import JsonOption
from runners.output import TextTable, joined, print_json, print_line, print_table

_EXAMPLE = nasir.ImageType(16, 32, 32)


def ops(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="An op to show in detail.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the ops, or show what one consists of.

    Ops on edges are what a genotype may name; blocks and primitives stand in graphs only.

    Example: nasir ops sep_conv_3x3
    """
    if name is None:
        _list(as_json=as_json)
        return
    if name not in ALL_OPS:
        raise NasirError("E201", f"unknown op {quoted(name)}", hint=nearest(name, ALL_OPS))
    facts = _facts(ALL_OPS[name]) | {"examples": _examples(name)}
    if as_json:
        print_json(facts)
        return
    print_line(f"{name} ({facts['kind']}): {facts['summary']}")
    print_line(f"attributes: {_attributes(ALL_OPS[name])}")
    print_line(f"traits: {joined(facts['traits'])}")
    for example in facts["examples"]:
        print_line()
        print_line(f"at stride {example['stride']}, from x: {_EXAMPLE}")
        for line in example["nodes"] or ["(nothing: the input itself)"]:
            print_line(f"  {line}")


def _list(*, as_json: bool) -> None:
    if as_json:
        print_json([_facts(op) for op in ALL_OPS.values()])
        return
    for kind, title in (
        ("edge", "ops on edges: what a genotype may name"),
        ("block", "blocks of skeletons"),
        ("primitive", "primitives: what graphs consist of in the end"),
    ):
        rows = tuple(
            (op.name, op.summary, _attributes(op), joined(sorted(op.traits)))
            for op in ALL_OPS.values()
            if _kind(op) == kind
        )
        print_table(TextTable(title, ("op", "what it does", "attributes", "traits"), rows))
        if kind != "primitive":
            print_line()


def _kind(op: Op) -> str:
    if isinstance(op, Macro):
        return "edge" if op.on_edge else "block"
    return "primitive"


def _facts(op: Op) -> dict[str, Any]:
    return {
        "name": op.name,
        "kind": _kind(op),
        "summary": op.summary,
        "inputs": {"least": op.arity[0], "most": op.arity[1]},
        "attributes": [
            {"name": name, "required": field.is_required(), "default": _default(field)}
            for name, field in op.attrs.model_fields.items()
        ],
        "traits": sorted(op.traits),
    }


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.default


def _attributes(op: Op) -> str:
    """The attributes in one cell: a name alone is required, else its default stands there."""
    return joined(
        name
        if field.is_required()
        else f"{name}={print_value(field.default, listed=is_list(field))}"
        for name, field in op.attrs.model_fields.items()
    )


def _examples(name: str) -> list[dict[str, Any]]:
    """What an op on an edge expands to at both strides."""
    return [_example(name, stride) for stride in (1, 2)] if name in EDGE_MACROS else []


def _example(name: str, stride: int) -> dict[str, Any]:
    builder = nasir.Builder(x=_EXAMPLE)
    result = builder(name, "x", name=name, stride=stride)
    graph, _ = nasir.run_passes(builder.graph(result), PLAIN)
    return {"stride": stride, "nodes": [print_node(graph, node) for node in graph]}

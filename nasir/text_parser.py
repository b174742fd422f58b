"""Parses the text of a graph; every error has a line and a column.

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
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, get_args

from nasir.arguments import checked
from nasir.errors import (
    BODY_LEVELS,
    GRAPH_TEXT_LIMIT,
    PRIMITIVE_LIMIT,
    Budget,
    NasirError,
    Where,
    nearest,
    quoted,
)
from nasir.graph import HEADER, NAME, Choice, Graph
from nasir.macros import ALL_OPS
from nasir.node import MIXED, At, Cell, ChoiceKind, Node, Slot, Step, default_params
from nasir.ops import BodyAttrs, Init, InitKind, Op, ParamRef
from nasir.template import find_op, make_attrs, meaning_at, primitives
from nasir.types import Type, parse_type

_COUNT = re.compile(r"[0-9]{1,18}(?![0-9])")
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|inf|nan)")
_TYPE = re.compile(r"[a-z]+\[[\d,]+\]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_VALUE = re.compile(
    r"true|false|none|[0-9]{1,18}x[0-9]{1,18}|\[[0-9, ]{0,4096}\]|"
    f"{_STRING.pattern}|{_NUMBER.pattern}"
)
_KIND = re.compile("|".join(get_args(ChoiceKind)))
_WORD = re.compile(r"[a-z_]+")


class TextLine:
    """A cursor in a line; errors have its column."""

    def __init__(self, file: str, number: int, text: str) -> None:
        self.file = file
        self.number = number
        self.text = text
        self.at = len(text) - len(text.lstrip(" "))

    def where(self) -> Where:
        """The place of the next token."""
        self.skip()
        return Where(self.file, self.number, self.at + 1, self.text)

    def error(self, wanted: str) -> NasirError:
        found = quoted(self.text[self.at :].split(" ")[0]) if self.text[self.at :] else "the end"
        return NasirError("E104", f"expected {wanted}, found {found}", self.where())

    def skip(self) -> None:
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1

    def take(self, token: str) -> bool:
        """True if that token comes next; consumes it."""
        self.skip()
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.error(f"'{token}'")

    def match(self, pattern: re.Pattern[str], wanted: str) -> str:
        self.skip()
        found = pattern.match(self.text, self.at)
        if not found:
            raise self.error(wanted)
        self.at = found.end()
        return found.group()

    def name(self) -> str:
        return self.match(NAME, "a name")

    def items(self, end: str) -> Iterator[None]:
        """Yields before each entry of a list; consumes the commas between them and its end."""
        if not self.take(end):
            yield
            while not self.take(end):
                self.expect(",")
                yield

    def end(self) -> None:
        self.skip()
        if self.at < len(self.text):
            raise self.error("the end of the line")


class _Parser:
    """Parser of a graph, or of the body of that name in `outer`."""

    def __init__(self, outer: "_Parser | None" = None, name: str = "") -> None:
        self.outer = outer
        self.name = name
        self.bodies: dict[str, Graph] = {}
        self.meta: list[tuple[str, str]] = []
        self.inputs: list[tuple[str, Type]] = []
        self.nodes: list[Node] = []
        self.types: dict[str, Type] = {}
        self.choices: list[Choice] = []
        self.outputs: list[str] = []
        self.auxiliary: list[str] = []
        self.ops: dict[str, Op] = dict(ALL_OPS)
        self.budget = Budget(PRIMITIVE_LIMIT, "the graph", "primitives")
        self.sizes: dict[int, int] = {}  # the primitives of each body, by its identity

    def read(self, line: TextLine) -> "_Parser":
        """Parses a line; returns the parser of the next line."""
        word, _, rest = line.text[line.at :].partition(" ")
        if word == "body" and not rest.startswith("= "):
            return self._body(line)
        if word == "end" and not rest.startswith("= "):
            return self._end(line)
        known: dict[str, Callable[[TextLine], None]] = {
            "meta": self._meta,
            "op": self._op,
            "input": self._input,
            "choice": self._choice,
            "output": lambda line: self.outputs.append(self._known(line)),
            "auxiliary": lambda line: self.auxiliary.append(self._known(line)),
        }
        if word in known and not rest.startswith("= "):  # a node may be called `input`
            line.expect(word)
            known[word](line)
        else:
            self._node(line)
        line.end()
        return self

    def graph(self, end: Where) -> Graph:
        """The parsed graph, whose text ends at `end`."""
        if not self.outputs:
            raise NasirError("E202", "the graph has no output", end, hint="end with 'output NAME'")
        return Graph(
            nodes=tuple(self.nodes),
            inputs=tuple(self.inputs),
            outputs=tuple(self.outputs),
            auxiliary=tuple(self.auxiliary),
            choices=tuple(self.choices),
            meta=tuple(self.meta),
        )

    def _body(self, line: TextLine) -> "_Parser":
        line.expect("body")
        where = line.where()
        name = line.name()
        line.end()
        if name in self.bodies:
            raise NasirError("E401", f"two bodies are called {quoted(name)}", where)
        depth, outer = 1, self.outer
        while outer is not None:
            depth, outer = depth + 1, outer.outer
        if depth > BODY_LEVELS:
            raise NasirError("E106", f"bodies nest more than {BODY_LEVELS} levels deep", where)
        return _Parser(self, name)

    def _end(self, line: TextLine) -> "_Parser":
        where = line.where()
        line.expect("end")
        line.end()
        if self.outer is None:
            raise NasirError("E104", "there is no body that could end here", where)
        body = self.outer.bodies[self.name] = self.graph(where)
        self.outer.sizes[id(body)] = self.budget.spent
        return self.outer

    def _meta(self, line: TextLine) -> None:
        key = line.name()
        where = line.where()
        self.meta.append((key, _json(line.match(_STRING, "a quoted string"), where)))

    def _op(self, line: TextLine) -> None:
        from nasir.own_ops import read_definition  # few graphs have ops of their own

        where = line.where()
        name = line.name()
        definition, line.at = line.text[line.at :].strip(), len(line.text)
        try:
            self.ops[name] = read_definition(name, definition)
        except NasirError as error:
            raise error.at(where) from None

    def _input(self, line: TextLine) -> None:
        name = self._fresh(line)
        line.expect(":")
        self.types[name] = _type(line)
        self.inputs.append((name, self.types[name]))

    def _choice(self, line: TextLine) -> None:
        name = line.name()
        line.expect(":")
        kind = _role(line)
        line.expect(",")
        line.expect("keep")
        keep = int(line.match(_COUNT, "a number"))
        line.expect("of")
        options = tuple(line.text[line.at :].split())
        line.at = len(line.text)
        self.choices.append(Choice(name, kind, options, keep))

    def _node(self, line: TextLine) -> None:
        where = line.where()
        name = self._fresh(line)
        line.expect("=")
        at = line.where()
        op_name = line.name()
        op = find_op(op_name, self.ops, at)
        inputs = self._sources(line, name)
        at = line.where()
        attrs = make_attrs(op, self._attributes(line, op), at)
        size = self.sizes[id(attrs.body)] if isinstance(attrs, BodyAttrs) else primitives(op)
        self.budget.spend(size, lambda: where)
        found = meaning_at(op, attrs, tuple(self.types[x] for x in inputs), where)
        line.expect(":")
        at = line.where()
        stated = _type(line)
        if stated != found.type:
            raise NasirError(
                "E305", f"{op.name} gives {found.type} here, the text says {stated}", at
            )
        place = _place(line) if line.take("in ") else None
        params = default_params(name, found.params)
        if line.take("with "):
            params = _refs(line, [spec.name for spec in found.params])
        self.types[name] = found.type
        self.nodes.append(Node(name, op, inputs, attrs, params, place, where))

    def _attributes(self, line: TextLine, op: Op) -> dict[str, Any]:
        attrs: dict[str, Any] = {}
        for _ in line.items("}") if line.take("{") else ():
            name = line.name()
            if name in attrs:
                raise NasirError("E104", f"attribute {quoted(name)} occurs twice", line.where())
            line.expect("=")
            if name == "body" and issubclass(op.attrs, BodyAttrs):
                attrs[name] = self._named_body(line)
            else:
                where = line.where()
                text = line.match(_VALUE, "a number, a pair, a list, true, false or none")
                attrs[name] = _value(text) if text[0] != '"' else _json(_json(text, where), where)
        return attrs

    def _named_body(self, line: TextLine) -> Graph:
        where = line.where()
        name = line.name()
        if name not in self.bodies:
            hint = nearest(name, self.bodies)
            raise NasirError("E401", f"there is no body {quoted(name)} above", where, hint)
        return self.bodies[name]

    def _fresh(self, line: TextLine) -> str:
        where = line.where()
        name = line.name()
        if name in self.types:
            raise NasirError("E401", f"the name {quoted(name)} is taken", where)
        return name

    def _known(self, line: TextLine, reader: str = "") -> str:
        where = line.where()
        name = line.name()
        if name == reader:
            raise NasirError("E401", f"node {quoted(name)} reads itself", where)
        if name not in self.types:
            raise NasirError(
                "E401",
                f"{quoted(name)} is not defined above this line",
                where,
                hint="a node can read only inputs and the nodes before it",
            )
        return name

    def _sources(self, line: TextLine, reader: str) -> tuple[str, ...]:
        line.expect("(")
        return tuple(self._known(line, reader) for _ in line.items(")"))


@checked
def parse_graph(text: str, file: str = "<graph>") -> Graph:
    """The inverse of `print_graph`.

    Raises an error if the text is too large or malformed, and the errors of `Graph`.
    """
    if len(text) > GRAPH_TEXT_LIMIT:
        message = f"the text of a graph has at most {GRAPH_TEXT_LIMIT:,} characters"
        raise NasirError("E106", message, Where(file))
    parser = _Parser()
    lines = re.split(r"\r\n|\n|\r", text.rstrip())  # meta may hold other line breaks
    if lines[0].strip() != HEADER:
        found = quoted(lines[0]) if lines[0] else "nothing"
        message = f"graph text starts with '{HEADER}', not with {found}"
        raise NasirError("E104", message, Where(file, 1, 1, lines[0]))
    for number, source in enumerate(lines[1:], start=2):
        if source.strip() and not source.lstrip(" ").startswith("#"):
            parser = parser.read(TextLine(file, number, source.rstrip()))
    last = Where(file, len(lines), 1, lines[-1])
    if parser.outer is not None:
        raise NasirError("E104", f"the body {quoted(parser.name)} has no 'end'", last)
    return parser.graph(last)


def _role(line: TextLine) -> ChoiceKind:
    kinds: dict[str, ChoiceKind] = {kind: kind for kind in get_args(ChoiceKind)}
    return kinds[line.match(_KIND, "a kind of choice")]


def _place(line: TextLine) -> At:
    """A cell instance, and the slots in it with their options."""
    cell, steps = Cell(line.name(), line.name()), list[Step]()
    while line.take(","):
        role = _role(line)
        where = line.where()
        try:
            slot = Slot.parse(line.name(), role)
        except ValueError as error:
            raise NasirError("E104", str(error), where) from None
        named = line.take(":")
        steps.append((slot, MIXED if named and line.take(MIXED) else line.name() if named else ""))
    return At(cell, tuple(steps))


def _type(line: TextLine) -> Type:
    where = line.where()
    try:
        return parse_type(line.match(_TYPE, "a type"))
    except ValueError as error:
        raise NasirError("E104", str(error), where) from None


def _value(text: str) -> Any:
    if text in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text]
    if text.startswith("["):
        return tuple(int(each) for each in text[1:-1].replace(" ", "").split(",") if each)
    if "x" in text:
        first, second = text.split("x")
        return (int(first), int(second))
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else float(text)


def _json(text: str, where: Where) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NasirError("E104", f"the string cannot be read: {error}", where) from None


def _refs(line: TextLine, names: list[str]) -> tuple[ParamRef, ...]:
    refs: list[ParamRef] = []
    for name in names:
        if refs:
            line.expect(",")
        line.expect(f"{name}=")
        refs.append(_ref(line))
    return tuple(refs)


def _ref(line: TextLine, *, with_parts: bool = True) -> ParamRef:
    """A weight; its parts have none themselves."""
    key = line.name()
    line.expect("[")
    shape = tuple(int(line.match(_COUNT, "a size")) for _ in line.items("]"))
    where = line.where()
    kinds: dict[str, InitKind] = {kind: kind for kind in get_args(InitKind)}
    kind = line.match(_WORD, "an initialisation")
    if kind not in kinds:
        raise NasirError("E104", f"unknown initialisation {quoted(kind)}", where)
    line.expect("(")
    init = Init(kinds[kind], float(line.match(_NUMBER, "a number")))
    parts: list[tuple[str, ParamRef]] = []
    while with_parts and line.take(";"):
        role = line.name()
        line.expect("=")
        parts.append((role, _ref(line, with_parts=False)))
    line.expect(")")
    ref = ParamRef(key, shape, init, parts=tuple(parts))
    return replace(ref, buffer=True) if line.take("buffer") else ref

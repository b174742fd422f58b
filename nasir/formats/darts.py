"""The Python text of a DARTS genotype, `Genotype(normal=[...], ...)`: parsed, never evaluated."""

import ast
import re
import warnings
from dataclasses import dataclass, field
from typing import NoReturn

from nasir.errors import NasirError, Where, nearest, quoted
from nasir.formats.format import Format, Spots, inexpressible, known_op, normal_and_reduce
from nasir.genotype import CellGenotype, Edge, Genotype, check_genotype
from nasir.source import Source

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
RECURRENT_FIELDS = ("recurrent", "concat")
_UNUSED_FIELDS = ("connectN", "connects")
_TEXT_LIMIT = 2**16
_RANGE_LIMIT = 1000
GENOTYPE_CALL = re.compile(r"\bGenotype\s*\(")


def load(source: Source) -> Genotype:
    """The genotype of a `Genotype(...)` call, optionally assigned to a name.

    Edges stand flat, two a node, or in one tuple for each node (AutoDL's variant). The call of a
    recurrent cell has one edge a node, and the fields `recurrent` and `concat`.
    """
    reader = _Reader(source)
    name, call = reader.call()
    if reader.is_recurrent(call):
        arguments = reader.arguments(call, RECURRENT_FIELDS)
        cell = reader.recurrent(arguments["recurrent"], arguments["concat"])
        return check_genotype(Genotype("darts_rnn", (cell,), name=name), reader.spots.place)
    arguments = reader.arguments(call)
    cells = tuple(
        reader.cell(kind, arguments[kind], arguments[f"{kind}_concat"])
        for kind in ("normal", "reduce")
    )
    return check_genotype(Genotype("darts", cells, name=name), reader.spots.place)


def dump(genotype: Genotype) -> str:
    """The Python repr of cells normal and reduce, or of one recurrent cell. Raises E208."""
    if genotype.kinds == ("recurrent",):
        return _dump_recurrent(genotype.cells[0])
    normal, reduce = normal_and_reduce(genotype, "darts")
    return (
        f"Genotype(normal={_format_edges(normal)}, normal_concat={_format_output(normal)}, "
        f"reduce={_format_edges(reduce)}, reduce_concat={_format_output(reduce)})"
    )


def _dump_recurrent(cell: CellGenotype) -> str:
    if cell.inputs != 1:
        raise inexpressible("darts", f"a recurrent cell of {cell.inputs} inputs")
    for state, edges in enumerate(cell.nodes, start=1):
        if len(edges) != 1:
            message = f"node {state} of the recurrent cell: {len(edges)} inputs, not 1"
            raise inexpressible("darts", message)
    return f"Genotype(recurrent={_format_edges(cell)}, concat={_format_output(cell)})"


def _format_edges(cell: CellGenotype) -> str:
    return repr([(edge.op, edge.source) for edges in cell.nodes for edge in edges])


def _format_output(cell: CellGenotype) -> str:
    first, last = cell.output[0], cell.output[-1]
    if len(cell.output) > 1 and cell.output == tuple(range(first, last + 1)):
        return repr(range(first, last + 1))
    return repr(list(cell.output))


@dataclass(frozen=True)
class _Reader:
    """Reads Python's syntax tree, keeping where each part stood."""

    source: Source
    spots: Spots = field(default_factory=Spots)

    def call(self) -> tuple[str, ast.Call]:
        """The name assigned to, or none, and the call."""
        body = self.parse().body
        if len(body) != 1:
            where = self.where(body[1]) if body else self.source.end
            raise NasirError("E109", f"one genotype is wanted, not {len(body)} statements", where)
        statement = body[0]
        name = ""
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
        value = statement.value if isinstance(statement, (ast.Assign, ast.Expr)) else None
        callee = value.func if isinstance(value, ast.Call) else None
        known = isinstance(callee, ast.Name) and callee.id == "Genotype"
        known = known or (isinstance(callee, ast.Attribute) and callee.attr == "Genotype")
        if not isinstance(value, ast.Call) or not known:
            self.wrong(statement, "the text is not a call of Genotype(...)")
        return name, value

    def parse(self) -> ast.Module:
        """The syntax tree. Raises E104, E106."""
        text = self.source.text
        if len(text) > _TEXT_LIMIT:
            limit = f"{_TEXT_LIMIT // 2**10} KiB"
            raise NasirError("E106", f"the text is larger than {limit}", Where(self.source.name))
        lead = len(text) - len(text.lstrip(" \t\n"))
        # Leading space would be an indentation; columns stay right when it is dropped by lines.
        padded = "\n" * text[:lead].count("\n") + text[lead:]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(padded)
        except SyntaxError as error:
            raise self.syntax_error(error) from None
        except (ValueError, RecursionError, MemoryError):
            where = Where(self.source.name)
            raise NasirError("E106", "the text nests too deeply", where) from None

    def syntax_error(self, error: SyntaxError) -> NasirError:
        """E104 where Python's parser stopped, E106 where it met too many brackets."""
        where = self.source.end
        if error.lineno and error.lineno <= self.source.text.count("\n") + 1:
            pad = self.indentation(error.lineno)
            where = self.source.line(error.lineno, pad + max(1, error.offset or 1))
        if "too many nested" in error.msg:
            return NasirError("E106", "the text nests too deeply", where)
        if "integer string conversion" in error.msg:
            return NasirError("E107", "a number is out of range", where)
        return NasirError("E104", f"the Python text cannot be parsed: {error.msg}", where)

    def is_recurrent(self, call: ast.Call) -> bool:
        """Whether the call is that of a recurrent cell: by its fields, or by their number."""
        names = {keyword.arg for keyword in call.keywords}
        if names.intersection((*FIELDS, *_UNUSED_FIELDS)):
            return False
        return bool(names.intersection(RECURRENT_FIELDS)) or (not names and len(call.args) == 2)

    def arguments(self, call: ast.Call, fields: tuple[str, ...] = FIELDS) -> dict[str, ast.expr]:
        """The fields by name. Raises E105, E109, E210."""
        names = (*fields, *_UNUSED_FIELDS) if fields == FIELDS else fields
        if len(call.args) > len(names):
            self.wrong(call.args[len(names)], f"a genotype has at most {len(names)} fields")
        for value in call.args:
            if isinstance(value, ast.Starred):
                self.wrong(value, "* is not read")
        found: dict[str, ast.expr] = dict(zip(names, call.args, strict=False))
        for keyword in call.keywords:
            if keyword.arg is None or keyword.arg not in names:
                what = f"unknown field {quoted(keyword.arg)}" if keyword.arg else "** is not read"
                self.wrong(keyword, what, hint=nearest(keyword.arg or "", names))
            if keyword.arg in found:
                message = f"the field '{keyword.arg}' occurs twice"
                raise NasirError("E105", message, self.where(keyword))
            found[keyword.arg] = keyword.value
        for name in _UNUSED_FIELDS:
            value = found.get(name)
            if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
                self.wrong(value, f"the field '{name}' is not read", hint="its value must be None")
        for name in fields:
            if name not in found:
                code = "E109" if name.endswith("concat") else "E210"
                what = "field" if name.endswith("concat") else "cell kind"
                raise NasirError(code, f"the {what} '{name}' is missing", self.where(call))
        return found

    def cell(self, kind: str, edges: ast.expr, output: ast.expr) -> CellGenotype:
        """One cell from its edges and its concatenation."""
        self.mark((kind,), edges)
        self.mark((kind, "output"), output)
        nodes = self.nodes(kind, edges)
        return CellGenotype(kind, 2, nodes, self.output(kind, output))

    def recurrent(self, edges: ast.expr, output: ast.expr) -> CellGenotype:
        """The recurrent cell, whose node i + 1 has edge i alone."""
        kind = "recurrent"
        self.mark((kind,), edges)
        self.mark((kind, "output"), output)
        parts = self.sequence(edges, f"the edges of cell '{kind}'")
        nodes = tuple((self.edge(kind, i, 0, part),) for i, part in enumerate(parts, start=1))
        return CellGenotype(kind, 1, nodes, self.output(kind, output))

    def nodes(self, kind: str, edges: ast.expr) -> tuple[tuple[Edge, ...], ...]:
        """The edges of each node. Raises E202 when flat edges do not come in pairs."""
        parts = self.sequence(edges, f"the edges of cell '{kind}'")
        groups = [self.nested(part) for part in parts]
        if any(groups):
            nodes = [group or [part] for group, part in zip(groups, parts, strict=True)]
        else:
            nodes = [parts[start : start + 2] for start in range(0, len(parts), 2)]
        for state, group in enumerate(nodes, start=2):
            if len(group) != 2:
                message = f"node {state} of cell '{kind}' has {len(group)} inputs, not 2"
                raise NasirError("E202", message, self.where(group[-1]))
        return tuple(
            tuple(self.edge(kind, state, slot, part) for slot, part in enumerate(group))
            for state, group in enumerate(nodes, start=2)
        )

    def nested(self, part: ast.expr) -> list[ast.expr]:
        """The edges of `part` if it is a node's tuple of edges, else none."""
        inner = part.elts if isinstance(part, (ast.Tuple, ast.List)) else []
        return inner if inner and isinstance(inner[0], (ast.Tuple, ast.List)) else []

    def edge(self, kind: str, state: int, slot: int, part: ast.expr) -> Edge:
        """One edge ('op', source)."""
        pair = self.sequence(part, "an edge ('op', source)")
        if len(pair) != 2:
            self.wrong(part, f"an edge is ('op', source), and this has {len(pair)} parts")
        op, source = pair
        if not isinstance(op, ast.Constant) or not isinstance(op.value, str):
            self.wrong(op, "an op must be a quoted name")
        self.mark((kind, state, slot), source)
        return Edge(known_op(op.value, lambda: self.where(op)), self.integer(source))

    def output(self, kind: str, value: ast.expr) -> tuple[int, ...]:
        """The states of a list, a tuple, `range(...)` or `list(range(...))`."""
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and not value.keywords:
            if value.func.id in ("list", "tuple") and len(value.args) == 1:
                return self.output(kind, value.args[0])
            if value.func.id == "range" and 1 <= len(value.args) <= 3:
                return self.range(value)
        states = self.sequence(value, f"the output of cell '{kind}'")
        for slot, state in enumerate(states):
            self.mark((kind, "output", slot), state)
        return tuple(self.integer(state) for state in states)

    def range(self, call: ast.Call) -> tuple[int, ...]:
        """The states of a `range(...)`."""
        numbers = [self.integer(argument) for argument in call.args]
        if len(numbers) == 3 and numbers[2] == 0:
            self.wrong(call, "the step of a range must not be zero")
        states = range(*numbers)
        if len(states) > _RANGE_LIMIT:
            raise NasirError("E107", f"a range of {len(states)} states", self.where(call))
        return tuple(states)

    def sequence(self, value: ast.expr, what: str) -> list[ast.expr]:
        """The elements of a list or tuple."""
        if not isinstance(value, (ast.List, ast.Tuple)):
            self.wrong(value, f"{what} must be a list or a tuple")
        return value.elts

    def integer(self, value: ast.expr) -> int:
        """A whole number, perhaps negative. Raises E107, E109."""
        negative = isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub)
        operand = value.operand if isinstance(value, ast.UnaryOp) and negative else value
        number = operand.value if isinstance(operand, ast.Constant) else None
        if not isinstance(number, int) or isinstance(number, bool):
            self.wrong(value, "a state must be a whole number")
        if number > 10**15:
            raise NasirError("E107", "the number of a state is out of range", self.where(value))
        return -number if negative else number

    def mark(self, path: tuple[str | int, ...], node: ast.expr) -> None:
        """Keep where a part stands."""
        self.spots.mark(path, lambda: self.where(node))

    def where(self, node: ast.expr | ast.stmt | ast.keyword) -> Where:
        """Where a node of the syntax tree starts, its column counted in characters."""
        pad = self.indentation(node.lineno)
        line = self.source.line(node.lineno, 1).text[pad:]
        before = line.encode()[: node.col_offset]
        return self.source.line(node.lineno, pad + len(before.decode("utf-8", "ignore")) + 1)

    def indentation(self, line: int) -> int:
        """The width of the first text's indentation, which the parser did not see."""
        lines = self.source.text.split("\n")
        if "".join(lines[: line - 1]).strip():
            return 0
        return len(lines[line - 1]) - len(lines[line - 1].lstrip())

    def wrong(
        self, node: ast.expr | ast.stmt | ast.keyword, message: str, hint: str = ""
    ) -> NoReturn:
        """Raises E109 where a node stands."""
        raise NasirError("E109", message, self.where(node), hint)


def _recognises(source: Source) -> bool:
    return bool(GENOTYPE_CALL.search(source.text))


DARTS = Format("darts", "the Python text Genotype(...)", _recognises, load, dump)

"""Python source text as plain data with places: parsed, never executed."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from nasir.document import Document, Json, Path, Places, double_key, too_deep
from nasir.errors import DEPTH_LIMIT, NUMBER_LIMIT, NasirError, Where, quoted
from nasir.files import Source

PYTHON_LIMIT = 2**19
"""The longest Python text, in characters: its syntax tree takes some hundred times as much."""

_SIZE_LIMIT = 200_000
"""The number of values in one text, each counted as often as it is referred to."""

_BRACKET_LIMIT = 32
_RANGE_LIMIT = 1000

_WORDS = {"true": True, "false": False, "null": None}
_SCALARS = re.compile(r"(?:np_)?(?:u?int\d*|float\d*|str_?|bool_?|unicode_|intp|longlong|half)")
_LISTS = frozenset({"list", "tuple", "array", "asarray", "tensor", "Tensor", "LongTensor", "Size"})
_MAPPINGS = frozenset({"dict", "OrderedDict"})
_PRINTED = re.compile(r"=<[^<>\n]{1,80}>")
"""An object without a Python notation, as torch prints `grad_fn=<SelectBackward0>`."""

_BRACKET = re.compile(r"[()\[\]{}]")


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the text: plain data, or its parts, and where it stands.

    `call` is the name that was called, where the value is a record. `size` counts its parts.
    """

    data: "bool | int | float | str | tuple[Value, ...] | dict[str, Value] | None"
    offset: int
    size: int = 1
    call: str = ""
    keys: dict[str, int] = field(default_factory=dict[str, int])

    def document(self, source: Source) -> Document:
        """The value as a document of its own, whose places are those in `source`."""
        places = Places()
        return Document(source, self._plain((), places), places)

    def _plain(self, path: Path, places: Places) -> Json:
        places.values[path] = self.offset
        if self.call:
            places.calls[path] = self.call
        if isinstance(self.data, tuple):
            return [part._plain((*path, i), places) for i, part in enumerate(self.data)]
        if isinstance(self.data, dict):
            places.keys.update({(*path, key): offset for key, offset in self.keys.items()})
            return {key: part._plain((*path, key), places) for key, part in self.data.items()}
        return self.data


@dataclass(frozen=True, slots=True)
class Statement:
    """An expression, or what is assigned to a name: its value, or why it is no plain data."""

    name: str
    value: Value | NasirError
    start: int
    end: int


def parse_statements(source: Source, start: int = 0, end: int | None = None) -> list[Statement]:
    """Parses the text's expressions and assignments, in order. The text is that between two
    offsets.
    """
    return list(_Reader(source, start, len(source.text) if end is None else end).statements())


def parse_value(source: Source, start: int, end: int) -> Value:
    """The one expression between two offsets."""
    found = parse_statements(source, start, end)
    if len(found) != 1:
        raise NasirError("E109", "a single value is expected", source.at(start))
    value = found[0].value
    if isinstance(value, NasirError):
        raise value
    return value


@dataclass
class _Reader:
    """Evaluates the literals of a syntax tree. Names mean what was assigned to them before."""

    source: Source
    start: int
    end: int
    names: dict[str, Value | tuple[str, ...] | NasirError] = field(
        default_factory=dict[str, "Value | tuple[str, ...] | NasirError"]
    )
    lines: list[int] = field(default_factory=list[int])
    size: int = 0
    depth: int = 0

    def statements(self) -> Iterator[Statement]:
        for statement in self.parse().body:
            match statement:
                case ast.Assign(targets=targets, value=value):
                    names = [target.id for target in targets if isinstance(target, ast.Name)]
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    names = [name]
                case ast.Expr(value=value):
                    names = [""]
                case ast.ClassDef(name=name, body=body):
                    self.names[name] = _annotated(body)
                    continue
                case ast.AugAssign(target=ast.Name(id=name)):
                    self.names.pop(name, None)
                    continue
                case _:
                    continue
            if fields := self.declared(value):
                self.names.update(dict.fromkeys(names, fields))
                continue
            read = self.try_read(value)
            for name in names:
                self.names[name] = read
                yield Statement(name, read, self.offset(value), self.end_of(value))

    def try_read(self, value: ast.expr) -> Value | NasirError:
        self.depth = 0
        try:
            return self.read(value)
        except NasirError as error:
            if error.code == "E106":
                raise
            return error

    def parse(self) -> ast.Module:
        """The syntax tree."""
        text = self.source.text[self.start : self.end]
        lead = len(text) - len(text.lstrip())
        self.start += lead
        text = _PRINTED.sub(lambda match: "=0" + " " * (len(match[0]) - 2), text[lead:].rstrip())
        if len(text) > PYTHON_LIMIT:
            raise self.too_large(f"the Python text is longer than {PYTHON_LIMIT // 2**10} KiB")
        if _nesting(text) > _BRACKET_LIMIT:
            raise self.too_large("the text nests too deeply")
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(text)
        except SyntaxError as error:
            raise self.syntax_error(error, text) from None
        except (ValueError, RecursionError, MemoryError):
            raise self.too_large("the text nests too deeply") from None

    def too_large(self, message: str) -> NasirError:
        return NasirError("E106", message, self.source.at(self.start))

    def syntax_error(self, error: SyntaxError, text: str) -> NasirError:
        """An error where Python's parser stopped, or where it met too many brackets."""
        offset = len(text)
        if error.lineno and error.lineno <= len(self.lines):
            offset = min(offset, self.lines[error.lineno - 1] + max(1, error.offset or 1) - 1)
        where = self.source.at(self.start + offset)
        if "too many nested" in error.msg:
            return NasirError("E106", "the text nests too deeply", where)
        if "integer string conversion" in error.msg:
            return NasirError("E107", "a number is out of range", where)
        rest = text[offset:]
        unclosed = "was never closed" in error.msg or "unterminated" in error.msg
        ends = not rest.strip() or (unclosed and "\n" not in rest) or "never closed" in error.msg
        where = self.source.at(self.start + len(text)) if ends else where
        hint = "the text ends too early: is the file truncated?" if ends else ""
        return NasirError("E104", f"the Python text cannot be parsed: {error.msg}", where, hint)

    def declared(self, value: ast.expr) -> tuple[str, ...]:
        """The fields of a record that `namedtuple(...)` or `NamedTuple(...)` declares; or none."""
        if not isinstance(value, ast.Call) or _callee(value) not in ("namedtuple", "NamedTuple"):
            return ()
        if len(value.args) < 2:
            return ()
        fields = self.try_read(value.args[1])
        if isinstance(fields, NasirError):
            return ()
        if isinstance(fields.data, str):
            return tuple(fields.data.replace(",", " ").split())
        parts = fields.data if isinstance(fields.data, tuple) else ()
        names = (part.data[0].data if isinstance(part.data, tuple) else part.data for part in parts)
        return tuple(name for name in names if isinstance(name, str))

    def read(self, node: ast.expr) -> Value:
        """The value of an expression."""
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise too_deep(self.where(node))
        value = self.expression(node)
        self.depth -= 1
        self.size += value.size
        if self.size > _SIZE_LIMIT:
            message = f"the text has more than {_SIZE_LIMIT:,} values"
            raise NasirError("E106", message, self.where(node))
        return value

    def expression(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=bool() | None | str() as data):
                return Value(data, self.offset(node))
            case ast.Constant(value=int() | float() as number):
                return self.number(node, number)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return self.number(node, -number)
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                return self.sequence(node, parts)
            case ast.Dict():
                return self.mapping(node)
            case ast.Name(id=name):
                return self.name(node, name)
            case ast.Attribute(value=inner, attr=name):
                record = self.read(inner)
                if isinstance(record.data, dict) and name in record.data:
                    return record.data[name]
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return self.sum(node, self.read(left), self.read(right))
            case ast.Call():
                return self.call(node)
            case _:
                pass
        raise self.wrong(node, "the expression is not plain data")

    def number(self, node: ast.expr, number: float) -> Value:
        if not -NUMBER_LIMIT <= number <= NUMBER_LIMIT:
            raise NasirError("E107", "the number is out of range", self.where(node))
        return Value(number, self.offset(node))

    def sequence(self, node: ast.expr, parts: list[ast.expr]) -> Value:
        read: list[Value] = []
        for part in parts:
            if isinstance(part, ast.Starred):
                inner = self.read(part.value)
                if not isinstance(inner.data, tuple):
                    raise self.wrong(part, "* needs a list")
                read += inner.data
            else:
                read.append(self.read(part))
        return _list(tuple(read), self.offset(node))

    def mapping(self, node: ast.Dict) -> Value:
        pairs: list[tuple[str, int, Value]] = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise self.wrong(node, "** is not read")
            name = self.read(key).data
            if isinstance(name, bool) or not isinstance(name, (str, int)):
                raise self.wrong(key, "a key must be a text or a whole number")
            pairs.append((str(name), self.offset(key), self.read(value)))
        return self.record(node, pairs)

    def record(self, node: ast.expr, pairs: list[tuple[str, int, Value]], call: str = "") -> Value:
        found: dict[str, Value] = {}
        for key, offset, value in pairs:
            if key in found:
                raise double_key(key, self.source.at(offset))
            found[key] = value
        size = 1 + sum(value.size for value in found.values())
        keys = {key: offset for key, offset, _ in pairs}
        return Value(found, self.offset(node), size, call, keys)

    def name(self, node: ast.expr, name: str) -> Value:
        if name in _WORDS and name not in self.names:
            return Value(_WORDS[name], self.offset(node))
        value = self.names.get(name)
        if isinstance(value, Value):
            return value
        raise self.wrong(node, f"the name {quoted(name)} stands for no plain data")

    def sum(self, node: ast.expr, left: Value, right: Value) -> Value:
        """Two texts, or two lists, one after the other."""
        if isinstance(left.data, str) and isinstance(right.data, str):
            if len(left.data) + len(right.data) > PYTHON_LIMIT:
                raise NasirError("E106", "the text is too long", self.where(node))
            return Value(left.data + right.data, self.offset(node))
        if isinstance(left.data, tuple) and isinstance(right.data, tuple):
            return _list(left.data + right.data, self.offset(node))
        raise self.wrong(node, "the expression is not plain data")

    def call(self, node: ast.Call) -> Value:
        """A wrapped scalar, a list, a mapping, or a record of what a class is called with."""
        name = _callee(node)
        fields = self.names.get(name)
        if isinstance(fields, tuple) or (name not in _LISTS | _MAPPINGS and name[:1].isupper()):
            return self.instance(node, name, fields if isinstance(fields, tuple) else ())
        if name == "range" and 1 <= len(node.args) <= 3 and not node.keywords:
            return self.range(node)
        if name in _MAPPINGS and len(node.args) <= 1:
            return self.pairs(node)
        if name in _LISTS and len(node.args) == 1:
            inner = self.read(node.args[0])  # dtype= and device= do not matter
            wants_list = name in ("list", "tuple", "Size")
            if isinstance(inner.data, tuple) or (not wants_list and not inner.keys):
                return Value(inner.data, self.offset(node), inner.size)
        if _SCALARS.fullmatch(name) and len(node.args) == 1:
            inner = self.read(node.args[0])
            if not isinstance(inner.data, (tuple, dict)):
                return Value(inner.data, self.offset(node))
        raise self.wrong(node, f"a call of {quoted(name or '…')} is not read")

    def instance(self, node: ast.Call, name: str, fields: tuple[str, ...]) -> Value:
        """A record: by field name; its positional values alone as a list where none is known."""
        for part in node.args:
            if isinstance(part, ast.Starred):
                raise self.wrong(part, "* is not read")
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.wrong(keyword, "** is not read")
        parts = [self.read(part) for part in node.args]
        if not fields and not node.keywords:
            return Value(tuple(parts), self.offset(node), 1 + sum(p.size for p in parts), name)
        if fields and len(parts) > len(fields):
            extra = node.args[len(fields)]
            raise self.wrong(extra, f"{name} has at most {len(fields)} fields")
        labels = fields or tuple(map(str, range(len(parts))))
        pairs = [(label, part.offset, part) for label, part in zip(labels, parts, strict=False)]
        pairs += [(str(k.arg), self.offset(k), self.read(k.value)) for k in node.keywords]
        return self.record(node, pairs, name)

    def pairs(self, node: ast.Call) -> Value:
        """`dict(...)` of a mapping, of pairs, or of keywords."""
        found: list[tuple[str, int, Value]] = []
        for part in node.args:
            inner = self.read(part).data
            if isinstance(inner, dict):
                found += [(key, value.offset, value) for key, value in inner.items()]
                continue
            for pair in inner if isinstance(inner, tuple) else ():
                if not isinstance(pair.data, tuple) or len(pair.data) != 2:
                    raise self.wrong(part, "an entry must be a pair (key, value)")
                key = pair.data[0].data
                if not isinstance(key, (str, int)):
                    raise self.wrong(part, "a key must be a text or a whole number")
                found.append((str(key), pair.data[0].offset, pair.data[1]))
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.wrong(keyword, "** is not read")
            found.append((keyword.arg, self.offset(keyword), self.read(keyword.value)))
        return self.record(node, found)

    def range(self, node: ast.Call) -> Value:
        numbers: list[int] = []
        for part in node.args:
            number = self.read(part).data
            if not isinstance(number, int) or isinstance(number, bool):
                raise self.wrong(part, "a bound of a range must be a whole number")
            numbers.append(number)
        if len(numbers) == 3 and numbers[2] == 0:
            raise self.wrong(node, "the step of a range must not be zero")
        states = range(*numbers)
        if len(states) > _RANGE_LIMIT:
            raise NasirError("E107", f"a range of {len(states)} numbers", self.where(node))
        at = self.offset(node)
        return _list(tuple(Value(state, at) for state in states), at)

    def offset(self, node: ast.expr | ast.keyword) -> int:
        """Offset of a node of the syntax tree, whose column counts bytes."""
        begin = self.start + self.lines[node.lineno - 1]
        line = self.source.text[begin : begin + node.col_offset]
        if not line.isascii():
            line = line.encode()[: node.col_offset].decode("utf-8", "ignore")
        return begin + len(line)

    def end_of(self, node: ast.expr) -> int:
        """About where a node ends: its column counts bytes."""
        return self.start + self.lines[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)

    def where(self, node: ast.expr | ast.keyword) -> Where:
        return self.source.at(self.offset(node))

    def wrong(self, node: ast.expr | ast.keyword, message: str) -> NasirError:
        return NasirError("E109", message, self.where(node))


def _list(parts: tuple[Value, ...], offset: int) -> Value:
    return Value(parts, offset, 1 + sum(part.size for part in parts))


def _callee(call: ast.Call) -> str:
    """The last name of what is called: `int64` of `np.int64`."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _annotated(body: list[ast.stmt]) -> tuple[str, ...]:
    """The fields of a class such as one derived from NamedTuple."""
    targets = [part.target for part in body if isinstance(part, ast.AnnAssign)]
    return tuple(target.id for target in targets if isinstance(target, ast.Name))


def _nesting(text: str) -> int:
    """The most levels to which brackets nest; those in quotes count too."""
    depth = most = 0
    for match in _BRACKET.finditer(text):
        if match[0] in "([{":
            depth += 1
            most = max(most, depth)
        elif depth:
            depth -= 1
    return most

"""Evaluates arithmetic in files, such as `3 * C` and `stride == 1`, without `eval`."""

import ast
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache

from nasir.errors import NasirError, nearest, quoted

LENGTH_LIMIT = 200

Number = int | float | bool

_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Number, Number], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%", ast.USub: "neg",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Not: "not", ast.And: "and", ast.Or: "or",
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[Number, Number], Number]] = {"max": max, "min": min}
_SCALED = re.compile(r"(?<![\w.])(\d{1,12}(?:\.\d{1,12})?)([kMG])\b")
_SCALES = {"k": 10**3, "M": 10**6, "G": 10**9}


def evaluate(text: str, values: Mapping[str, Number]) -> Number:
    """The value of an expression over `values`.

    Operators are + - * // %, comparisons, and, or, not, `a if test else b`, max(a, b), min(a, b).
    Names may have a dot in them, numbers may end in k, M or G. Raises an error without a place for
    anything else, an unknown name, or a division by zero.
    """
    try:
        return _value(parse(text), values)
    except ZeroDivisionError:
        raise NasirError("E306", f"the expression {quoted(text)} divides by zero") from None


def evaluate_parts(text: str, values: Mapping[str, Number]) -> Number:
    """Evaluates all parts, also those that `or` and `else` skip, and returns the value."""
    for part in _parts(text):
        with suppress(ZeroDivisionError):
            _value(part, values)
    return evaluate(text, values)


@lru_cache(1 << 12)
def names(text: str) -> tuple[str, ...]:
    """The names of the values in an expression, sorted."""
    return tuple(sorted({name for part in _parts(text) if (name := _name(part))}))


def tree_of(text: str) -> tuple[list[object], set[str]]:
    """The expression as nested lists `[operator, part, ...]`, and the names in it, for JSON.

    The operators are Python's signs, `if`, `max`, `min`, `number` and `name`; comparisons are in a
    row joined by `and`. Raises an error for what is no arithmetic.
    """
    evaluate_parts(text, dict.fromkeys(names(text), 1))
    return _listed(parse(text)), {*names(text)}


def _listed(tree: ast.expr) -> list[object]:
    match tree:
        case ast.Constant(value=value):
            return ["number", value]
        case ast.BinOp(op=op, left=left, right=right):
            return [_SIGNS[type(op)], _listed(left), _listed(right)]
        case ast.UnaryOp(op=op, operand=operand):
            return [_SIGNS[type(op)], _listed(operand)]
        case ast.IfExp(test=test, body=body, orelse=other):
            return ["if", *map(_listed, (test, body, other))]
        case ast.Compare(left=left, ops=ops, comparators=rights):
            pairs = zip(ops, [left, *rights[:-1]], rights, strict=True)
            return ["and", *([_SIGNS[type(op)], _listed(a), _listed(b)] for op, a, b in pairs)]
        case ast.BoolOp(op=op, values=parts):
            return [_SIGNS[type(op)], *map(_listed, parts)]
        case ast.Call(func=ast.Name(id=name), args=parts):
            return [name, *map(_listed, parts)]
        case _:
            return ["name", _name(tree)]


@lru_cache(1 << 12)
def parse(text: str) -> ast.expr:
    """The expression's tree. Raises an error if it is invalid or longer than LENGTH_LIMIT."""
    if len(text) > LENGTH_LIMIT:
        message = f"an expression has at most {LENGTH_LIMIT} characters, this one {len(text)}"
        raise NasirError("E306", message)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an odd spelling, such as 1if C else 2
            plain = _SCALED.sub(
                lambda x: f"{(Decimal(x[1]) * _SCALES[x[2]]).normalize():f}", text.strip()
            )
            return ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NasirError("E306", f"the expression {quoted(text)} cannot be parsed") from None


@lru_cache(1 << 12)
def _parts(text: str) -> list[ast.expr]:
    """The expression and all its subexpressions."""
    every = list(ast.walk(parse(text)))
    words = {id(getattr(each, "func", getattr(each, "value", None))) for each in every}
    return [x for x in every if isinstance(x, ast.expr) and id(x) not in words]


def _name(tree: ast.expr) -> str:
    """The name of a value, perhaps with a dot in it; "" for other expressions."""
    match tree:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=kind), attr=name):
            return f"{kind}.{name}"
        case _:
            return ""


def _value(tree: ast.expr, values: Mapping[str, Number]) -> Number:
    match tree:
        case ast.Constant(value=bool() | int() | float() as value):
            return value
        case ast.Name() | ast.Attribute(value=ast.Name()):
            name = _name(tree)
            if name not in values:
                message = f"there is no value {quoted(name)} in an expression"
                raise NasirError("E306", message, hint=nearest(name, values))
            return values[name]
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, values)
        case ast.IfExp(test=test, body=body, orelse=other):
            return _value(body if _value(test, values) else other, values)
        case _:
            return _truth(tree, values)


def _truth(tree: ast.expr, values: Mapping[str, Number]) -> Number:
    known = _COMPARE.keys()
    match tree:
        case ast.Compare(left=left, ops=ops, comparators=rights) if {*map(type, ops)} <= known:
            numbers = [_value(each, values) for each in (left, *rights)]
            pairs = zip(ops, numbers[:-1], numbers[1:], strict=True)
            return all(_COMPARE[type(op)](one, two) for op, one, two in pairs)
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, values) for part in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(_value(part, values) for part in parts)
        case ast.Call(func=ast.Name(id=name), args=[first, second], keywords=[]):
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](_value(first, values), _value(second, values))
        case _:
            pass
    raise NasirError(
        "E306",
        f"{quoted(ast.unparse(tree))} is no arithmetic",
        hint="there are + - * // %, comparisons, and, or, not, if-else, max(a, b) and min(a, b)",
    )

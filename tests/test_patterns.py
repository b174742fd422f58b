"""Every regular expression takes time in proportion to the text it is given."""

import ast
import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
# The only way to a pattern's tree; untyped.
kinds: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")
_SAMPLE = frozenset(map(chr, [*range(256), 0x663, 0x2028, 0x4E00]))
"""Characters by which sets are compared."""
_MANY = 200
"""A repeat of more than this is one without a bound."""

Items = Sequence[tuple[Any, Any]]


def slow(pattern: str, flags: int, *, anywhere: bool) -> str:
    """Why a pattern may take more than linear time; "" where it cannot. Rejects some that do not.

    `anywhere`: it is tried at every place of the text (search, sub, findall, finditer, split).
    """
    tree = parser.parse(pattern, flags)
    items = list(tree)
    flags |= tree.state.flags
    reason = _ambiguous(items, frozenset(), flags)
    if reason or not anywhere:
        return reason
    lines = False
    while items and items[0][0] is kinds.AT:
        if items[0][1] is kinds.AT_BEGINNING and not flags & re.MULTILINE:
            return ""
        lines = lines or items[0][1] is kinds.AT_BEGINNING
        items.pop(0)
    for held, fails, before in _runs(items, (), flags):
        again = all(part & held for part in before)
        if fails and again and (not lines or "\n" in held):
            return "a later place of the text may lie within a repeat that has failed"
    return ""


def _ambiguous(items: Items, after: frozenset[str], flags: int) -> str:
    """Why there is more than one repeat whose end is open, before `after`."""
    open_ends = 0
    for place, (kind, value) in enumerate(items):
        rest, nullable = _first(items[place + 1 :], flags)
        follow = rest | after if nullable else rest
        inner = _parts(kind, value)
        if _is_run(kind, value):
            body = value[2]
            heads, _ = _first(body, flags)
            if _has_run(body) or any(k is kinds.BRANCH for k, _ in body):
                reason = _ambiguous(list(body), heads | follow, flags)
                if reason or _has_open_end(list(body), heads | follow, flags):
                    return reason or "a repeat within a repeat, whose end is open"
                if not _branches_differ(list(body), flags):
                    return "a repeat of alternatives that begin alike"
            open_ends += bool(_all(body, flags) & follow)
        else:
            for part in inner:
                reason = _ambiguous(list(part), follow, flags)
                if reason:
                    return reason
                open_ends += _has_open_end(list(part), follow, flags)
        if open_ends and any(_holds_run(k, v) for k, v in items[place + 1 :]):
            return "a repeat after one whose end is open"
    return ""


def _has_open_end(items: Items, after: frozenset[str], flags: int) -> bool:
    for place, (kind, value) in enumerate(items):
        rest, nullable = _first(items[place + 1 :], flags)
        follow = rest | after if nullable else rest
        if _is_run(kind, value) and _all(value[2], flags) & follow:
            return True
        inner = [] if _is_run(kind, value) else _parts(kind, value)
        if any(_has_open_end(list(part), follow, flags) for part in inner):
            return True
    return False


def _branches_differ(items: Items, flags: int) -> bool:
    """Whether the alternatives of each branch begin with different characters."""
    for kind, value in items:
        if kind is kinds.BRANCH:
            seen: frozenset[str] = frozenset()
            for part in value[1]:
                first, nullable = _first(part, flags)
                if nullable or seen & first:
                    return False
                seen |= first
        elif not all(_branches_differ(list(part), flags) for part in _parts(kind, value)):
            return False
    return True


_Sets = tuple[frozenset[str], ...]


def _runs(items: Items, before: _Sets, flags: int) -> Iterator[tuple[frozenset[str], bool, _Sets]]:
    """Of each repeat without a bound the characters, whether what follows can fail, and what must
    stand between the beginning and it."""
    for place, (kind, value) in enumerate(items):
        fails = not _nullable(items[place + 1 :], flags)
        if _is_run(kind, value):
            yield _all(value[2], flags), fails, before
        else:
            for part in _parts(kind, value):
                for held, inner, sets in _runs(list(part), before, flags):
                    yield held, inner or fails, sets
        if not _first([(kind, value)], flags)[1]:
            before = (*before, _all([(kind, value)], flags))


def _is_run(kind: Any, value: Any) -> bool:
    return kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT) and value[1] > _MANY


def _holds_run(kind: Any, value: Any) -> bool:
    return _is_run(kind, value) or any(_has_run(part) for part in _parts(kind, value))


def _has_run(items: Any) -> bool:
    return any(_holds_run(kind, value) for kind, value in items)


def _parts(kind: Any, value: Any) -> list[Any]:
    """The patterns within an item."""
    if kind is kinds.SUBPATTERN:
        return [value[3]]
    if kind is kinds.BRANCH:
        return list(value[1])
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        return [value[2]]
    if kind in (kinds.ASSERT, kinds.ASSERT_NOT):
        return [value[1]]
    return []


def _first(items: Any, flags: int) -> tuple[frozenset[str], bool]:
    """The characters that a sequence can begin with, and whether it can be empty."""
    found: frozenset[str] = frozenset()
    for kind, value in items:
        if kind in (kinds.AT, kinds.ASSERT, kinds.ASSERT_NOT):
            continue
        parts = _parts(kind, value)
        if not parts:
            return found | _set(kind, value, flags), False
        each = [_first(part, flags) for part in parts]
        found = found.union(*(first for first, _ in each))
        empty = any(nullable for _, nullable in each)
        if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
            empty = empty or value[0] == 0
        if not empty:
            return found, False
    return found, True


def _nullable(items: Any, flags: int) -> bool:
    if any(kind in (kinds.AT, kinds.ASSERT, kinds.ASSERT_NOT) for kind, _ in items):
        return False
    return _first(items, flags)[1]


def _all(items: Any, flags: int) -> frozenset[str]:
    """Every character that a sequence can hold."""
    found: frozenset[str] = frozenset()
    for kind, value in items:
        parts = [] if kind in (kinds.ASSERT, kinds.ASSERT_NOT) else _parts(kind, value)
        found = found.union(*(_all(part, flags) for part in parts))
        if not parts and kind not in (kinds.AT, kinds.ASSERT, kinds.ASSERT_NOT):
            found |= _set(kind, value, flags)
    return found


_sets: dict[str, frozenset[str]] = {}


def _set(kind: Any, value: Any, flags: int) -> frozenset[str]:
    key = f"{kind} {value} {flags}"
    if key not in _sets:
        known = (c for c in _SAMPLE if kind is kinds.GROUPREF or _holds(kind, value, c, flags))
        _sets[key] = frozenset(known)
    return _sets[key]


def _holds(kind: Any, value: Any, character: str, flags: int) -> bool:
    if kind is kinds.ANY:
        return character != "\n" or bool(flags & re.DOTALL)
    cases = {character}
    if flags & re.IGNORECASE:
        cases |= {character.lower(), character.upper()}
    return any(_is(kind, value, ord(case)) for case in cases if len(case) == 1)


def _is(kind: Any, value: Any, code: int) -> bool:
    if kind is kinds.LITERAL:
        return code == value
    if kind is kinds.NOT_LITERAL:
        return code != value
    if kind is kinds.RANGE:
        return value[0] <= code <= value[1]
    if kind is kinds.CATEGORY:
        letter = str(value).rpartition("_")[2][0].lower()
        letter = letter.upper() if "_NOT_" in str(value) else letter
        return bool(re.match(f"\\{letter}", chr(code)))
    assert kind is kinds.IN, kind
    negated = value[0][0] is kinds.NEGATE
    inside = any(_is(k, v, code) for k, v in value if k is not kinds.NEGATE)
    return inside != negated


_METHODS = ("match", "fullmatch", "search", "sub", "subn", "findall", "finditer", "split")
_AT_START = ("match", "fullmatch")
_USED = re.compile(rf"\bre\.|\.(?:{'|'.join(_METHODS)})\(")


def _sources() -> Iterator[tuple[Path, ast.Module]]:
    for room in ("nasir", "lowering", "runners"):
        for path in sorted((ROOT / room).rglob("*.py")):
            text = path.read_text()
            if _USED.search(text):
                yield path, ast.parse(text)


def patterns() -> Iterator[tuple[str, str, int, bool]]:
    """Every pattern of the sources: where, its text, its flags, whether it is tried anywhere."""
    trees = list(_sources())
    anywhere = {found for path, tree in trees for found in _tried_anywhere(path, tree)}
    for path, tree in trees:
        names = {
            id(node.value): node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        makers = {
            id(node.value): function.name
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef) and not function.args.args
            for node in ast.walk(function)
            if isinstance(node, ast.Return) and _call_of_re(node.value)
        }
        for node in ast.walk(tree):
            found = _call_of_re(node)
            if found is None or not isinstance(node, ast.Call):
                continue
            method, arguments = found
            name = names.get(id(node), "")
            room = _module(path)
            at = f"{path.relative_to(ROOT)}:{node.lineno}"
            maker = makers.get(id(node))
            if maker is not None:
                made: re.Pattern[str] = getattr(importlib.import_module(room), maker)()
                yield at, made.pattern, made.flags, True
                continue
            text, flags = _evaluated(arguments, method, room)
            free = (room, name) in anywhere if method == "compile" else method not in _AT_START
            yield at, text, flags, free


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _tried_anywhere(path: Path, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The module and the name of each pattern that a source tries at every place of a text."""
    home = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            owner, method = call.func.value, call.func.attr
            if isinstance(owner, ast.Name) and method in _METHODS and method not in _AT_START:
                yield home.get(owner.id, (_module(path), owner.id))


def _call_of_re(node: ast.AST | None) -> tuple[str, ast.Call] | None:
    """The method and the call, where a node is `re.compile(…)`, `re.sub(…)` and so on."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    owner, method = node.func.value, node.func.attr
    if isinstance(owner, ast.Name) and owner.id == "re" and method in (*_METHODS, "compile"):
        return method, node
    return None


def _evaluated(call: ast.Call, method: str, module: str) -> tuple[str, int]:
    """The text and the flags of a pattern; only what is no constant needs its module."""

    def value(tree: ast.expr) -> Any:
        if isinstance(tree, ast.Constant):
            return tree.value
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        scope = {"re": re} if names == {"re"} else vars(importlib.import_module(module))
        return eval(compile(ast.Expression(tree), "<pattern>", "eval"), scope)

    place = {"compile": 1, "match": 2, "fullmatch": 2, "search": 2}.get(method, 9)
    given = [k.value for k in call.keywords if k.arg == "flags"] or call.args[place : place + 1]
    return value(call.args[0]), int(value(given[0])) if given else 0


def test_every_pattern_of_the_sources_is_linear() -> None:
    found = list(patterns())
    assert len(found) > 40
    wrong = {where: (text, slow(text, flags, anywhere=free)) for where, text, flags, free in found}
    assert {where: found for where, found in wrong.items() if found[1]} == {}


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        (r"^\s*[\"']?nasir[\"']?\s*:", re.MULTILINE),  # a text of newlines
        (r"^[{\s]*[\"']?arch_normal", re.MULTILINE),
        (r"(a+)+b", 0),
        (r"(?:a|ab)*c", 0),
        (r"(?:[0-9]+,?)*x", 0),
        (r"[0-9]+\.?[0-9]*x", 0),
        (r".*a.*b", 0),
        (r"\s*,?\s*x", 0),
        (r"\s+$", 0),
        (r"[a-z]+@", 0),
    ],
)
def test_patterns_that_are_not_linear_are_found(pattern: str, flags: int) -> None:
    assert slow(pattern, flags, anywhere=True)


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        (r"^[ \t]*[\"']?nasir[\"']?\s*:", re.MULTILINE),
        (r'"(?:[^"\\]|\\.)*"', re.DOTALL),
        (r"\bGenotype\s*\(", 0),
        (r"[0-9]+(?:\.[0-9]*)?x", 0),
        (r",(?=\s*[\]}])", 0),
        (r"[^\w+-]+", 0),
    ],
)
def test_patterns_that_are_linear_pass(pattern: str, flags: int) -> None:
    at_start = pattern.startswith(("[0-9]", '"'))
    assert not slow(pattern, flags, anywhere=not at_start)

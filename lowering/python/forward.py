"""The lines of a method: one statement for each step, broken as a formatter would break them."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lowering.python_text import Names

WIDTH = 100
_LONGEST = 88
"""Characters of a variable and a chain of two that is not broken."""


@dataclass(frozen=True)
class Line:
    """A statement: `write` gives its code, from the code of what it reads.

    A `term` may be written in the step that reads it, if that `holds` terms.
    """

    reads: tuple[str, ...]
    outputs: tuple[str, ...]
    labels: tuple[str, ...]
    write: Callable[[tuple[str, ...]], str]
    holds: bool = False
    term: bool = False


def write_steps(
    steps: Sequence[Line],
    variables: dict[str, str],
    names: Names,
    kept: tuple[str, ...],
    *,
    reuse: bool = False,
) -> list[str]:
    """The statements. `kept`: what is read after them.

    `variables` are the names of the values, to which those of the steps are added; with `reuse` a
    step that alone reads x overwrites it.
    """
    found: list[str] = []
    uses = Counter((*kept, *(name for step in steps for name in step.reads)))
    terms = _terms(steps, uses)

    def code(name: str) -> str:
        term = terms.get(name)
        return term.write(tuple(variables[x] for x in term.reads)) if term else variables[name]

    def add(step: Line) -> None:
        text = step.write(tuple(map(code, step.reads)))
        over = reuse and [(variables.get(x), uses[x]) for x in step.reads] == [("x", 1)]
        for name, label in zip(step.outputs, step.labels, strict=True):
            variables[name] = "x" if over else names.fresh(label)
        found.append(f"{', '.join(variables[name] for name in step.outputs)} = {text}")

    for step in steps:
        if step.outputs[0] in terms:
            continue
        text = step.write(tuple(map(code, step.reads)))
        if len(step.labels[0] + text) > _LONGEST and len(_split(text, " + ")) < 3:
            for name in [name for name in step.reads if name in terms]:
                add(terms.pop(name))
        add(step)
    return found


def returned(statements: list[str], values: Iterable[str]) -> str:
    """The code of these variables; a last statement that makes just them is taken out for it."""
    result = ", ".join(values)
    made = statements and statements[-1].startswith(f"{result} = ")
    return statements.pop().removeprefix(f"{result} = ") if made else result


def _terms(steps: Sequence[Line], uses: Mapping[str, int]) -> dict[str, Line]:
    """The terms that only one step reads, which holds them."""
    made = {step.outputs[0]: step for step in steps if step.term}
    read = (name for step in steps if step.holds for name in step.reads)
    return {name: made[name] for name in read if name in made and uses[name] == 1}


def broken(statement: str, indent: int) -> Iterator[str]:
    """The lines of a statement, none longer than `WIDTH` if that can be.

    Chains of operators break at each one, calls and definitions at their brackets.
    """
    pad, deeper = " " * indent, " " * (indent + 4)
    if len(pad + statement) <= WIDTH:
        yield pad + statement
        return
    code = statement.removeprefix("return ")
    if code == statement:
        code = statement.partition(" = ")[2] or statement
    lead = statement.removesuffix(code)
    for sign in (" + ", " - ", " * "):
        first, *rest = _split(code, sign)
        if rest:
            parts = [first, *(sign.lstrip() + part for part in rest)]
            whole = len(deeper + code) <= WIDTH
            yield f"{pad}{lead}("
            yield from (deeper + part for part in ([code] if whole else parts))
            yield f"{pad})"
            return
    values = _split(code, ", ")
    if len(values) > 1:
        yield f"{pad}{lead}("
        yield from (f"{deeper}{value}," for value in values)
        yield f"{pad})"
        return
    head, _, rest = statement.partition("(")
    inner, _, tail = rest.rpartition(")")
    yield f"{pad}{head}("
    if len(deeper + inner) <= WIDTH and not statement.startswith("def "):
        yield deeper + inner
    else:
        yield from (f"{deeper}{part}," for part in _split(inner, ", "))
    yield f"{pad}){tail}"


def _split(code: str, mark: str) -> list[str]:
    """The code between the marks that stand in no brackets."""
    parts, depth = [""], 0
    for piece in re.split(r"([()\[\]]|, | [+*-] )", code):
        depth += (piece in ("(", "[")) - (piece in (")", "]"))
        if piece == mark and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    return parts

"""The lines of a `forward`: which values get a variable, and which are written at their use."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lowering.python.code import Code, statement
from lowering.python_text import Names

_DEEPEST = 4
_LONGEST = 88


@dataclass(frozen=True)
class CodeLine:
    """One step: `write` gives its code, from the code of what it reads.

    `movable`: it may be written where its result is used; `activation`: it begins a layer.
    """

    reads: tuple[str, ...]
    outputs: tuple[str, ...]
    labels: tuple[str, ...]
    write: Callable[[tuple[str, ...]], Code]
    movable: bool = True
    activation: bool = False


@dataclass
class CodeWriter:
    """Writes lines in order. `names` are the variables given out; `variables` those of values."""

    lines: Sequence[CodeLine]
    variables: dict[str, str]
    names: Names
    inlined: dict[str, CodeLine] = field(default_factory=dict[str, CodeLine])

    def decide(self, outputs: Iterable[str]) -> None:
        """Finds the values that are written where they are used: short ones, used once."""
        uses = Counter([name for line in self.lines for name in line.reads])
        uses.update(outputs)
        found: dict[str, CodeLine] = {}
        for line in self.lines:
            single = [x for x in line.reads if x in found and uses[x] == 1]
            self.inlined |= {x: found[x] for x in single if self._fits(line, found[x])}
            self._shorten(line)
            code = self._draft(line)
            if line.movable and len(line.outputs) == 1 and not code.is_operation:
                found[line.outputs[0]] = line

    def _fits(self, line: CodeLine, before: CodeLine) -> bool:
        deep = self._depth(before)
        return deep < (_DEEPEST - 1 if line.activation else _DEEPEST)

    def _depth(self, line: CodeLine) -> int:
        return 1 + max(
            (self._depth(self.inlined[x]) for x in line.reads if x in self.inlined), default=0
        )

    def _shorten(self, line: CodeLine) -> None:
        """Takes out the longest parts until the line is short enough.

        A chain of three or more breaks well at its operators: there only each part must be short.
        """
        room = _LONGEST - max(map(len, line.labels))
        while within := [x for x in line.reads if x in self.inlined]:
            code = self._draft(line)
            chain = code.is_operation and len(code.parts) > 2
            if (max(map(len, code.parts)) if chain else len(str(code))) <= room:
                return
            del self.inlined[max(within, key=lambda x: len(self._draft_of(x)))]

    def _draft(self, line: CodeLine) -> Code:
        return line.write(tuple(self._draft_of(x) for x in line.reads))

    def _draft_of(self, name: str) -> str:
        if name in self.inlined:
            return str(self._draft(self.inlined[name]))
        return self.variables.get(name) or self._labels[name]

    @cached_property
    def _labels(self) -> dict[str, str]:
        return {
            name: label
            for line in self.lines
            for name, label in zip(line.outputs, line.labels, strict=True)
        }

    def write(self, indent: int, outputs: tuple[str, ...] = (), *, reuse: bool) -> list[str]:
        """The lines and the return of `outputs`, if any. `reuse`: x may be overwritten."""
        shown = [line for line in self.lines if line.outputs[0] not in self.inlined]
        last = {name: i for i, line in enumerate(shown) for name in self._reads(line)}
        last |= dict.fromkeys(outputs, len(shown))
        lines: list[str] = []
        for number, line in enumerate(shown):
            code = self._code(line)
            if line.outputs == outputs and line is shown[-1]:
                return [*lines, *statement("return ", code, indent)]
            dead = reuse and not any(
                variable == "x" and last.get(name, -1) > number
                for name, variable in self.variables.items()
            )
            for name, label in zip(line.outputs, line.labels, strict=True):
                self.variables[name] = "x" if dead else self.names.fresh(label)
            targets = ", ".join(self.variables[name] for name in line.outputs)
            lines += statement(f"{targets} = ", code, indent)
        if not outputs:
            return lines
        results = ", ".join(self.variables[name] for name in outputs)
        return [*lines, f"{' ' * indent}return {results}"]

    def _reads(self, line: CodeLine) -> set[str]:
        """The variables' values that the line reads, in what is written within it too."""
        found: set[str] = set()
        for name in line.reads:
            found |= self._reads(self.inlined[name]) if name in self.inlined else {name}
        return found

    def _code(self, line: CodeLine) -> Code:
        return line.write(tuple(self._text(x) for x in line.reads))

    def _text(self, name: str) -> str:
        if name in self.inlined:
            return str(self._code(self.inlined[name]))
        return self.variables[name]

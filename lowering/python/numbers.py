"""Integers of a class, over all its instances, as literals or in terms of its arguments."""

from lowering.python_text import Names

Values = tuple[int, ...]
"""A number in each instance of a class."""

_LARGEST_FACTOR = 16


class Numbers:
    """The arguments that a class turns out to need; it grows while the class is written.

    Widths (channels) and geometry (strides, kernels) are kept apart, so that two that merely
    happen to be equal are not written as one. `held`: those that `forward` reads from `self`.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._values: dict[str, Values] = {}
        self._widths: set[str] = set()
        self._used: set[str] = set()
        self.held: dict[str, None] = {}

    @property
    def arguments(self) -> dict[str, Values]:
        """The arguments in use, with their values.

        Widths come first, which are given by place; a stride comes last, for it has a default.
        """
        used = {name: values for name, values in self._values.items() if name in self._used}
        places = {name: (has_default(name), not self.is_width(name)) for name in used}
        return dict(sorted(used.items(), key=lambda item: places[item[0]]))

    def is_width(self, argument: str) -> bool:
        """Whether an argument counts channels."""
        return argument in self._widths

    def declare_width(self, values: Values, name: str) -> None:
        """Offers an argument for a width, unless there is one of these values."""
        if values not in (self._values[known] for known in self._widths):
            self._declare(values, name)
            self._widths = {*self._widths, list(self._values)[-1]}

    def width(self, values: Values, name: str, *, held: bool = False) -> str:
        """A number of channels: an argument, its multiple or fraction, or a literal."""
        if set(values) == {1}:
            return "1"
        known = {name: row for name, row in self._values.items() if name in self._widths}
        found = [(*_relation(values, row), name) for name, row in known.items()]
        found = [row for row in found if row[0]]
        if found:
            factor, sign, argument = min(found, key=lambda row: row[0])
            reference = self._use(argument, held=held)
            if factor == 1:
                return reference
            return f"{factor} * {reference}" if sign == "*" else f"{reference} // {factor}"
        if len(set(values)) == 1:
            return str(values[0])
        self.declare_width(values, name)
        return self._use(list(self._values)[-1], held=held)

    def geometry(self, values: Values, name: str, *, held: bool = False) -> str:
        """A size in pixels: a literal, or an argument."""
        if len(set(values)) == 1:
            return str(values[0])
        for known, row in self._values.items():
            if row == values and known not in self._widths:
                return self._use(known, held=held)
        self._declare(values, name)
        return self._use(list(self._values)[-1], held=held)

    def _declare(self, values: Values, name: str) -> None:
        self._values[self._names.fresh(name)] = values

    def _use(self, name: str, *, held: bool) -> str:
        self._used.add(name)
        if held:
            self.held[name] = None
        return f"self.{name}" if held else name


def has_default(argument: str) -> bool:
    """Whether an argument has the default 1."""
    return argument == "stride"


def _relation(values: Values, row: Values) -> tuple[int, str]:
    """(k, "*") where values = k * row, (k, "/") where values = row / k, else (0, "")."""
    if all(a and b % a == 0 for a, b in zip(values, row, strict=True)):
        factors = {b // a for a, b in zip(values, row, strict=True)}
        if len(factors) == 1 and max(factors) <= _LARGEST_FACTOR:
            return factors.pop(), "/"
    if all(b and a % b == 0 for a, b in zip(values, row, strict=True)):
        factors = {a // b for a, b in zip(values, row, strict=True)}
        if len(factors) == 1 and max(factors) <= _LARGEST_FACTOR:
            return factors.pop(), "*"
    return 0, ""

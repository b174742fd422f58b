"""Integers of a class, over all its instances, as literals or in terms of its arguments."""

from fractions import Fraction

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
        order = sorted(used, key=lambda name: (has_default(name), not self.is_width(name)))
        return {name: used[name] for name in order}

    def is_width(self, argument: str) -> bool:
        """True if an argument counts channels."""
        return argument in self._widths

    def declare_width(self, values: Values, name: str) -> None:
        """Offers an argument for a width, unless there is one of these values."""
        if values not in (self._values[known] for known in self._widths):
            self._widths.add(self._declare(values, name))

    def width(self, values: Values, name: str, *, held: bool = False) -> str:
        """A number of channels: an argument, its multiple or fraction, or a literal."""
        if set(values) == {1}:
            return "1"
        known = [(name, _ratio(values, self._values[name])) for name in self._values]
        found = [(name, ratio) for name, ratio in known if ratio and self.is_width(name)]
        if found:
            argument, ratio = min(found, key=lambda row: max(row[1].as_integer_ratio()))
            above, below = ratio.as_integer_ratio()
            reference = self._use(argument, held=held)
            if below > 1:
                return f"{reference} // {below}"
            return f"{above} * {reference}" if above > 1 else reference
        if len(set(values)) == 1:
            return str(values[0])
        self.declare_width(values, name)
        return self._use(list(self._values)[-1], held=held)

    def geometry(self, values: Values, name: str, *, held: bool = False) -> str:
        """A size in pixels: a literal, or an argument."""
        if len(set(values)) == 1:
            return str(values[0])
        for known, row in self._values.items():
            if row == values and not self.is_width(known):
                return self._use(known, held=held)
        return self._use(self._declare(values, name), held=held)

    def _declare(self, values: Values, name: str) -> str:
        name = self._names.fresh(name)
        self._values[name] = values
        return name

    def _use(self, name: str, *, held: bool) -> str:
        self._used.add(name)
        if held:
            self.held[name] = None
        return f"self.{name}" if held else name


def has_default(argument: str) -> bool:
    """True if an argument has the default 1."""
    return argument == "stride"


def _ratio(values: Values, row: Values) -> Fraction:
    """The small factor or divisor that leads from `row` to `values` everywhere, or 0."""
    if values == row or 0 in row:
        return Fraction(values == row)
    ratios = {Fraction(a, b) for a, b in zip(values, row, strict=True)}
    found = ratios.pop()
    above, below = found.as_integer_ratio()
    small = min(above, below) == 1 and max(above, below) <= _LARGEST_FACTOR
    return found if small and not ratios else Fraction(0)

"""What networks of a space cost, many at a time: counted without writing them down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from nasir.analysis import cost
from nasir.errors import NasirError, Where
from nasir.graph import Builder
from nasir.ops import Op
from nasir.space.skeletons import Skeleton, write_network
from nasir.space.space import Genotype
from nasir.template import find_op, make_attrs, meaning
from nasir.types import Type

_KEPT = 1 << 14
"""How many ops with their attributes and types are remembered."""


class Totals(NamedTuple):
    """Of a network without its auxiliary head, as `nasir.cost` counts."""

    params: int
    macs: int
    activations: int


@dataclass(frozen=True, slots=True)
class _Counted:
    type: Type
    totals: Totals


class CostCounter(Builder):
    """Counts what the nodes cost that a builder would write.

    Costs are sums over nodes, so that an op is counted once for each attributes and input types,
    and a cell of a network once for each types of what it reads.
    """

    def __init__(self, **inputs: Type) -> None:
        super().__init__(**inputs)
        self.counts = [0, 0, 0]
        self._called: dict[str, tuple[Op, dict[str, Any], tuple[Type, ...]]] = {}
        self._parts: dict[object, _Counted] = {}

    def __call__(self, op: str | Op, *inputs: str, name: str = "", **attrs: Any) -> str:
        """Counts a node, and returns its name. Raises what a builder raises."""
        spec, types = find_op(op, self.ops), tuple([self.types[x] for x in inputs])
        name = name or self._fresh(spec.name)
        try:
            part = _part(spec, tuple(attrs.items()), types)
        except NasirError as error:
            raise NasirError(error.code, error.message, Where(f"node {name}"), error.hint) from None
        self._called[name] = spec, attrs, types
        return self._add(name, part)

    def part(self, key: object, inputs: Sequence[str], name: str, add: Callable[[], str]) -> str:
        """Counts what `add` counted for that key and inputs of these types."""
        key = key, tuple([self.types[x] for x in inputs])
        if key in self._parts:
            return self._add(name, self._parts[key])
        before = tuple(self.counts)
        output = add()
        after = (now - then for now, then in zip(self.counts, before, strict=True))
        self._parts[key] = _Counted(self.types[output], Totals(*after))
        return output

    def share(self, name: str, other: str) -> str:
        """Weights that `other` has too count once."""
        mine, theirs = map(self._weights, (name, other))
        self.counts[0] -= sum(prod(shape) for _, shape in mine & theirs)
        return name

    def _add(self, name: str, part: _Counted) -> str:
        self.types[name] = part.type
        for place, number in enumerate(part.totals):
            self.counts[place] += number
        return name

    def _weights(self, name: str) -> set[tuple[str, tuple[int, ...]]]:
        op, attrs, types = self._called[name]
        found = meaning(op, make_attrs(op, attrs), types).params
        return {(each.name, each.shape) for each in found if not each.buffer}


@lru_cache(_KEPT)
def _part(op: Op, attrs: tuple[tuple[str, Any], ...], types: tuple[Type, ...]) -> _Counted:
    builder = Builder(**{f"x{place}": type_ for place, type_ in enumerate(types)})
    name = builder(op, *builder.types, name="node", **dict(attrs))
    found = cost(builder.graph(name))
    return _Counted(builder.type(name), Totals(found.params, found.macs, found.activations))


def totals(genotype: Genotype, skeleton: Skeleton, size: Any) -> Totals:
    """What `nasir.cost` finds for the genotype's network in that size."""
    counter, _, _ = write_network(CostCounter, genotype, skeleton, size)
    return Totals(*counter.counts)

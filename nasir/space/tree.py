"""Decisions as a tree: what can be picked at each slot of a cell, and the arithmetic on it.

A `Choose` picks some of its options, and an option may bring decisions of its own, as an edge that
is kept brings its op. The decisions of a cell are a tuple of `Choose`; a genotype's cell is the
same tuple with, for each, a `Pick`. Numbers are digits in a mixed radix, the last `Choose` varying
fastest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import combinations, combinations_with_replacement, product
from math import isnan, prod
from random import Random
from typing import Any

from nasir.errors import NasirError, quoted
from nasir.graph import Choice
from nasir.node import Slot

_LISTED = 4096
"""Up to this many, the picks of a `Choose` are remembered with their numbers and neighbours."""

Name = str | int

Entry = tuple[Name, tuple["Pick", ...]]
"""An option that is kept: its name, and the picks of its own decisions."""

Pick = tuple[Entry, ...]
"""The options that one `Choose` keeps."""

Picks = tuple[Pick, ...]
"""A pick for each of some decisions."""

_REMEMBERED: Any = partial(field, default_factory=dict, init=False, compare=False, repr=False)

Weights = Mapping[str, Sequence[float]]
"""Numbers for the options of the choices of a supernet, by name, in the choice's order."""

Picker = Callable[[Sequence[float], int], list[int]]
"""(scores, how many) -> the places that are picked, in the order in which they are emitted."""


@dataclass(frozen=True)
class Option:
    """An alternative, and the decisions that it brings where it is kept."""

    name: Name
    then: tuple["Choose", ...] = ()

    @cached_property
    def size(self) -> int:
        """The number of ways to take its own decisions."""
        return prod(each.size for each in self.then)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The option with each way to take its own decisions, in order."""
        return tuple((self.name, then) for then in product(*(each.each() for each in self.then)))


@dataclass(frozen=True)
class Choose:
    """Keeps `keep` of its options (None: every one), or from `keep` to `most` of them.

    With `repeats` an option may be kept several times, and what is picked is a multiset of options
    with their decisions. `mixed` names the options of the choice in a supernet where some of them
    are never selected. Moves, and which options can have decisions in common, are remembered.
    """

    slot: Slot
    options: tuple[Option, ...]
    keep: int | None = 1
    most: int = 0
    repeats: bool = False
    mixed: tuple[str, ...] = ()

    _found: dict[Entry, list[Entry]] = _REMEMBERED()
    _related: dict[tuple[Name, Name], bool] = _REMEMBERED()

    @property
    def choice(self) -> Choice:
        """The decision as a supernet has it."""
        options = self.mixed or tuple(str(option.name) for option in self.options)
        return Choice(str(self.slot), self.slot.role, options, self.counts.start)

    @cached_property
    def counts(self) -> range:
        """Numbers of options that may be kept."""
        least = len(self.options) if self.keep is None else self.keep
        return range(least, max(least, self.most) + 1)

    @cached_property
    def size(self) -> int:
        """The number of picks."""
        return sum(self._ways[count][0] for count in self.counts)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Each option with each way to take its decisions, in order."""
        return tuple(entry for option in self.options for entry in option.entries)

    def each(self) -> Iterator[Pick]:
        """Every pick, in order of their numbers."""
        for count in self.counts:
            if self.repeats:
                yield from combinations_with_replacement(self.entries, count)
            else:
                for kept in combinations(self.options, count):
                    yield from product(*(option.entries for option in kept))

    def unrank(self, index: int) -> Pick:
        """The pick of that number, 0 .. size-1: kept options in lexicographic order, fewer first.

        Within the kept options their decisions go in order, the last one's varying fastest.
        """
        for count in self.counts:
            if index < self._ways[count][0]:
                break
            index -= self._ways[count][0]
        else:
            raise AssertionError("the index is past the last pick")
        kept: list[int] = []
        scale, place = 1, 0
        for left in range(count - 1, -1, -1):
            while index >= (block := scale * self._block(place, left)):
                index, place = index - block, place + 1
            kept.append(place)
            scale *= self._sizes[place]
            place += self._next
        if self.repeats:
            return tuple(self.entries[place] for place in kept)
        found: list[Entry] = []
        for option in (self.options[place] for place in reversed(kept)):
            index, digit = divmod(index, option.size)
            found.append((option.name, unrank(option.then, digit)))
        return tuple(reversed(found))

    def rank(self, pick: Pick) -> int:
        """The number of a pick whose entries are in order: `unrank` inverts it."""
        number = self.numbers.get(pick)
        return self._rank(pick) if number is None else number

    @cached_property
    def numbers(self) -> Mapping[Pick, int]:
        """The numbers of all picks, where they are few."""
        return {pick: n for n, pick in enumerate(self.each())} if self.size <= _LISTED else {}

    def _rank(self, pick: Pick) -> int:
        index = sum(self._ways[count][0] for count in self.counts if count < len(pick))
        scale, before, digits = 1, 0, 0
        for left, entry in zip(range(len(pick) - 1, -1, -1), pick, strict=True):
            place = self._places[entry]
            index += scale * sum(self._block(other, left) for other in range(before, place))
            scale *= self._sizes[place]
            if not self.repeats:
                option = self.options[place]
                digits = digits * option.size + rank(option.then, entry[1])
            before = place + self._next
        return index + digits

    def ordered(self, entries: Iterable[Entry]) -> Pick:
        """The entries as a pick: in the order of the options."""
        return tuple(sorted(entries, key=self._places.__getitem__))

    def neighbours(self, pick: Pick) -> list[Pick]:
        """Every pick that differs in one decision: one below, or one option is another.

        An option that takes another's place keeps its decisions; where the two have no options in
        common it takes any. That makes the relation symmetric, and every pick reachable. Between
        `keep` and `most`, an option comes or goes. Repeated options share their name or decision.
        """
        names = {name for name, _ in pick}
        found: dict[Pick, None] = {}
        key = self._places.__getitem__
        for at, entry in enumerate(pick):
            rest = pick[:at] + pick[at + 1 :]
            others = names - {entry[0]} if not self.repeats else ()
            for move in self._moves(entry):
                if move[0] not in others:
                    found[tuple(sorted((*rest, move), key=key))] = None
            if self.most:
                found[rest] = None
        if self.most:
            free = ((o.name, ()) for o in self.options if o.name not in names)
            found |= dict.fromkeys(self.ordered((*pick, entry)) for entry in free)
        found.pop(pick, None)
        fitting = [each for each in found if len(each) in self.counts]
        plain = not self.repeats and not any(option.then for option in self.options)
        return sorted(fitting, key=self.rank) if plain else fitting

    def cross(self, first: Pick, second: Pick, random: Random) -> Pick:
        """Either of the two; if both keep the same options, each of their decisions from either."""
        same = [name for name, _ in first] == [name for name, _ in second]
        options = [self.named[name] for name, _ in first]
        if not same or not any(option.then for option in options):
            return random.choice((first, second))
        return tuple(
            (option.name, cross(option.then, one, two, random))
            for option, (_, one), (_, two) in zip(options, first, second, strict=True)
        )

    def decide(self, weights: Weights, pick: Picker) -> Pick:
        """The pick that the weights select: scores decide on options, then on their decisions.

        The score of an option is its own weight (1 where the weights have none for edges) times the
        best weight of each of its decisions.
        """
        scores = self._scores(weights)
        if self.keep is None or self.most:
            places = list(range(len(self.options)))
        else:
            places = pick(scores, self.keep)
        if self.repeats:  # fewer entries than are kept: the first of them again
            places += places[:1] * (self.counts.start - len(places))
            return tuple(self.entries[place] for place in places)
        kept = [self.options[place] for place in places]
        return tuple((o.name, tuple(c.decide(weights, pick) for c in o.then)) for o in kept)

    def _scores(self, weights: Weights) -> list[float]:
        """The scores of the options (of the entries where they repeat)."""
        own = self._own(weights)
        inner = [[each._scores(weights) for each in option.then] for option in self.options]
        if self.repeats:
            return [w * score for w, (row,) in zip(own, inner, strict=True) for score in row]
        return [w * prod(map(max, rows)) for w, rows in zip(own, inner, strict=True)]

    def _own(self, weights: Weights) -> list[float]:
        name = str(self.slot)
        optional = self.slot.role == "edge into node" and name not in weights
        if optional or self.most or (self.slot.role == "input" and self.keep is None):
            return [1.0] * len(self.options)
        mixed = self.mixed or tuple(str(option.name) for option in self.options)
        names = {option.name for option in self.options}
        row = weights_row(weights, name, len(mixed))
        if not self.mixed:
            return list(row)
        return [weight for weight, option in zip(row, mixed, strict=True) if option in names]

    def _moves(self, entry: Entry) -> list[Entry]:
        """Entries that may stand in the place of an entry."""
        if entry not in self._found:
            name, then = entry
            if self.repeats:
                moves = [e for e in self.entries if e[0] == name or e[1] == then]
            else:
                own = self.named[name]
                moves: list[Entry] = [(name, other) for other in neighbours(own.then, then)]
                for option in () if self.most else self.options:
                    if option is not own:
                        moves += [(option.name, each) for each in self._carried(own, option, then)]
            self._found[entry] = moves
        return self._found[entry]

    def _carried(self, old: Option, new: Option, then: Picks) -> Iterable[Picks]:
        """An option's decisions at another: unchanged where they fit; any where none could."""
        pair = (old.name, new.name)
        if pair not in self._related:
            self._related[pair] = _alike(old.then, new.then)
        if not self._related[pair]:
            return product(*(each.each() for each in new.then))
        return (then,) if _fits(new.then, then) else ()

    @cached_property
    def named(self) -> dict[Name, Option]:
        """The options by name."""
        return {option.name: option for option in self.options}

    @cached_property
    def _sizes(self) -> list[int]:
        """The sizes of what is kept: of options, or of their entries where they repeat."""
        return [1] * len(self.entries) if self.repeats else [o.size for o in self.options]

    @property
    def _next(self) -> int:
        return 0 if self.repeats else 1

    @cached_property
    def _places(self) -> dict[Entry, int]:
        """The places of the entries: of their options, or their own where they repeat."""
        if self.repeats:
            return {entry: place for place, entry in enumerate(self.entries)}
        pairs = enumerate(self.options)
        return {entry: place for place, option in pairs for entry in option.entries}

    def _block(self, place: int, left: int) -> int:
        """The ways to keep what is at `place` and `left` of those after it."""
        return self._sizes[place] * self._ways[left][place + self._next]

    @cached_property
    def _ways(self) -> list[list[int]]:
        """`_ways[k][p]`: how many ways there are to keep k of what stands from place p on."""
        ways = [[1] * (len(self._sizes) + 1)]
        for _ in range(self.counts.stop - 1):
            row = [0] * (len(self._sizes) + 1)
            for place in range(len(self._sizes) - 1, -1, -1):
                row[place] = row[place + 1] + self._sizes[place] * ways[-1][place + self._next]
            ways.append(row)
        return ways


def unrank(tree: Sequence[Choose], index: int) -> Picks:
    """The picks of that number."""
    found: list[Pick] = []
    for each in reversed(tree):
        index, digit = divmod(index, each.size)
        found.append(each.unrank(digit))
    return tuple(reversed(found))


def rank(tree: Sequence[Choose], picks: Sequence[Pick]) -> int:
    """The number of picks: `unrank` inverts it."""
    index = 0
    for each, pick in zip(tree, picks, strict=True):
        index = index * each.size + each.rank(pick)
    return index


def neighbours(tree: Sequence[Choose], picks: Picks) -> Iterator[Picks]:
    """All picks that differ in one decision."""
    for place, (each, pick) in enumerate(zip(tree, picks, strict=True)):
        for other in each.neighbours(pick):
            yield (*picks[:place], other, *picks[place + 1 :])


def cross(
    tree: Sequence[Choose], first: Sequence[Pick], second: Sequence[Pick], random: Random
) -> Picks:
    """Each pick from either."""
    pairs = zip(tree, first, second, strict=True)
    return tuple(each.cross(one, two, random) for each, one, two in pairs)


def weights_row(weights: Weights, name: str, options: int) -> tuple[float, ...]:
    """The weights of a choice."""
    if name not in weights:
        message = f"the choice {quoted(name)} has no weights"
        raise NasirError("E401", message, hint="give those of every choice of the supernet")
    row = tuple(float(weight) for weight in weights[name])
    if len(row) != options:
        message = f"the choice {quoted(name)} has {options} options, and {len(row)} weights"
        raise NasirError("E503", message)
    if any(isnan(weight) for weight in row):
        message = f"a weight of the choice {quoted(name)} is NaN"
        raise NasirError("E107", message, hint="the search that made it has diverged")
    return row


def _alike(one: Sequence[Choose], two: Sequence[Choose]) -> bool:
    """True if some picks are picks of both."""

    def shared(a: Choose, b: Choose) -> int:
        pairs = ((option, b.named.get(option.name)) for option in a.options)
        return sum(other is not None and _alike(option.then, other.then) for option, other in pairs)

    def possible(a: Choose, b: Choose) -> bool:
        most = min(a.counts.stop - 1, b.counts.stop - 1, shared(a, b))
        return max(a.counts.start, b.counts.start) <= most

    return len(one) == len(two) and all(map(possible, one, two))


def _fits(tree: Sequence[Choose], picks: Sequence[Pick]) -> bool:
    return all(
        len(pick) in each.counts
        and all(name in each.named and _fits(each.named[name].then, then) for name, then in pick)
        for each, pick in zip(tree, picks, strict=True)
    )

"""Constraints of a space: `where`, conditions over counts and costs of its genotypes."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nasir.arithmetic import Number, evaluate, evaluate_parts
from nasir.errors import NasirError, quoted
from nasir.space.sizes import DEPTHS, StagedSize
from nasir.space.skeletons import find_skeleton, network_size
from nasir.space.space import Genotype, Space
from nasir.totals import Totals, totals

_COUNTED = ("nodes", "edges")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Expressions of `nasir.arithmetic` that are true of every genotype of the space.

    There are `params`, `macs` and `activations` of the network in the
    space's size, the numbers of that size, and, of all kinds of cell together or of one
    (`normal.edges`), `nodes`, `edges` and how often each op occurs; its name with `_` for `-`.
    """

    texts: tuple[str, ...]

    def check(self, space: Space, index: int) -> None:
        """Raises an error for an expression that is none, or whose value is not true or false."""
        text = self.texts[index]
        names = (*Totals._fields, *find_skeleton(space.skeleton).sizes)
        value = evaluate_parts(text, dict.fromkeys(names, 1) | _counts(space, None))
        if not isinstance(value, bool):
            message = f"{quoted(text)} is no condition"
            raise NasirError("E306", message, hint="compare: params < 500k")

    def reasons(self, genotype: Genotype) -> Iterator[str]:
        """The conditions that a genotype of the space does not fulfil, with its numbers.

        One without a value, as its network cannot be built, is not fulfilled.
        """
        known = _Measures(genotype)
        for text in self.texts:
            known.used.clear()
            try:
                if evaluate(text, known):
                    continue
                why = ", ".join(f"{name} = {known[name]:,}" for name in sorted(known.used))
            except NasirError as error:
                why = error.message
            yield f"it does not fulfil `{text}`: {why}"


class _Measures(Mapping[str, Number]):
    """What conditions may use, of one genotype; `used` are the names that were looked up."""

    def __init__(self, genotype: Genotype) -> None:
        assert genotype.definition is not None
        self.genotype = genotype
        self.skeleton = find_skeleton(genotype.definition.skeleton)
        self.size = network_size(genotype, self.skeleton, {})
        self.known: dict[str, Number] = _counts(genotype.definition, genotype)
        self.known |= {name: getattr(self.size, name) for name in self.skeleton.sizes}
        if isinstance(self.size, StagedSize):
            self.known |= zip(DEPTHS, self.size.depths, strict=True)
        self.used: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self.known or name in Totals._fields

    def __getitem__(self, name: str) -> Number:
        if name in Totals._fields and name not in self.known:
            self.known |= totals(self.genotype, self.skeleton, self.size)._asdict()
        self.used.add(name)
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self.known, *Totals._fields))

    def __len__(self) -> int:
        return len({*self.known, *Totals._fields})


def _counts(space: Space, genotype: Genotype | None) -> dict[str, Number]:
    """How often each op, nodes and edges occur, by name, and by kind and name; zeros of a space."""
    found = Counter[str]()
    for kind in space.kinds:
        cell = space.cell(kind)
        own = Counter(dict.fromkeys((*_COUNTED, *map(_spelled, cell.named_ops)), 0))
        if genotype is not None:
            chosen = genotype.cell(kind)
            own["nodes"] += len(chosen.nodes)
            own["edges"] += sum(map(len, chosen.nodes)) + len(chosen.output) * bool(chosen.ops)
            ops = chosen.ops or (edge.op for edges in chosen.nodes for edge in edges)
            own.update(map(_spelled, ops))
        found.update(own)
        found.update({f"{_spelled(kind)}.{name}": number for name, number in own.items()})
    return {**found}


def _spelled(name: str) -> str:
    return name.replace("-", "_")

"""Constraints of a space: `where`, conditions over counts and costs of its genotypes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from nasir.arithmetic import Number, evaluate, evaluate_parts, names
from nasir.errors import NasirError, quoted
from nasir.space.sizes import DEPTHS, StagedSize
from nasir.space.skeletons import find_skeleton, network_size
from nasir.space.space import Genotype, Space
from nasir.totals import Totals, totals


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
        known = (*Totals._fields, *find_skeleton(space.skeleton).sizes)
        value = evaluate_parts(text, dict.fromkeys(known, 1) | _counts(space, None))
        if not isinstance(value, bool):
            raise NasirError("E306", f"{quoted(text)} is no condition", hint="as: params < 500k")

    def reasons(self, genotype: Genotype) -> Iterator[str]:
        """The conditions that a genotype of the space does not fulfil, with its numbers.

        One without a value, as its network cannot be built, is not fulfilled.
        """
        space = genotype.definition
        assert space is not None
        skeleton = find_skeleton(space.skeleton)
        size = network_size(genotype, skeleton, {})
        known = _counts(space, genotype) | {name: getattr(size, name) for name in skeleton.sizes}
        if isinstance(size, StagedSize):
            known |= zip(DEPTHS, size.depths, strict=True)
        for text in self.texts:
            used = names(text)
            try:
                if not known.keys() >= {*used}:
                    known |= totals(genotype, skeleton, size)._asdict()
                if evaluate(text, known):
                    continue
                why = ", ".join(f"{name} = {known[name]:,}" for name in used)
            except NasirError as error:
                why = error.message
            yield f"it does not fulfil `{text}`: {why}"


def _counts(space: Space, genotype: Genotype | None) -> dict[str, Number]:
    """How often each op, nodes and edges occur, by name, and by kind and name; zeros of a space."""
    found = Counter[str]()
    for kind in space.kinds:
        cell = space.cell(kind)
        own = Counter(dict.fromkeys(("nodes", "edges", *map(_spelled, cell.named_ops)), 0))
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

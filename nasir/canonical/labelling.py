"""Canonical numberings: one for all cells that are the same up to the names of their parts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import groupby, permutations, product
from math import factorial, prod
from typing import Any

from nasir.canonical.terms import HINT, Place, Term, Terms
from nasir.errors import LABEL_STEPS, Budget
from nasir.space.decisions import CellGenotype
from nasir.space.nasbench101 import Module, module_of, pruned

Colours = dict[int, int]
"""The colour of each vertex; vertices of one colour are not distinguished yet.

Behind a colour are as many free numbers as other vertices have it, so that refining adds ranks.
"""

Code = tuple[tuple[tuple[int, int], ...], ...]


@dataclass(frozen=True, slots=True)
class Labelling:
    """A cell's digest, and in an order that equal cells share: its weighted edges, its outputs."""

    digest: bytes
    edges: tuple[Place, ...]
    outputs: tuple[int, ...]


def label(terms: Terms) -> Labelling:
    """The canonical numbering of what the outputs need. Raises an error where that takes too long.

    Every term gets a form, the digest of all that it computes. Where each term with weights has
    a form of its own, the forms say everything. Else two terms that compute the like (two
    convolutions of one value) must be told apart by who reads them: one convolution read twice is
    not two convolutions. That is a graph to be numbered canonically.
    """
    first, outputs = len(terms.rows), range(len(terms.outputs))
    rows = [*terms.rows, *[(b"output", value, None) for value in terms.outputs]]
    live, forms = _forms(rows, first)
    places = {term: place for term in live if (place := rows[term][2])}
    own, ends = list(places), forms[first:]
    distinct = {forms[term] for term in own}
    text = b"".join([*sorted(distinct), b"|", *sorted(ends)])
    if len(distinct) == len(own):
        own.sort(key=forms.__getitem__)
        order = sorted(outputs, key=ends.__getitem__)
    else:
        vertex = {term: number for number, term in enumerate(live)}
        colours = _ranks([(term >= first, forms[term]) for term in live])
        reads = [tuple([(vertex[read], n) for read, n in rows[term][1]]) for term in live]
        number = _numbering if len(live) <= _FEW else _numbering.__wrapped__
        code, numbers, steps = number(tuple(colours), tuple(reads))
        terms.budget.spend(steps)
        text += code
        own.sort(key=lambda term: numbers[vertex[term]])
        order = sorted(outputs, key=lambda i: numbers[i - len(ends)])
    return Labelling(sha256(text).digest(), tuple([places[term] for term in own]), tuple(order))


def _forms(rows: list[Term], first: int) -> tuple[list[int], list[bytes]]:
    """The terms that those from the first output on need, and their forms by number.

    A form is the digest of a label and a sum, whatever the order of the sum's terms.
    """
    wanted = bytearray(first) + b"1" * (len(rows) - first)
    for term in range(len(rows) - 1, -1, -1):
        if wanted[term]:
            for read, _ in rows[term][1]:
                wanted[read] = 1
    forms, once = [b""] * len(rows), [b""] * len(rows)
    live = [term for term, needed in enumerate(wanted) if needed]
    for term in live:
        label, value, _ = rows[term]
        if not value:
            form = _digest(label)
        elif len(value) == 1 and value[0][1] == 1:
            form = _digest(label + once[value[0][0]])
        else:
            parts = [once[t] if n == 1 else forms[t] + b"%d;" % n for t, n in value]
            parts.sort()
            form = sha256(label + b"".join(parts)).digest()
        forms[term] = form
        once[term] = form + b"1;"
    return live, forms


@lru_cache(1 << 12)
def _digest(text: bytes) -> bytes:
    return sha256(text).digest()


Part = Sequence[int]
"""Some vertices of the graph."""


_FEW = 10
"""Numberings of up to so many vertices are remembered: those of NAS-Bench-201, few of DARTS."""


@lru_cache(1 << 11)
def _numbering(colours: tuple[int, ...], reads: Code) -> tuple[bytes, list[int], int]:
    """Returns the code of a canonical numbering, the number of each vertex, and the steps taken.

    Vertices of one colour compute the like.
    """
    graph, part = _Graph(reads), range(len(reads))
    order = graph.order(part, dict(enumerate(colours)))
    numbers = [0] * len(order)
    for number, vertex in enumerate(order):
        numbers[vertex] = number
    return repr(graph.code(order)).encode(), numbers, graph.budget.spent


class _Graph:
    """Live terms and outputs as vertices; an edge for each term of a sum, with its count."""

    def __init__(self, reads: Code) -> None:
        self.reads = reads
        self.budget = Budget(LABEL_STEPS, "the id", "steps", HINT)
        self.readers: list[list[tuple[int, int]]] = [[] for _ in reads]
        for reader, value in enumerate(reads):
            for vertex, count in value:
                self.readers[vertex].append((reader, count))
        self.steps = [1 + len(a) + len(b) for a, b in zip(reads, self.readers, strict=True)]

    def order(self, part: Part, colours: Colours) -> list[int]:
        """The vertices in an order that isomorphic parts have in common.

        Where refining leaves several of a colour, what is left falls apart into pieces: edges
        between two colours that are all there say nothing. Each piece is ordered by itself, and
        pieces of one form can change places, so that twins need no search.
        """
        colours = self.refine(part, colours)
        if not _classes(part, colours):
            return sorted(part, key=colours.__getitem__)
        pieces = self.pieces(part, colours)
        ordered = [self.order_piece(piece, colours) for piece in pieces]
        forms = [(tuple(colours[v] for v in order), self.code(order)) for order in ordered]
        ranks = _ranks(forms)
        place = {
            vertex: (colours[vertex], rank, index, number)
            for index, (rank, order) in enumerate(zip(ranks, ordered, strict=True))
            for number, vertex in enumerate(order)
        }
        return sorted(part, key=lambda v: place.get(v, (colours[v], 0, 0, 0)))

    def order_piece(self, piece: Part, colours: Colours) -> list[int]:
        """The least order of a connected piece among those that tell one vertex apart first.

        Two vertices that lead to one code, by always telling apart the first vertex, are images of
        each other under a symmetry; so one of them is enough.
        """
        open_ = _open(piece, colours)
        if not open_:
            return sorted(piece, key=colours.__getitem__)
        best: tuple[Code, list[int]] | None = None
        symmetries: list[dict[int, int]] = []
        glances: dict[Code, list[int]] = {}
        tried: list[int] = []
        for vertex in open_:
            if vertex in _orbit(tried, symmetries):
                continue
            told = self.refine(piece, _told_apart(piece, colours, vertex))
            glance = self.descend(piece, told)
            like = glances.setdefault(self.code(glance), glance)
            if like is not glance:
                symmetries.append(dict(zip(like, glance, strict=True)))
                continue
            tried.append(vertex)
            order = self.order(piece, told)
            code = self.code(order)
            if best is None or code < best[0]:
                best = code, order
        assert best is not None
        return best[1]

    def refine(self, part: Part, colours: Colours) -> Colours:
        """Vertices of one colour told apart by the colours around them in the part."""
        while classes := _classes(part, colours):
            self.budget.spend(sum([self.steps[vertex] for vertex in part]))
            told = colours.copy()
            for same in classes:
                ranks = _ranks([self.around(vertex, colours) for vertex in same])
                for vertex, rank in zip(same, ranks, strict=True):
                    told[vertex] += rank
            if told == colours:
                break
            colours = told
        return colours

    def around(self, vertex: int, colours: Colours) -> tuple[list[tuple[int, int]], ...]:
        """What a vertex reads and what reads it, by colour."""
        reads = [(colours[v], n) for v, n in self.reads[vertex] if v in colours]
        readers = [(colours[v], n) for v, n in self.readers[vertex] if v in colours]
        reads.sort()
        readers.sort()
        return reads, readers

    def pieces(self, part: Part, colours: Colours) -> list[list[int]]:
        """Components of a refined part, by edges that tell vertices of one colour apart."""
        sizes = Counter(colours[vertex] for vertex in part)
        near: dict[int, list[int]] = {v: [] for v in part if sizes[colours[v]] > 1}
        for vertex, around in near.items():
            groups: dict[int, list[tuple[int, int]]] = {}
            for other, times in self.reads[vertex]:
                if other in near:
                    groups.setdefault(colours[other], []).append((other, times))
            for colour, group in groups.items():
                if len(group) < sizes[colour] or len({times for _, times in group}) > 1:
                    for other, _ in group:
                        around.append(other)
                        near[other].append(vertex)
        found: list[list[int]] = []
        seen: set[int] = set()
        for start in near:
            if start in seen:
                continue
            seen.add(start)
            piece = [start]
            for vertex in piece:
                fresh = [other for other in dict.fromkeys(near[vertex]) if other not in seen]
                seen.update(fresh)
                piece += fresh
            found.append(piece)
        return found

    def descend(self, part: Part, colours: Colours) -> list[int]:
        """An order that refines a colouring, always by the first vertex."""
        while open_ := _open(part, colours):
            colours = self.refine(part, _told_apart(part, colours, open_[0]))
        return sorted(part, key=colours.__getitem__)

    def code(self, order: Sequence[int]) -> Code:
        """The others that each vertex reads, in their order."""
        numbers = {vertex: number for number, vertex in enumerate(order)}
        reads = [self.reads[vertex] for vertex in order]
        self.budget.spend(sum(map(len, reads)) + len(order))
        found = [[(numbers[v], n) for v, n in each if v in numbers] for each in reads]
        return tuple([tuple(sorted(each)) if len(each) > 1 else tuple(each) for each in found])


def _classes(part: Part, colours: Colours) -> list[list[int]]:
    """The vertices of each colour that several have."""
    if len({colours[vertex] for vertex in part}) == len(part):
        return []
    classes: dict[int, list[int]] = {}
    for vertex in part:
        classes.setdefault(colours[vertex], []).append(vertex)
    return [same for same in classes.values() if len(same) > 1]


def _ranks(keys: Sequence[Any]) -> list[int]:
    """Ranks of the keys: how many are less; equal keys have one rank."""
    ordered = sorted(range(len(keys)), key=keys.__getitem__)
    ranks = [0] * len(keys)
    for place, index in enumerate(ordered):
        same = place > 0 and keys[ordered[place - 1]] == keys[index]
        ranks[index] = ranks[ordered[place - 1]] if same else place
    return ranks


def _open(part: Part, colours: Colours) -> list[int]:
    """The vertices of the least colour that several have; none where all have their own."""
    return min(_classes(part, colours), key=lambda same: colours[same[0]], default=list[int]())


def _orbit(vertices: list[int], symmetries: list[dict[int, int]]) -> set[int]:
    """The vertices, and what the symmetries make of them."""
    orbit, stack = set(vertices), list(vertices)
    while stack:
        vertex = stack.pop()
        for image in [symmetry[vertex] for symmetry in symmetries]:
            if image not in orbit:
                orbit.add(image)
                stack.append(image)
    return orbit


def _told_apart(part: Part, colours: Colours, vertex: int) -> Colours:
    """The colouring in which the vertex comes before the others of its colour."""
    mine = colours[vertex]
    return {v: 2 * colours[v] + (colours[v] == mine and v != vertex) for v in part}


_MOST_ORDERS = 5040
"""Up to this many orders of a module's vertices are tried."""

Order = tuple[int, ...]


def label_module(cell: CellGenotype) -> Labelling:
    """The canonical numbering of what pruning leaves of a cell with ops on nodes.

    Vertices may be renamed, but those that the output reads keep their order among themselves: in
    NAS-Bench-101 the first of them get the channels that the division leaves over, so that
    isomorphic modules, which share the benchmark's hash, can compute different functions. All that
    a vertex reads and its op count, poolings too: no two vertices are one. Of a module with very
    many vertices that look alike only some orders are tried, which tells equal ones apart but never
    makes different ones equal. Raises an error for more than 128 vertices.

    `edges` has the live nodes, each as (its state, 0).
    """
    Budget(LABEL_STEPS, "the id", "steps").spend((len(cell.nodes) + 2) ** 3)  # of the colours
    module = module_of(cell)
    marked = pruned(Module(module.matrix, tuple(map(str, range(len(module.ops))))))
    if marked is None:
        return Labelling(sha256(b"unreachable").digest(), (), ())
    states = [*map(int, marked.ops)]
    live = Module(marked.matrix, tuple(module.ops[state] for state in states))
    code, order = min((_code(live, order), order) for order in _orders(live))
    outputs = sum(row[-1] for row in live.matrix)
    digest = sha256(repr(("module", code)).encode()).digest()
    return Labelling(
        digest, tuple((states[vertex], 0) for vertex in order[1:-1]), tuple(range(outputs))
    )


def _code(module: Module, order: Order) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """The module with its vertices in that order, as text and numbers that can be compared."""
    ops = tuple(module.ops[vertex] for vertex in order)
    place = {vertex: number for number, vertex in enumerate(order)}
    reads = tuple(
        tuple(sorted(place[x] for x in range(len(order)) if module.matrix[x][vertex]))
        for vertex in order
    )
    return ops, reads


def _orders(module: Module) -> Iterator[Order]:
    """Orders of the vertices that isomorphic modules have in common; at least one.

    Vertices that differ in colour go by colour; those of one colour in every order.
    """
    colours = _colours(module)
    ranked = sorted(range(1, len(module.ops) - 1), key=lambda v: colours[v])
    classes = [tuple(same) for _, same in groupby(ranked, key=lambda v: colours[v])]
    last = len(module.ops) - 1
    orders = prod(factorial(len(same)) for same in classes)
    if orders > _MOST_ORDERS or orders * last**2 > LABEL_STEPS:
        yield (0, *ranked, last)
        return
    for parts in product(*(permutations(same) for same in classes)):
        yield (0, *(vertex for part in parts for vertex in part), last)


def _colours(module: Module) -> list[bytes]:
    """A colour for each vertex that does not depend on its number, refined by its neighbours'.

    It starts with the op and, for what the output reads, the place among those.
    """
    size = len(module.ops)
    feeding = [vertex for vertex in range(size) if module.matrix[vertex][-1]]
    places = {vertex: place for place, vertex in enumerate(feeding)}
    colours = [
        repr((vertex in (0, size - 1), op, places.get(vertex, -1))).encode()
        for vertex, op in enumerate(module.ops)
    ]
    for _ in range(size):
        colours = [
            sha256(
                b"|".join(
                    (
                        colours[v],
                        b",".join(sorted(colours[x] for x in range(size) if module.matrix[x][v])),
                        b",".join(sorted(colours[y] for y in range(size) if module.matrix[v][y])),
                    )
                )
            ).digest()
            for v in range(size)
        ]
    return colours

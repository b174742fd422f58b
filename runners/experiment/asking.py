"""Searches without a supernet: askers choose genotypes by the values of those before them.

An asker is a function of the history alone, so a run that was killed goes on from its rows. Equal
functions (`nasir.canonical_id`) are asked for once; the published codes ask again.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any, Literal, cast

import nasir
from nasir import Genotype, Space
from runners.experiment.fields import AnyCount, Count, Model, Repeats, Share
from runners.task.task import Task

TRIES = 1000
"""Maximum number of draws in a row that give no new function."""


@dataclass(frozen=True, slots=True)
class Query:
    """A genotype whose value is asked for after `share` (0 to 1) of the full training length.

    `parent` is the number of the query that it was made from.
    """

    genotype: Genotype
    parent: int | None = None
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Told:
    """A value, greater is better, -inf undefined; `measures` are further fields of its row."""

    value: float
    measures: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Known:
    """A query with its number, its value, and its cost if the asker has costs."""

    number: int
    query: Query
    value: float
    cost: float | None = None


Answering = Callable[[Query, Path], Told]
"""Answers a query; a folder of its own holds unfinished work."""

Measures = Mapping[str, Any]

Ranking = Callable[[Sequence[Measures]], Sequence[float]]
"""Returns the values of all queries so far, of their measures."""


class Teller(Task):
    """What answers the queries of a search, in the place of its task.

    With a `ranking`, values depend on all queries so far, and are those after the last one.
    """

    name = "values"

    def __init__(
        self,
        answer: Answering,
        fingerprint: str,
        metric: str,
        *,
        repeats: bool = True,
        ranking: Ranking | None = None,
    ) -> None:
        self.answer, self.fingerprint, self.metric = answer, fingerprint, metric
        self.repeats, self.ranking = repeats, ranking


class History:
    """The answered queries of a search, in order. Mutable."""

    def __init__(self, space: Space, seed: int, ranking: Ranking | None = None) -> None:
        self.space, self.seed, self._ranking = space, seed, ranking
        self.rows: list[Known] = []
        self._measures: list[Measures] = []
        self._asked: set[tuple[str, float]] = set()

    def add(
        self,
        query: Query,
        value: float,
        cost: float | None = None,
        measures: Measures | None = None,
    ) -> Known:
        """Appends an answered query; NaN counts as -inf. With a ranking, values change."""
        value = -math.inf if math.isnan(value) else value
        self.rows.append(Known(len(self.rows), query, value, cost))
        if self._ranking is not None:
            self._measures.append(measures or {})
            values = self._ranking(self._measures)
            pairs = zip(self.rows, values, strict=True)
            self.rows = [replace(row, value=new) for row, new in pairs]
        self._asked.add((_ident(query.genotype), query.share))
        return self.rows[-1]

    @property
    def best(self) -> Known:
        """The first row with the best value, among those of the greatest share."""
        return max(self.rows, key=lambda row: (row.query.share, row.value))

    def random(self, label: str) -> Random:
        """Returns a generator that depends on the seed and the label alone."""
        return Random(f"{self.seed} {label}")

    def fresh(self, made: Iterable[Query], count: int) -> list[Query]:
        """Returns the first `count` queries of different functions that were not asked for.

        Fewer after TRIES queries in a row without one.
        """
        found: list[Query] = []
        seen, failed = set[tuple[str, float]](), 0
        for query in made if count > 0 else ():
            key = (_ident(query.genotype), query.share)
            failed += 1
            if key not in self._asked and key not in seen:
                seen.add(key)
                found.append(query)
                failed = 0
            if len(found) == count or failed == TRIES:
                break
        return found

    def sampled(self, count: int, share: float = 1.0) -> list[Query]:
        """Returns `count` uniform samples of new functions, fewer if few are left."""
        random = self.random(f"sample {len(self.rows)}")
        made = iter(lambda: Query(nasir.sample(self.space, random), share=share), None)
        return self.fresh(made, count)

    def bred(self, make: Callable[[Random], Query], count: int) -> list[Query]:
        """Returns `count` new queries of `make`, else at least one sample."""
        random = self.random(f"breed {len(self.rows)}")
        return self.fresh(iter(partial(make, random), None), count) or self.sampled(min(count, 1))


class Asker(Model, ABC):
    """Chooses what to ask for next."""

    @abstractmethod
    def ask(self, history: History, most: int) -> Sequence[Query]:
        """Returns 1 to `most` new queries, which may be answered together; none: no more exist.

        They depend on the history alone: random numbers are those of `History.random`.
        """

    @property
    def repeats(self) -> bool:
        """Whether costs are equal in another run."""
        return True

    def cost(self, space: Space, genotype: Genotype) -> float | None:
        """Returns a second objective, smaller is better, if the asker has one."""

    def summary(self, history: History) -> Mapping[str, object]:
        """Returns facts for `summary.json`, if any."""
        return {}


class RandomQueries(Asker):
    """Uniform samples, `together` at a time."""

    together: Count = 10

    def ask(self, history: History, most: int) -> Sequence[Query]:
        return history.sampled(min(self.together, most))


class Evolution(Asker):
    """Regularised evolution. Real et al., arXiv:1802.01548, algorithm 1.

    The population are the last `population` queries: the oldest dies. The best of `sample` members,
    drawn with replacement, is changed in one decision (`nasir.mutate`). `initial` samples (0: as
    many as the population) come first. `together` children are asked for at a time. Differs: a
    child of a known function is drawn again.
    """

    population: Count = 100
    sample: Count = 25
    initial: AnyCount = 0
    together: Count = 1

    def ask(self, history: History, most: int) -> Sequence[Query]:
        missing = (self.initial or self.population) - len(history.rows)
        if missing > 0:
            return history.sampled(min(missing, most))
        alive = history.rows[-self.population :]

        def child(random: Random) -> Query:
            parent = max(random.choices(alive, k=self.sample), key=_value)
            return Query(_mutated(history.space, parent.query.genotype, random), parent.number)

        return history.bred(child, min(self.together, most))


class LocalSearch(Asker):
    """Climbs from the best of `initial` samples, and starts again at each local optimum.

    White et al., arXiv:2005.02960, algorithm 1, as its code runs it by default: the first better
    neighbour, in random order, is the next centre. `together` neighbours are asked for at a time.
    """

    initial: Count = 10
    together: Count = 1

    def ask(self, history: History, most: int) -> Sequence[Query]:
        started, centre = self._place(history.rows)
        if centre is None:
            return history.sampled(min(self.initial - started, most))
        around = list(nasir.neighbours(history.space, centre.query.genotype))
        history.random(f"around {centre.number}").shuffle(around)
        made = [Query(each, centre.number) for each in around]
        found = history.fresh(made, min(self.together, most))
        return found or history.sampled(min(self.initial, most))

    def _place(self, rows: Sequence[Known]) -> tuple[int, Known | None]:
        """Returns the number of samples of the present climb, and its centre, if they are all."""
        block: list[Known] = []
        centre: Known | None = None
        for row in rows:
            if row.query.parent is not None:
                centre = row if centre is None or row.value > centre.value else centre
                continue
            block = [row] if centre is not None else [*block, row]
            centre = max(block, key=_value) if len(block) == self.initial else None
        return len(block), centre


class Halving(Asker):
    """Successive halving. Jamieson and Talwalkar, arXiv:1502.07943, algorithm 1.

    `initial` samples at a share of `factor` ** (1 - rungs) of the full length; the best 1 in
    `factor` go on to `factor` times that, up to the full length; then anew. Differs: a genotype
    that goes on is trained from scratch, since the schedule of its lr depends on the length.
    """

    initial: Count = 27
    factor: Repeats = 3
    rungs: Repeats = 3

    def ask(self, history: History, most: int) -> Sequence[Query]:
        rungs = [float(self.factor) ** (place + 1 - self.rungs) for place in range(self.rungs)]
        rows, last = history.rows, history.rows[-1].query.share if history.rows else 1.0
        if last == 1.0:
            return history.sampled(min(self.initial, most), rungs[0])
        start = len(rows)
        while start and rows[start - 1].query.share == last:
            start -= 1
        best = sorted(rows[start:], key=_value, reverse=True)
        share = rungs[rungs.index(last) + 1]
        kept = max(1, len(best) // self.factor)
        made = [Query(row.query.genotype, row.number, share) for row in best[:kept]]
        return history.fresh(made, most) or history.sampled(min(self.initial, most), rungs[0])


class Pareto(Asker):
    """NSGA-II: the value against a cost. Deb et al., 10.1109/4235.996017, section III.

    Survivors of `population` by non-dominated rank and crowding distance are pymoo's. A child has
    parents from binary tournaments, the first alone with 1 - `crossover`, and one changed decision.
    A generation is asked for together. `against`: parameters, multiply-adds, or the measured
    seconds for one image on the CPU, of the network at the space's own size. Differs: a child of a
    known function is drawn again.
    """

    population: Count = 40
    crossover: Share = 0.9
    against: Literal["params", "macs", "latency"] = "params"

    @property
    def repeats(self) -> bool:
        """False for latencies, which are measured."""
        return self.against != "latency"

    def ask(self, history: History, most: int) -> Sequence[Query]:
        rows, size = history.rows, self.population
        if len(rows) < size:
            return history.sampled(min(size - len(rows), most))
        alive = rows[:size]
        for start in range(size, len(rows), size):
            alive = [row for row, _, _ in _survivors([*alive, *rows[start : start + size]], size)]
        ranked = _survivors(alive, size)

        def parent(random: Random) -> Known:
            pair = random.choices(ranked, k=2)
            return min(pair, key=lambda each: (each[1], -each[2]))[0]

        def child(random: Random) -> Query:
            one = parent(random)
            genotype = one.query.genotype
            if random.random() < self.crossover:
                other = parent(random).query.genotype
                genotype = nasir.crossover(history.space, genotype, other, random)
            return Query(_mutated(history.space, genotype, random), one.number)

        return history.bred(child, min(size, most))

    def cost(self, space: Space, genotype: Genotype) -> float:
        """Returns the cost of the network at the space's own size."""
        if self.against == "latency":
            return _latency(genotype)
        totals = next(nasir.costs(space, [genotype]))
        return float(getattr(totals, self.against))

    def summary(self, history: History) -> Mapping[str, object]:
        """Returns the rows that no other dominates, by cost."""
        ranked = _survivors(history.rows, len(history.rows))
        front = sorted((row for row, rank, _ in ranked if rank == 0), key=lambda row: row.cost or 0)
        rows = [{"query": row.number, "value": row.value, self.against: row.cost} for row in front]
        return {"front": rows}


def queries(
    asker: Asker,
    history: History,
    answers: Callable[[Sequence[Query]], Iterator[Told]],
    most: int,
    pending: Sequence[Query] = (),
) -> Iterator[tuple[Known, Told, Sequence[Query]]]:
    """Asks until the history has `most` rows or nothing is left; adds the answers to it.

    Yields each new row with its answer and the queries that are still pending, with which a stopped
    search goes on.
    """
    while len(history.rows) < most:
        pending = pending or asker.ask(history, most - len(history.rows))
        if not pending:
            return
        asked = tuple(pending)
        for place, (query, answer) in enumerate(zip(asked, answers(asked), strict=True), start=1):
            cost = asker.cost(history.space, query.genotype)
            row = history.add(query, answer.value, cost, answer.measures)
            pending = asked[place:]
            yield row, answer, pending


def _value(row: Known) -> float:
    return row.value


@lru_cache(maxsize=1 << 16)
def _ident(genotype: Genotype) -> str:
    return nasir.canonical_id(genotype)


def _mutated(space: Space, genotype: Genotype, random: Random) -> Genotype:
    return nasir.mutate(space, genotype, random)


def _survivors(rows: Sequence[Known], count: int) -> list[tuple[Known, int, float]]:
    """Returns the `count` best rows by rank and crowding, with both."""
    import numpy as np
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem
    from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

    finite = [row.value for row in rows if math.isfinite(row.value)]
    least = min(finite, default=0.0) - 1.0
    goals = [[-max(row.value, least), row.cost] for row in rows]
    known = cast("Any", Population).new(
        "F", np.asarray(goals, dtype=float), "X", np.arange(len(rows))
    )
    ties = np.random.default_rng(0)
    found = RankAndCrowding().do(Problem(), known, n_survive=count, random_state=ties)
    return [
        (rows[int(each.X)], int(each.get("rank")), float(each.get("crowding"))) for each in found
    ]


def _latency(genotype: Genotype) -> float:
    import lowering
    from runners.task.score import example, measure

    graph = nasir.network(genotype)
    module = lowering.to_torch(graph).eval()
    return measure({"eager": module}, tuple(example(graph, 1)))["eager"].seconds

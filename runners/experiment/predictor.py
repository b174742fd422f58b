"""BANANAS: queries chosen by an ensemble of networks that predict values from paths."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

import lowering
import nasir
from nasir import Genotype
from runners.experiment.asking import Asker, History, Known, Query
from runners.experiment.fields import AnyCount, BatchSize, Count, Epochs, Positive, Repeats

Path = tuple[str, ...]

NONE = "none"


class Predictor(Asker):
    """An ensemble's Thompson samples of neighbours of the best. White et al., arXiv:1910.11858.

    After `initial` samples, algorithm 1: `members` networks of `layers` layers of `width` units
    with ReLU are trained from `paths` (of at most `length` ops; 0: all) to values, with Adam and
    the mean absolute error, for `epochs`. Of `candidates`, the `together` with the best independent
    Thompson samples are asked for: one from N(mean, deviation) of the ensemble each (section 4).
    Candidates are changed copies of the best `parents` rows, in 1 to `edits` decisions, of one row
    after the other until there are enough.

    Constants are those of the authors' code (naszilla). Differs: values are standardised, so that
    any can be predicted; only paths of known queries are columns; paths through `none` are left
    out, as they carry nothing; members see the data in an order of their own; the number of
    changed decisions is uniform, where the code changes each op with a probability.
    """

    initial: Count = 10
    together: Count = 10
    candidates: Count = 100
    parents: Count = 5
    edits: Repeats = 2
    length: AnyCount = 0
    members: Repeats = 5
    layers: Repeats = 10
    width: Count = 20
    epochs: Epochs = 150
    batch: BatchSize = 32
    lr: Positive = 0.01

    def ask(self, history: History, most: int) -> Sequence[Query]:
        rows = history.rows
        if len(rows) < self.initial:
            return history.sampled(min(self.initial - len(rows), most))
        random = history.random(f"candidates {len(rows)}")
        made = history.fresh(self._changed(history, random), self.candidates)
        if not made:
            return history.sampled(min(self.together, most))
        source = lowering.generator(history.seed, f"ensemble {len(rows)}")
        known, new = self._encoded(rows, [query.genotype for query in made])
        predicted = self._predicted(known, _standardised(rows), new, source)
        spread = torch.randn(len(made), generator=source) * predicted.std(0, correction=0)
        drawn = predicted.mean(0) + spread
        order = sorted(range(len(made)), key=lambda place: -float(drawn[place]))
        return [made[place] for place in order[: min(self.together, most)]]

    def _changed(self, history: History, random: Random) -> Iterator[Query]:
        best = sorted(history.rows, key=lambda row: row.value, reverse=True)[: self.parents]
        for row in best:
            for _ in range(self.candidates):
                genotype = row.query.genotype
                for _ in range(random.randint(1, self.edits)):
                    genotype = nasir.mutate(history.space, genotype, random)
                yield Query(genotype, row.number)

    def _encoded(
        self, rows: Sequence[Known], genotypes: Sequence[Genotype]
    ) -> tuple[Tensor, Tensor]:
        """Returns (rows, paths) and (genotypes, paths), 1 where a path occurs."""
        known = [paths(row.query.genotype, self.length) for row in rows]
        columns = sorted(set(chain.from_iterable(known)), key=lambda path: (len(path), path))
        return _matrix(known, columns), _matrix((paths(g, self.length) for g in genotypes), columns)

    def _predicted(self, x: Tensor, y: Tensor, new: Tensor, source: torch.Generator) -> Tensor:
        """Trains the ensemble on (rows, paths) and (rows,); returns (members, new rows)."""
        widths = [x.shape[1], *[self.width] * self.layers, 1]
        weights: list[Tensor] = []
        for inputs, outputs in pairwise(widths):
            bound = math.sqrt(6 / (inputs + outputs))  # Glorot's, Keras's default
            drawn = torch.rand(self.members, inputs, outputs, generator=source)
            weights += [bound * (2 * drawn - 1), torch.zeros(self.members, 1, outputs)]
        for weight in weights:
            weight.requires_grad_()
        adam = torch.optim.Adam(weights, self.lr, betas=(0.9, 0.99), fused=True)
        for _ in range(self.epochs):
            keys = torch.rand(self.members, len(x), generator=source)
            for places in torch.split(keys.argsort(1), self.batch, 1):
                adam.zero_grad()
                error = _output(x[places], weights) - y[places]
                torch.autograd.backward(error.abs().mean(1).sum())
                adam.step()  # pyright: ignore[reportUnknownMemberType]
        with torch.no_grad():
            return _output(new.expand(self.members, -1, -1), weights)


def paths(genotype: Genotype, length: int = 0) -> frozenset[Path]:
    """Returns the paths from inputs to outputs of cells: kind, number of the input, ops in order.

    Those of at most `length` ops, where it is not 0. Each size that the space leaves open is one,
    too.
    """
    found = {("size", name, str(number)) for name, number in genotype.size}
    for cell in genotype.cells:
        at: list[set[Path]] = [{(cell.kind, str(number))} for number in range(cell.inputs)]
        for own, edges in zip(cell.node_ops, cell.nodes, strict=True):
            here = set[Path]()
            for edge in edges:
                ops = tuple(filter(None, (edge.op, own)))
                if NONE not in ops:
                    here |= {(*path, *ops) for path in at[edge.source]}
            at.append({path for path in here if not length or len(path) - 2 <= length})
        found |= set[Path]().union(*(at[number] for number in cell.output))
    return frozenset(found)


def _matrix(each: Iterable[frozenset[Path]], columns: Sequence[Path]) -> Tensor:
    return torch.tensor([[float(path in found) for path in columns] for found in each])


def _standardised(rows: Sequence[Known]) -> Tensor:
    """Returns values of mean 0 and deviation 1; those that are not finite are the least."""
    values = torch.tensor([row.value for row in rows], dtype=torch.float64)
    finite = values[values.isfinite()]
    if not len(finite):
        return torch.zeros(len(rows))
    values = torch.where(values.isfinite(), values, finite.min())
    spread = values.std(correction=0).clamp_min(1e-12)
    return ((values - values.mean()) / spread).float()


def _output(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Maps (members, rows, paths) to (members, rows)."""
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = F.relu(torch.baddbmm(bias, x, weight))
    return torch.baddbmm(weights[-1], x, weights[-2]).squeeze(2)

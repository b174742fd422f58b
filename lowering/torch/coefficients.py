"""What the terms of a mixed sum are multiplied by, from the weights of choices."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nasir.ops.fused import Branch, MixedChain

_ONE = (-1, 0)
"""Stands for the number 1 among the entries."""


class Coefficients:
    """From the weights of choices, each (options,), one number for each term, (terms,).

    A coefficient is a sum of products of entries; all products are computed at once. `places` maps
    an input of the node to its place among the weights.
    """

    def __init__(
        self, terms: Sequence[MixedChain] | Sequence[Branch], places: Mapping[int, int]
    ) -> None:
        products = [(i, product) for i, term in enumerate(terms) for product in _products(term)]
        self.terms = len(terms)
        self.owners = [owner for owner, _ in products]
        depth = max(len(product) for _, product in products)
        self.layers = [
            [(places[p[d][0]], p[d][1]) if d < len(p) else _ONE for _, p in products]
            for d in range(depth)
        ]
        self._indices: dict[tuple[torch.device, tuple[int, ...]], list[Tensor]] = {}

    def __call__(self, weights: Sequence[Tensor], like: Tensor) -> Tensor:
        """The coefficients, on the device and in the precision of the weights.

        Where there are none, ones of the type of `like`.
        """
        if not self.layers:
            return torch.ones(self.terms, dtype=like.dtype, device=like.device)
        flat = torch.cat([torch.ones_like(weights[0][:1]), *weights])
        *layers, owners = self._at(weights)
        result = flat[layers[0]]
        for layer in layers[1:]:
            result = result * flat[layer]
        if len(self.owners) == self.terms:
            return result
        return result.new_zeros(self.terms).index_add(0, owners, result)

    def _at(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The entries of each layer as places in the flat weights, and then the owners."""
        sizes = tuple(len(each) for each in weights)
        key = (weights[0].device, sizes)
        if torch.compiler.is_compiling():  # what is compiled must not find a cache that grew
            return self._made(*key)
        if key not in self._indices:
            self._indices[key] = self._made(*key)
        return self._indices[key]

    def _made(self, device: torch.device, sizes: tuple[int, ...]) -> list[Tensor]:
        starts = [1]
        for size in sizes:
            starts.append(starts[-1] + size)
        rows = [
            [0 if entry == _ONE else starts[entry[0]] + entry[1] for entry in layer]
            for layer in self.layers
        ]
        return [torch.tensor(row, device=device) for row in (*rows, self.owners)]


def _products(term: MixedChain | Branch) -> tuple[tuple[tuple[int, int], ...], ...]:
    return term.products or ((),)

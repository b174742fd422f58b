"""nasir compiles cell architectures: spaces and genotypes as files, one typed graph, passes.

This package never imports torch; `lowering` turns a graph into torch, ONNX or plain Python.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from nasir.analysis import Cost, NodeCost, cost
from nasir.errors import NasirError, Where
from nasir.formats import dump_genotype, load_genotype, load_genotypes
from nasir.genotype import CellGenotype, Edge, Genotype
from nasir.graph import Builder, Choice, Graph
from nasir.networks import network, supernet
from nasir.node import Cell, Node
from nasir.passes import (
    PASSES,
    Pass,
    PassRecord,
    drop_path,
    edge_weights,
    partial_channels,
    restrict,
    run_passes,
)
from nasir.picking import picks, resolve
from nasir.space import Space, load_space
from nasir.text import print_graph
from nasir.text_parser import parse_graph
from nasir.types import ImageType, SequenceType, TokenType, Type, VectorType, WeightsType

if TYPE_CHECKING:
    from nasir.canonical import canonical_id, correspondence, count_classes, nasbench101_hash
    from nasir.compute import (
        acceptance,
        costs,
        crossover,
        enumerate_genotypes,
        mutate,
        neighbours,
        rank,
        sample,
        size,
        unrank,
    )
    from nasir.space.derive import Decision, decisions, derive, draw_genotype

__version__ = "0.1.0"

_LATER = {
    "Decision": "nasir.space.derive",
    "acceptance": "nasir.compute",
    "canonical_id": "nasir.canonical",
    "correspondence": "nasir.canonical",
    "costs": "nasir.compute",
    "count_classes": "nasir.canonical",
    "crossover": "nasir.compute",
    "decisions": "nasir.space.derive",
    "derive": "nasir.space.derive",
    "draw_genotype": "nasir.space.derive",
    "enumerate_genotypes": "nasir.compute",
    "nasbench101_hash": "nasir.canonical",
    "mutate": "nasir.compute",
    "neighbours": "nasir.compute",
    "rank": "nasir.compute",
    "sample": "nasir.compute",
    "size": "nasir.compute",
    "unrank": "nasir.compute",
}
"""Names whose modules are imported at their first use: most programs need none of them."""

__all__ = [
    "PASSES",
    "Builder",
    "Cell",
    "CellGenotype",
    "Choice",
    "Cost",
    "Decision",
    "Edge",
    "Genotype",
    "Graph",
    "ImageType",
    "NasirError",
    "Node",
    "NodeCost",
    "Pass",
    "PassRecord",
    "SequenceType",
    "Space",
    "TokenType",
    "Type",
    "VectorType",
    "WeightsType",
    "Where",
    "__version__",
    "acceptance",
    "canonical_id",
    "correspondence",
    "cost",
    "costs",
    "count_classes",
    "crossover",
    "decisions",
    "derive",
    "draw_genotype",
    "drop_path",
    "dump_genotype",
    "edge_weights",
    "enumerate_genotypes",
    "load_genotype",
    "load_genotypes",
    "load_space",
    "mutate",
    "nasbench101_hash",
    "neighbours",
    "network",
    "parse_graph",
    "partial_channels",
    "picks",
    "print_graph",
    "rank",
    "resolve",
    "restrict",
    "run_passes",
    "sample",
    "size",
    "supernet",
    "unrank",
]


if not TYPE_CHECKING:  # a type checker must not take a misspelt name for an object

    def __getattr__(name: str) -> object:
        """A name of `_LATER`, kept once it is there."""
        if name not in _LATER:
            raise AttributeError(f"module 'nasir' has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_LATER[name]), name)
        return found


def __dir__() -> list[str]:
    """The public names, imported yet or not."""
    return sorted({*globals(), *__all__})

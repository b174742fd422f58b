"""Documents of genotypes and spaces: cells, decisions, costs of every option, histograms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from random import Random
from typing import Any

import nasir
from nasir import CellGenotype, Genotype, Space, Type
from nasir.cost_rows import CostRows, Spent, cost_rows
from nasir.costing import CONVENTION
from nasir.errors import json_text, shortened
from nasir.expressions import tree_of
from nasir.formats import FORMATS
from nasir.formats.darts_data import ACTIVATIONS, BANANAS_OPS, ENAS_OPS, OP_IDS
from nasir.formats.nasbench101 import SPACES
from nasir.formats.nasbench201 import NASBENCH201_OPS, NASLIB_201_OPS, NNI_OPS, TRANSNAS_OPS
from nasir.formats.own import space_data
from nasir.macros import MACROS
from nasir.space import adopt, home_of, load_space
from nasir.space.decisions import SpaceCell
from nasir.space.nasbench101 import matrix_count
from nasir.space.own_skeletons import find_skeleton
from runners.experiment.sizes import NetworkSize, describe_size, size_facts

Document = dict[str, Any]

_BINS = 40
_DRAWN = 200
"""Samples in a document whose conditions the page cannot evaluate."""


def genotype_document(genotype: Genotype, size: NetworkSize, title: str = "") -> Document:
    """Returns a genotype with the costs of its network, and of what its space has instead.

    `title` is that of a genotype without a name.

    Raises what building the network raises.
    """
    home = home_of(genotype)
    if home is not None:
        genotype = adopt(genotype, home)
    graph = size.build(genotype)
    facts = size_facts(graph)
    skeleton = find_skeleton(str(facts["skeleton"]), home)
    asked = size.model_dump(exclude={"auxiliary", "skeleton"}, exclude_none=True)
    reasons = list(home.contains(genotype)) if home else ["its space is not known"]
    rows = cost_rows(genotype, skeleton, asked)
    own_size = not asked and (home is None or skeleton.name == home.skeleton)
    return {
        "kind": "genotype",
        "title": shortened(genotype.name or title or genotype.space),
        "size": describe_size(facts),
        "sizeFacts": facts,
        "convention": CONVENTION,
        "genotype": genotype_facts(genotype),
        "spaceText": json_text(space_data(genotype)),
        "space": space_facts(home) if home else None,
        "reasons": reasons,
        "costs": _costs(rows),
        "conditions": _conditions(home, own_size) if home and not reasons else [],
        "formats": _formats(),
    }


def space_document(space: Space, size: NetworkSize, draws: int) -> Document:
    """Returns a space with a genotype of it, and the costs of `draws` samples as histograms.

    Raises what building the networks raises.
    """
    random = Random(0)
    drawn = [nasir.sample(space, random) for _ in range(draws)]
    found = genotype_document(drawn[0], size)
    asked = size.model_dump(exclude={"auxiliary"}, exclude_none=True)
    counted = [Spent(*each[:2]) for each in nasir.costs(space, drawn, **asked)]
    known = all(condition["tree"] is not None for condition in found["conditions"])
    return {
        **found,
        "kind": "space",
        "title": shortened(space.title or space.name),
        "sampled": draws,
        "histograms": {
            name: _histogram([row[place] for row in counted])
            for place, name in enumerate(Spent._fields)
        },
        "drawn": [] if known else [genotype_facts(each) for each in drawn[:_DRAWN]],
    }


def genotype_facts(genotype: Genotype) -> Document:
    """Returns a genotype as plain data."""
    return {
        "name": genotype.name,
        "space": genotype.space,
        "source": genotype.source,
        "size": dict(genotype.size),
        "cells": [_cell_facts(cell) for cell in genotype.cells],
    }


def _cell_facts(cell: CellGenotype) -> Document:
    return {
        **asdict(cell),
        "nodes": [[[edge.op, edge.source] for edge in edges] for edges in cell.nodes],
    }


def space_facts(space: Space) -> Document:
    """Returns a space with its decisions as plain data."""
    return {
        "name": shortened(space.name),
        "title": shortened(space.title),
        "paper": shortened(space.paper),
        "skeleton": space.skeleton,
        "where": list(space.where.texts) if space.where else [],
        "total": str(space.total),
        "openSize": {name: list(numbers) for name, numbers in space.open_size},
        "cells": [_decisions(cell) for cell in space.cells],
    }


def _decisions(cell: SpaceCell) -> Document:
    edges = [[edge.source, edge.node, list(cell.selectable(edge))] for edge in cell.edges]
    sizes = range(2, cell.nodes + 3) if cell.most_edges else ()
    return {
        "kind": cell.kind,
        "inputs": cell.inputs,
        "nodes": cell.nodes,
        "edges": edges,
        "keep": cell.keep,
        "repeats": cell.repeats,
        "output": list(cell.output),
        "anyOutput": cell.any_output,
        "nodeOps": list(cell.node_ops),
        "parents": list(cell.parents),
        "mostEdges": cell.most_edges,
        "modules": [
            str(matrix_count(n, cell.most_edges) * len(cell.node_ops) ** (n - 2)) for n in sizes
        ],
    }


def _costs(rows: CostRows) -> Document:
    return {
        "exact": rows.exact,
        "variants": [
            {
                "outputs": dict(each.outputs),
                "size": dict(each.size),
                "base": each.base,
                "parts": [
                    [part.name, part.what, _shape(part.type), part.spent, part.context]
                    for part in each.parts
                ],
            }
            for each in rows.variants
        ],
        "contexts": [
            {
                "kind": each.kind,
                "states": [_shape(state) for state in each.states],
                "output": _shape(each.output),
                "rows": [[[list(op) for op in ops], *spent] for ops, spent in each.rows.items()],
                "widths": each.widths,
                "channels": each.channels,
                "emitted": each.emitted,
                "prunes": each.prunes,
            }
            for each in rows.contexts
        ],
        "pairs": [[*key, *spent] for key, spent in rows.pairs.items()],
    }


def _shape(type_: Type) -> str:
    return "×".join(map(str, type_.shape)) or str(type_)


def _conditions(space: Space, own_size: bool) -> list[Document]:
    """The conditions with their trees; None where they need costs that the page does not have.

    They are over the costs in the space's own size, without activations.
    """
    found: list[Document] = []
    for text in space.where.texts if space.where else ():
        tree, names = tree_of(text)
        missing = {"activations"} if own_size else {"activations", "params", "macs"}
        found.append({"text": text, "tree": None if missing & names else tree})
    return found


def _histogram(values: Sequence[int]) -> Document:
    least, most = min(values), max(values)
    width = max(1, -(-(most - least + 1) // _BINS))
    counts = [0] * ((most - least) // width + 1)
    for value in values:
        counts[(value - least) // width] += 1
    return {"least": least, "width": width, "counts": counts}


def _formats() -> Document:
    """The formats that are written, and the numbering of ops that they have."""
    ops: Mapping[str, Iterable[str]] = {
        "macros": MACROS,
        "nnabla": OP_IDS,
        "bananas": BANANAS_OPS,
        "naslib201": NASLIB_201_OPS,
        "nasbench201": NASBENCH201_OPS,
        "enas": ENAS_OPS,
        "activations": ACTIVATIONS,
        "transnas": TRANSNAS_OPS.ours or (),
        "oneShot": load_space(SPACES[0]).cells[0].node_ops,
    }
    return {
        "names": {row.name: row.title for row in FORMATS.values() if row.dump},
        "ops": {name: list(each) for name, each in ops.items()},
        "nni": NNI_OPS.ours,
        "oneShotParents": [list(load_space(name).cells[0].parents) for name in SPACES],
    }

"""`nasir spaces`: the search spaces and the published genotypes."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

import nasir
from nasir.formats import Entry, entries, load_entry
from nasir.space import SpaceCell, catalog
from nasir.space.decisions import decisions
from nasir.space.results import results
from nasir.space.skeletons import SKELETONS
from runners.commands.options import JsonOption
from runners.output import TextTable, joined, print_json, print_line, print_table, print_warning

_COUNTED = 300_000
"""The most cells of a kind that are enumerated: about ten seconds."""


def spaces(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A space to show: its name or file.")
    ] = None,
    genotypes: Annotated[
        bool, typer.Option("--genotypes", help="List the published genotypes instead.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--results", help="List the published results, with their sources.")
    ] = False,
    classes: Annotated[
        bool,
        typer.Option("--classes", help="Count NAME's architectures too; enumerates its cells."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the search spaces, or the published genotypes or results.

    Example: nasir spaces darts
    """
    if genotypes:
        _list_genotypes(as_json=as_json)
        return
    if published:
        _list_results(as_json=as_json)
        return
    if classes and name is None:
        raise typer.BadParameter("give the NAME of a space with --classes")
    if name is not None:
        space = nasir.load_space(name)
        counted = _class_facts(space) if classes else {}
        _show(space, counted, as_json=as_json)
        return
    found = tuple(catalog().values())
    if as_json:
        print_json([_summary(space) for space in found])
        return
    rows = tuple(
        (s.name, s.title, s.skeleton, joined(s.kinds), _count(nasir.size(s)), s.paper)
        for s in found
    )
    columns = ("space", "title", "skeleton", "cells", "genotypes", "paper")
    print_table(TextTable("", columns, rows))


def _count(number: int) -> str:
    """The number, to three digits where it has more than twelve: --json has all of them."""
    return f"{number:,}" if number < 10**12 else f"{number:.2e}"


def _list_genotypes(*, as_json: bool) -> None:
    if as_json:
        print_json([_entry_facts(entry) for entry in entries()])
        return
    rows = tuple((e.name, e.catalogue, joined(e.aliases), e.paper) for e in entries())
    print_table(TextTable("", ("genotype", "catalogue", "aliases", "paper"), rows))


def _list_results(*, as_json: bool) -> None:
    if as_json:
        print_json([asdict(result) for result in results()])
        return
    columns = ("system", "dataset", "metric", "value", "±", "M params", "GPU days", "source")
    rows = tuple(
        (
            r.system,
            r.dataset,
            r.metric,
            _number(r.value),
            _number(r.deviation),
            _number(r.parameters_million),
            _number(r.search_gpu_days),
            r.source,
        )
        for r in results()
    )
    print_table(TextTable("", columns, rows))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.10g}"


def _entry_facts(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "catalogue": entry.catalogue,
        "aliases": list(entry.aliases),
        "space": load_entry(entry).space,
        "paper": entry.paper,
        "sources": list(entry.sources),
    }


def _summary(space: nasir.Space) -> dict[str, Any]:
    return {
        "name": space.name,
        "title": space.title,
        "paper": space.paper,
        "skeleton": space.skeleton,
        "size": nasir.size(space),
        "cells": list(space.kinds),
    }


def _class_facts(space: nasir.Space) -> dict[str, int]:
    """How many different architectures there are; nothing where the cells are too many."""
    most = max(decisions(cell).size for cell in space.cells)
    if most > _COUNTED:
        print_warning(f"{most:,} cells are too many to count the different ones")
        return {}
    return {"classes": nasir.count_classes(space)}


def _show(space: nasir.Space, counted: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        cells = {cell.kind: _cell_facts(cell) for cell in space.cells}
        ops = {op.name: op.summary for op in space.ops}
        layout = str(space.layout) if SKELETONS[space.skeleton].laid_out else ""
        print_json(_summary(space) | counted | {"cells": cells, "ops": ops, "layout": layout})
        return
    print_line(f"{space.name}: {space.title or 'a space'}, skeleton {space.skeleton}")
    if space.paper:
        print_line(space.paper)
    different = "".join(f", {count:,} different architectures" for count in counted.values())
    print_line(f"{nasir.size(space):,} genotypes{different}")
    if SKELETONS[space.skeleton].laid_out:
        print_line(f"layout: {space.layout}")
    for op in space.ops:
        print_line(f"its own op {op.name}: {op.summary}")
    for cell in space.cells:
        print_line()
        if cell.node_ops:
            _show_node_cell(cell)
            continue
        inputs = "1 input" if cell.inputs == 1 else f"{cell.inputs} inputs"
        keep = "every edge" if cell.keep is None else f"{cell.keep} edges"
        print_line(
            f"cell {cell.kind}: {inputs}, {cell.nodes} nodes, each keeps {keep}; "
            f"output {'any of ' if cell.any_output else ''}{joined(cell.output)}; "
            f"never selected: {joined(cell.exclude)}; {decisions(cell).size:,} cells"
        )
        if (cell.combine, cell.join) != ("sum", "concat"):
            print_line(f"a node is the {cell.combine} of its edges, the output the {cell.join}")
        rows = tuple((f"{e.source} to {e.node}", joined(e.ops)) for e in cell.edges)
        print_table(TextTable("", ("edge", "ops"), rows))


def _show_node_cell(cell: SpaceCell) -> None:
    """A cell whose ops stand on nodes."""
    print_line(f"cell {cell.kind}: one input, ops on nodes: {joined(cell.node_ops)}")
    if not cell.parents:
        print_line(f"at most {cell.nodes} nodes and {cell.most_edges} edges")
        return
    names = [*(f"node {node}" for node in range(1, cell.nodes + 1)), "output"]
    rows = tuple(zip(names, cell.parents, strict=True))
    print_table(TextTable("", ("", "reads"), rows))


def _cell_facts(cell: SpaceCell) -> dict[str, Any]:
    if cell.node_ops:
        facts: dict[str, Any] = {"inputs": cell.inputs, "node_ops": list(cell.node_ops)}
        if not cell.parents:
            return facts | {"most_nodes": cell.nodes, "most_edges": cell.most_edges}
        *parents, output = cell.parents
        return facts | {"parents": parents, "output_parents": output}
    return {
        "size": decisions(cell).size,
        "inputs": cell.inputs,
        "nodes": cell.nodes,
        "edges": [{"source": e.source, "node": e.node, "ops": list(e.ops)} for e in cell.edges],
        "keep": cell.keep,
        "exclude": list(cell.exclude),
        "output": list(cell.output),
        "any_output": cell.any_output,
        "repeats": cell.repeats,
        "combine": cell.combine,
        "join": cell.join,
    }

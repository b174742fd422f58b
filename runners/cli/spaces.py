"""Commands on search spaces and the files shipped with them: spaces, examples."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import nasir
from nasir.errors import NasirError, Where
from nasir.files import write_atomically
from nasir.formats import entries, load_entry
from nasir.space import SpaceCell, catalog
from nasir.space.decisions import decisions
from nasir.space.locate import spaces_directory
from nasir.space.results import results
from nasir.space.skeletons import SKELETONS
from runners.output import Reply, TextTable, joined, print_warning

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
) -> Reply:
    """List the search spaces, or the published genotypes or results.

    Example: nasir spaces darts
    """
    if genotypes:
        return _genotypes()
    if published:
        return _results()
    if classes and name is None:
        raise typer.BadParameter("give the NAME of a space with --classes")
    if name is not None:
        space = nasir.load_space(name)
        return _one(space, _class_facts(space) if classes else {})
    found = tuple(catalog().values())
    rows = tuple(
        (s.name, s.title, s.skeleton, joined(s.kinds), _count(nasir.size(s)), s.paper)
        for s in found
    )
    columns = ("space", "title", "skeleton", "cells", "genotypes", "paper")
    return Reply([_summary(space) for space in found], (TextTable("", columns, rows),))


def _count(number: int) -> str:
    """The number, to three digits where it has more than twelve: --json has all of them."""
    return f"{number:,}" if number < 10**12 else f"{number:.2e}"


def _genotypes() -> Reply:
    def facts() -> list[dict[str, Any]]:
        return [
            {
                "name": entry.name,
                "catalogue": entry.catalogue,
                "aliases": list(entry.aliases),
                "space": load_entry(entry).space,
                "paper": entry.paper,
                "sources": list(entry.sources),
            }
            for entry in entries()
        ]

    rows = tuple((e.name, e.catalogue, joined(e.aliases), e.paper) for e in entries())
    return Reply(facts, (TextTable("", ("genotype", "catalogue", "aliases", "paper"), rows),))


def _results() -> Reply:
    columns = ("system", "dataset", "metric", "value", "±", "M params", "GPU days", "source")
    rows = tuple(
        (
            r.system,
            r.dataset,
            r.metric,
            *map(_number, (r.value, r.deviation, r.parameters_million, r.search_gpu_days)),
            r.source,
        )
        for r in results()
    )
    return Reply([asdict(result) for result in results()], (TextTable("", columns, rows),))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.10g}"


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


def _one(space: nasir.Space, counted: dict[str, int]) -> Reply:
    layout = str(space.layout) if SKELETONS[space.skeleton].laid_out else ""
    facts = _summary(space) | counted
    facts["cells"] = {cell.kind: _cell_facts(cell) for cell in space.cells}
    facts |= {"ops": {op.name: op.summary for op in space.ops}, "layout": layout}
    different = "".join(f", {count:,} different architectures" for count in counted.values())
    parts: list[str | TextTable] = [
        f"{space.name}: {space.title or 'a space'}, skeleton {space.skeleton}",
        *([space.paper] if space.paper else []),
        f"{nasir.size(space):,} genotypes{different}",
        *([f"layout: {layout}"] if layout else []),
        *(f"its own op {op.name}: {op.summary}" for op in space.ops),
    ]
    for cell in space.cells:
        parts += ["", *(_node_cell(cell) if cell.node_ops else _edge_cell(cell))]
    return Reply(facts, parts)


def _edge_cell(cell: SpaceCell) -> list[str | TextTable]:
    inputs = "1 input" if cell.inputs == 1 else f"{cell.inputs} inputs"
    keep = "every edge" if cell.keep is None else f"{cell.keep} edges"
    line = (
        f"cell {cell.kind}: {inputs}, {cell.nodes} nodes, each keeps {keep}; "
        f"output {'any of ' if cell.any_output else ''}{joined(cell.output)}; "
        f"never selected: {joined(cell.exclude)}; {decisions(cell).size:,} cells"
    )
    parts: list[str | TextTable] = [line]
    if (cell.combine, cell.join) != ("sum", "concat"):
        parts.append(f"a node is the {cell.combine} of its edges, the output the {cell.join}")
    rows = tuple((f"{e.source} to {e.node}", joined(e.ops)) for e in cell.edges)
    return [*parts, TextTable("", ("edge", "ops"), rows)]


def _node_cell(cell: SpaceCell) -> list[str | TextTable]:
    """A cell whose ops stand on nodes."""
    line = f"cell {cell.kind}: one input, ops on nodes: {joined(cell.node_ops)}"
    if not cell.parents:
        return [line, f"at most {cell.nodes} nodes and {cell.most_edges} edges"]
    names = [*(f"node {node}" for node in range(1, cell.nodes + 1)), "output"]
    rows = tuple(zip(names, cell.parents, strict=True))
    return [line, TextTable("", ("", "reads"), rows)]


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


def examples(
    out: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the files go.")
    ] = Path("examples"),
) -> Reply:
    """Copy the example files: two spaces with a genotype each, and files of other formats.

    A file that is there and differs is left alone, and is an error before anything is written.

    Example: nasir examples
    """
    copies = {
        out / path.name: path.read_bytes()
        for path in sorted((spaces_directory() / "examples").iterdir())
    }
    for path, content in copies.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            message = "the file is there already, with another content"
            hint = "choose another directory with --output, or move the file away"
            raise NasirError("E112", message, Where(str(path)), hint=hint)
    written = [str(write_atomically(path, content)) for path, content in copies.items()]
    return Reply(written, written)

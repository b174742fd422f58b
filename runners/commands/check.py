"""`nasir check`: whether genotype, space and graph files make sense."""

import re
from typing import Annotated, Any

import typer

import nasir
from nasir.document import parse_document
from nasir.errors import NasirError
from nasir.formats import read_source_genotype
from nasir.formats.shipped import find
from nasir.source import Source
from nasir.space import catalog, home_of, parse_space, space_schema
from runners.commands.options import JsonOption, SpaceOption
from runners.inputs import is_graph, open_source
from runners.output import joined, print_error, print_json, print_line

_SPACE_KEY = re.compile(r"^(space|skeleton|cells)\s{0,8}:", re.MULTILINE)
_OWN_KEY = re.compile(r"""^[{ \t]{0,8}["']?nasir["']?\s{0,8}:""", re.MULTILINE)


def check(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Genotype, space or graph files; names too."),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of space files, for editors.")
    ] = False,
    space: SpaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check genotype, space and graph files.

    Prints what each file holds; of a genotype also what lies outside the space it names, which is
    no fault. Every file is read; the first fault in each is reported, and the exit code is then 2.

    Example: nasir check DARTS_arch.json my_space.yaml
    """
    if schema:
        print_json(space_schema())
        return
    if not files:
        raise typer.BadParameter("give at least one FILE, or --schema")
    home = nasir.load_space(space) if space else None
    found: list[dict[str, Any]] = []
    faults = 0
    for file in files:
        try:
            found.append(check_one(file, home))
        except NasirError as error:
            faults += 1
            print_error(error, as_json=as_json)
    if as_json:
        if found:
            print_json(found)
    else:
        for facts in found:
            print_line(_sentence(facts))
    if faults:
        raise typer.Exit(2)


def check_one(argument: str, home: nasir.Space | None = None) -> dict[str, Any]:
    """What a file or name holds, as plain data; `home` is the space of genotypes, if given.

    Raises what reading it raises.
    """
    opened = open_source(argument)
    if opened is None:
        return _check_name(argument, home)
    source, name = opened
    if is_graph(source):
        graph = nasir.parse_graph(source.text, source.name)
        return {"file": source.name, "kind": "graph", "nodes": len(graph)}
    if _is_space(source):
        return _space_facts(source.name, parse_space(source))
    reading = read_source_genotype(source, name, home)
    return _genotype_facts(
        source.name, reading.format.name if reading.format else "", reading.genotype
    )


def _check_name(name: str, home: nasir.Space | None) -> dict[str, Any]:
    if find(name) is None and name.lower() in catalog():
        return _space_facts(name, nasir.load_space(name))
    return _genotype_facts(name, "", nasir.load_genotype(name, home))


def _is_space(source: Source) -> bool:
    """Whether the source is meant as a space rather than as a genotype."""
    if source.is_model:
        return False
    if not _OWN_KEY.search(source.text, 0, 2**12):
        return bool(_SPACE_KEY.search(source.text, 0, 2**16))
    fields = parse_document(source).root.entries("a nasir file")
    return not {"genotype", "genotypes"} & set(fields)


def _space_facts(file: str, space: nasir.Space) -> dict[str, Any]:
    return {"file": file, "kind": "space", "space": space.name, "cells": list(space.kinds)}


def _genotype_facts(file: str, format_name: str, genotype: nasir.Genotype) -> dict[str, Any]:
    home = home_of(genotype)
    outside = home.contains(genotype) if home else ()
    return {
        "file": file,
        "kind": "genotype",
        "format": format_name or "published",
        "space": genotype.space,
        "space_known": home is not None,
        "cells": list(genotype.kinds),
        "outside": list(outside),
        "nasbench101": _nasbench101_name(genotype),
    }


def _nasbench101_name(genotype: nasir.Genotype) -> str | None:
    """The genotype's name in NAS-Bench-101, where it is in it."""
    if not genotype.cells[0].ops:
        return None
    try:
        return nasir.nasbench101_hash(genotype)
    except NasirError:
        return None


def _sentence(facts: dict[str, Any]) -> str:
    """A line, and one for each thing outside the space."""
    file, kind = facts["file"], facts["kind"]
    if kind == "graph":
        return f"{file}: a graph of {facts['nodes']} nodes"
    cells = joined(facts["cells"], ", ")
    if kind == "space":
        return f"{file}: the space {facts['space']}, cells {cells}"
    line = f"{file}: a genotype ({facts['format']} format), cells {cells}"
    if facts["nasbench101"]:
        line = f"{line}; NAS-Bench-101's {facts['nasbench101']}"
    if not facts["space_known"]:
        return f"{line}; its space {facts['space']} is not shipped with nasir"
    if not facts["outside"]:
        return f"{line}; in the space {facts['space']}"
    reasons = "".join(f"\n  {reason}" for reason in facts["outside"])
    return f"{line}; outside the space {facts['space']}:{reasons}"

"""Commands on genotypes and their graphs: convert, id, sample, draw, show, cost, diff."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Annotated

import typer

import nasir
from nasir.errors import NasirError, json_text, nearest, quoted
from nasir.files import write_atomically
from runners.cli.options import Fields, GenotypeArgument, SpaceOption, wrong_call
from runners.experiment.sizes import NetworkSize, describe_size, size_facts
from runners.folder.display import display_for_stderr
from runners.forms.report import cost_facts, cost_sums, cost_table, with_head
from runners.inputs import (
    check_file,
    is_graph,
    named,
    open_source,
    read,
    read_named,
    read_opened,
    short_text,
)
from runners.output import (
    FileText,
    Reply,
    TextTable,
    print_line,
    print_note,
    print_text,
    table_of,
)

Size = Annotated[NetworkSize, Fields(NetworkSize)]

DIFFERENT = 1


def convert(
    source: GenotypeArgument,
    to: Annotated[
        str,
        typer.Option(metavar="FORMAT", help="nasir, darts, nnabla, nasbench101, nasbench201, …"),
    ] = "nasir",
    space: SpaceOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Instead of stdout.")
    ] = None,
) -> None:
    """Convert a genotype from one file format to another.

    The format of GENOTYPE is detected, and printed on stderr. An error names what the other format
    cannot represent.

    Example: nasir convert DARTS_arch.json --to darts
    """
    if output is not None:
        check_file(output)
    reading = read(source, space)
    text = _ended(nasir.dump_genotype(reading.genotype, to))
    print_note(f"read as {reading.described}")
    if output is None:
        print_text(text)
    else:
        print_line(str(write_atomically(output, text.encode())))


def id(
    genotypes: Annotated[
        list[str],
        typer.Argument(metavar="GENOTYPE...", help="Names, files, texts, or - for stdin."),
    ],
) -> Reply:
    """Print the canonical id of genotypes: equal for equal architectures.

    Example: nasir id darts_v1 darts_v2
    """
    found = [(each.name, nasir.canonical_id(each)) for each in map(read_named, genotypes)]
    facts = [{"genotype": name, "id": canonical} for name, canonical in found]
    return Reply(facts, (f"{canonical}  {name}" for name, canonical in found))


def sample(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A space: its name or file.")],
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, max=1_000_000, help="Number of genotypes.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, max=10**15, help="Seed of the samples.")] = 0,
    to: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Output format; the shortest by default."),
    ] = None,
) -> Reply:
    """Sample genotypes uniformly from a search space.

    Example: nasir sample darts -n 5 --seed 0
    """
    drawn, random = nasir.load_space(space), Random(seed)
    with display_for_stderr(drawn.where).stage("search genotypes that fulfil `where`"):
        if drawn.where is not None:
            print_note(f"{nasir.acceptance(drawn):.2%} of the genotypes fulfil `where`")
        genotypes = [nasir.sample(drawn, random) for _ in range(count)]

    def facts() -> list[dict[str, object]]:
        return [
            {
                "rank": nasir.rank(drawn, genotype) if drawn.countable else None,
                "id": nasir.canonical_id(genotype),
                "genotype": json.loads(nasir.dump_genotype(genotype, "nasir"))["genotype"],
            }
            for genotype in genotypes
        ]

    return Reply(facts, (FileText(_ended(_dumped(genotype, to))) for genotype in genotypes))


def _dumped(genotype: nasir.Genotype, to: str | None) -> str:
    return nasir.dump_genotype(genotype, to) if to else short_text(genotype)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def draw(
    genotype: GenotypeArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the drawings go.")
    ] = Path(),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="FORMAT", help="svg (default), png, pdf or dot; repeatable."
        ),
    ] = None,
    space: SpaceOption = None,
) -> Reply:
    """Draw a genotype's cells, one drawing for each kind.

    Prints the files written.

    Example: nasir draw darts_v2 -o drawings --format svg --format png
    """
    from nasir.pictures import cell_pictures  # only this command draws

    contents = {
        output / f"{stem}.{format_name}": _rendered(picture, format_name)
        for stem, picture in cell_pictures(read_named(genotype, space)).items()
        for format_name in formats or ("svg",)
    }
    files = [write_atomically(path, content) for path, content in contents.items()]
    written = [str(file) for file in files]
    return Reply(written, written)


def _rendered(picture: "nasir.Picture", format_name: str) -> bytes:
    if format_name in ("svg", "dot"):
        return (picture.svg if format_name == "svg" else picture.dot).encode()
    if format_name not in ("png", "pdf"):
        message = f"no drawing format is called {quoted(format_name)}"
        raise NasirError("E505", message, hint=nearest(format_name, ("svg", "png", "pdf", "dot")))
    from runners.plot.cells import rendered  # matplotlib takes time to import

    return rendered(picture, format_name)


def show(
    size: Size,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[GENOTYPE]",
            help="A published name, a file (a graph as text too), a text, or - for standard input.",
        ),
    ] = None,
    space: SpaceOption = None,
    after: Annotated[
        str | None, typer.Option(metavar="PASS", help="Run the passes up to this one.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the passes.")] = False,
) -> Reply:
    """Print a network's graph as text, after any pass.

    Without --after the ops are those of the genotype. With it, the passes of --list run up to and
    including the named one; passes that change the results run only if named.

    Example: nasir show darts_v2 --layers 3 --after cse
    """
    if listed:
        passes = nasir.PASSES.values()
        facts = [{"name": p.name, "summary": p.summary, "exact": p.exact} for p in passes]
        rows = tuple((p.name, p.summary, "bitwise kept" if p.exact else "changed") for p in passes)
        return Reply(facts, (TextTable("", ("pass", "what it does", "results"), rows),))
    if source is None:
        raise typer.BadParameter("give a GENOTYPE, or --list")
    graph = _graph(source, space, size)
    if after is not None:
        graph, _ = nasir.run_passes(graph, passes_up_to(after))
    text = nasir.print_graph(graph)
    return Reply({"nodes": len(graph), "text": text}, (FileText(text),))


def passes_up_to(name: str) -> "tuple[nasir.Pass, ...]":
    """Returns the exact passes of the table before that one, and the pass itself."""
    if name not in nasir.PASSES:
        raise NasirError("E201", f"unknown pass {quoted(name)}", hint=nearest(name, nasir.PASSES))
    names = list(nasir.PASSES)
    before = [nasir.PASSES[each] for each in names[: names.index(name)]]
    return (*(row for row in before if row.exact), nasir.PASSES[name])


def _graph(argument: str, space: str | None, size: NetworkSize) -> nasir.Graph:
    """Returns the graph of a graph's text, or the network of a genotype."""
    opened = open_source(argument)
    if opened is None:
        return size.build(read_named(argument, space))
    source, name = opened
    if not is_graph(source):
        return size.build(named(read_opened(source, name, space).genotype, argument))
    if size != NetworkSize() or space:
        raise NasirError(
            "E505",
            f"{quoted(source.name)} is a graph, whose size is fixed",
            hint="leave out the options of the skeleton, or give a genotype",
        )
    return nasir.parse_graph(source.text, source.name)


def cost(
    genotype: GenotypeArgument,
    size: Size,
    space: SpaceOption = None,
    nodes: Annotated[bool, typer.Option("--nodes", help="List every primitive.")] = False,
    whole: Annotated[
        bool, typer.Option("--all", help="Count all genotypes of a named space.")
    ] = False,
    draws: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Count so many samples of a named space.")
    ] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="CSV", help="Write a row for each.")
    ] = None,
) -> Reply:
    """Count parameters, multiply-adds and activations.

    The auxiliary head is counted separately. The output states the convention.

    Example: nasir cost darts_v2 --skeleton imagenet --auxiliary

    Example: nasir cost nasbench201 --all -o costs.csv
    """
    many, one = whole or draws, nodes or space or size.auxiliary
    if (whole and draws) or (many and one) or (output and not many):
        hint = "--all, or --draws N, count a space, with -o; --nodes and --auxiliary one genotype"
        raise wrong_call("the options contradict each other", hint)
    if many:
        return _costs(nasir.load_space(genotype), draws, size, output)
    read = read_named(genotype, space)
    graph = size.build(read)
    found, about = nasir.cost(graph), size_facts(graph)
    facts = {"genotype": read.name} | about | cost_facts(found)
    parts: list[str | TextTable] = [
        cost_table(f"{read.name}: {describe_size(about)}", "", with_head(found))
    ]
    if nodes:
        every = [*found.nodes, *(found.auxiliary.nodes if found.auxiliary else ())]
        facts["nodes"] = nodes_of = [asdict(node) for node in every]
        columns = {"node": "name", "op": "op", "parameters": "params", "multiply-adds": "macs"}
        parts += ["", table_of(nodes_of, columns | {"activations": "activations"})]
    return Reply(facts, (*parts, f"counted: {found.convention}"))


def _costs(space: nasir.Space, draws: int, size: NetworkSize, output: Path | None) -> Reply:
    """Returns the costs of a space's genotypes, all or sampled with seed 0."""
    if not draws and space.total > _ALL:
        message = f"space '{space.name}' has {space.total:.2e} genotypes, more than {_ALL:,}"
        raise NasirError("E106", message, hint="--draws 1000 counts so many of them")
    if output is not None:
        check_file(output)
    with display_for_stderr().stage(f"count networks of {space.name}"):
        random = Random(0)
        genotypes = [nasir.sample(space, random) for _ in range(draws)]
        genotypes = genotypes or list(nasir.enumerate_genotypes(space))
        asked = size.model_dump(exclude={"auxiliary"}, exclude_none=True)
        found = list(nasir.costs(space, genotypes, **asked))
    if not found:
        raise NasirError("E211", f"no genotype of space '{space.name}' fulfils its `where`")
    rows = [_spread(name, values) for name, *values in zip(_COUNTS, *found, strict=True)]
    shown: list[str | TextTable] = [
        table_of(rows, {name: name for name in rows[0]}, f"{space.name}: {len(found):,} networks")
    ]
    if output is not None:
        each = zip(genotypes, found, strict=True)
        lines = (f'"{_line(g)}",{",".join(map(str, costs))}' for g, costs in each)
        text = "\n".join((f"genotype,{','.join(found[0]._fields)}", *lines, ""))
        shown.append(str(write_atomically(output, text.encode())))
    return Reply({"space": space.name, "networks": len(found), "costs": rows}, shown)


_ALL = 1 << 20
_COUNTS = ("parameters", "multiply-adds", "activations")


def _spread(name: str, values: list[int]) -> dict[str, object]:
    values.sort()
    last = len(values) - 1
    at = {"least": 0, "5 %": last // 20, "median": last // 2, "95 %": last - last // 20}
    found = {title: values[place] for title, place in at.items()}
    return {"of": name, **found, "most": values[-1], "mean": round(sum(values) / len(values))}


def _line(genotype: nasir.Genotype) -> str:
    """Formats a genotype for a CSV cell."""
    text = short_text(genotype)
    return (text if "\n" not in text else json_text(json.loads(text))).replace('"', '""')


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A genotype: name, file or text.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another genotype.")],
    size: Annotated[NetworkSize, Fields(NetworkSize, without=("auxiliary",))],
    space: SpaceOption = None,
) -> Reply:
    """Compare two genotypes: edges, ops and cost.

    The order of a node's edges is ignored. Exit codes are those of diff(1): 0 the same, 1
    different, 2 trouble.

    Example: nasir diff darts_v1 darts_v2
    """
    both = (read_named(first, space), read_named(second, space))
    names = (both[0].name, both[1].name)
    found = list(_differences(*both))
    graphs = [size.build(each) for each in both]
    costs = [nasir.cost(graph) for graph in graphs]
    sums = [cost_sums(each) for each in costs]
    facts = {
        "first": {"genotype": names[0]} | sums[0],
        "second": {"genotype": names[1]} | sums[1],
        "equal": not found,
        "differences": found,
    }
    same: str | TextTable = f"{names[0]} and {names[1]} are the same architecture"
    if found:
        columns = {f"only in A: {names[0]}": "first", f"only in B: {names[1]}": "second"}
        same = table_of(found, {"cell": "cell", "place": "place"} | columns)
    table = cost_table("", "", {f"A: {names[0]}": costs[0], f"B: {names[1]}": costs[1]})
    ratios = [f"{sums[1][key] / max(1, sums[0][key]):.3f}" for key in sums[0]]
    rows = tuple((*row, ratio) for row, ratio in zip(table.rows, ratios, strict=True))
    sizes = [
        f"{name}: {describe_size(size_facts(graph))}"
        for name, graph in zip(names, graphs, strict=True)
    ]
    shown = (same, "", TextTable("", (*table.columns, "B / A"), rows), *sizes)
    return Reply(facts, shown, DIFFERENT if found else 0)


def _differences(one: nasir.Genotype, two: nasir.Genotype) -> Iterator[dict[str, object]]:
    """Yields differences by cell, then by node, then output and size."""
    first, second = _places(one), _places(two)
    for kind, place in sorted({**first, **second}, key=lambda at: at[0] == "size"):
        a, b = (each.get((kind, place), []) for each in (first, second))
        alone = place != "cell" and (kind in one.kinds) != (kind in two.kinds)
        if a != b and not alone:
            if place != "output":
                x, y = Counter(a), Counter(b)
                a, b = list((x - y).elements()), list((y - x).elements())
            yield {"cell": kind, "place": place, "first": a, "second": b}


def _places(genotype: nasir.Genotype) -> dict[tuple[str, str], list[str]]:
    """Returns the content of each place in each cell, and the genotype's size."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in genotype.cells:
        kind = cell.kind
        found[kind, "cell"] = [f"{kind} cell"]
        found[kind, "inputs"] = [str(cell.inputs)]
        pairs = zip(cell.node_ops, cell.nodes, strict=True)
        for state, (op, edges) in enumerate(pairs, start=cell.inputs):
            texts = [f"{e.op}({e.source})" if e.op else f"from {e.source}" for e in edges]
            found[kind, f"node {state}"] = [*filter(None, [op]), *sorted(texts)]
        found[kind, "output"] = [*map(str, cell.output)]
    return found | {("size", name): [str(number)] for name, number in genotype.size}

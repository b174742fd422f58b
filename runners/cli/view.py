"""The command `nasir view`: finds what an argument names, and writes its page."""

from pathlib import Path
from typing import Annotated

import typer

import nasir
from nasir.document import parse_document
from nasir.errors import NasirError, Where, file_stem, quoted
from nasir.files import is_there, write_atomically
from nasir.formats.load import find_entry, is_published
from nasir.space.load import space_names
from runners.cli.options import Fields, SpaceOption, wrong_call
from runners.experiment.sizes import NetworkSize
from runners.folder.display import display_for_stderr
from runners.inputs import STDIN, check_file, is_run, named, open_source, read_genotype
from runners.output import Reply, print_note
from runners.view import html_page, serve

_SAMPLES = 1000


def view(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="X...",
            help="A genotype, a space, a run's directory (or several), or one of `nasir compile`.",
        ),
    ],
    size: Annotated[NetworkSize, Fields(NetworkSize, without=("auxiliary",))],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="HTML", help="The page; NAME.html.")
    ] = None,
    space: SpaceOption = None,
    draws: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Samples of a space whose costs are counted.")
    ] = _SAMPLES,
    benchmark: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="A store, or a benchmark's own file: accuracies of runs."
        ),
    ] = None,
    served: Annotated[
        bool, typer.Option("--serve", help="Serve the page on this machine until stopped.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --serve; 0: any free one.")] = 0,
) -> Reply:
    """Write one HTML file to look at and edit, which needs no network.

    A genotype's cells can be edited, with the costs of the whole network, and downloaded; a space
    can be sampled; a search has its cells and weights at every epoch, several runs side by side; a
    compilation its passes and forms.

    Example: nasir view darts_v2 -o page.html

    Example: nasir view runs/drnas runs/darts --serve
    """
    if output is not None:
        check_file(output)
    with display_for_stderr().stage("collect the page's data"):
        document = _document(sources, size, space, draws, benchmark)
    page = html_page(document)
    if output is None and not served:
        output = Path(f"{file_stem(str(document['title'])) or 'page'}.html")
        check_file(output)
    written = [] if output is None else [str(write_atomically(output, page.encode()))]
    if served:
        _serve(page, port)
    return Reply({"kind": document["kind"], "file": written[0] if written else None}, written)


def _document(
    sources: list[str],
    size: NetworkSize,
    space: str | None,
    draws: int,
    benchmark: Path | None,
) -> dict[str, object]:
    from runners.view.architecture import genotype_document, space_document

    folders = [Path(each) for each in sources if is_there(each) and Path(each).is_dir()]
    sized = size != NetworkSize() or space is not None
    if folders or len(sources) > 1:
        if len(folders) < len(sources):
            others = [each for each in sources if Path(each) not in folders]
            message = f"{quoted(others[0])} is no run's directory"
            raise wrong_call(message, "several things on one page are runs")
        if sized:
            raise wrong_call("a run has its own space and size", "leave out --space and sizes")
        return _folders(folders, benchmark)
    (source,) = sources
    if benchmark is not None:
        raise wrong_call("--benchmark is for runs", "`nasir query` looks a genotype up")
    found = None if space else _find_space(source)
    if found is not None:
        return space_document(found, size, draws)
    genotype = read_genotype(source, space)
    return genotype_document(genotype, size, named(genotype, source).name)


def _folders(folders: list[Path], benchmark: Path | None) -> dict[str, object]:
    from runners.view.records import REPORT, compilation_document, runs_document

    if len(folders) == 1 and not is_run(str(folders[0])) and (folders[0] / REPORT).is_file():
        return compilation_document(folders[0])
    if len(folders) == 1 and not is_run(str(folders[0])):
        hint = "`nasir search`, `evaluate` and `compile -o DIR` write directories to view"
        where = Where(str(folders[0]))
        raise NasirError("E721", "the folder has neither a run nor a compilation", where, hint)
    return runs_document(folders, benchmark)


def _find_space(source: str) -> nasir.Space | None:
    """The space that an argument names; None where it names a genotype.

    A name of both is the space's, as elsewhere where a command takes a space.
    """
    if source == STDIN:
        return None
    if is_published(source):
        if source.lower() not in space_names():
            return None
        if (entry := find_entry(source)) is not None:
            print_note(f"the space '{source.lower()}'; for the genotype: {entry.name}")
        return nasir.load_space(source)
    opened = open_source(source)
    if opened is None or opened[1] or opened[0].is_model:
        return None
    try:
        data = parse_document(opened[0]).data
    except NasirError:
        return None
    if not (isinstance(data, dict) and {"cells", "skeleton"} <= {*data}):
        return None
    return nasir.load_space(Path(source) if is_there(source) else opened[0].text)


def _serve(page: str, port: int) -> None:
    try:
        server = serve(page, port)
    except OSError as error:
        message = f"port {port} cannot be used: {(error.strerror or str(error)).lower()}"
        raise NasirError("E505", message, hint="give another --port, or 0") from None
    with server:
        print_note(f"http://127.0.0.1:{server.server_port}/ (Ctrl+C ends it)")
        server.serve_forever()

"""What is fuzzed: each kind of file that nasir reads, and what its users do with one."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import nasir
from nasir.formats.table import FORMATS
from nasir.passes import DISCRETE, PLAIN, summed
from nasir.space.load import catalog, spaces_directory
from tests.fuzz import Target
from tests.fuzz_binaries import BINARIES
from tests.test_formats_field import ROWS


def _all(*steps: Callable[[], object]) -> None:
    """Every step, whatever another one refuses; then the first refusal, if there is one."""
    refused: list[nasir.NasirError] = []
    for step in steps:
        try:
            step()
        except nasir.NasirError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def genotype_file(suffix: str, name: str | None = None) -> Callable[[bytes, Path], None]:
    """Reads a genotype from a file, prices its network, names it, writes and draws it."""

    def read(content: bytes, folder: Path) -> None:
        path = folder / f"genotype{suffix}"
        path.write_bytes(content)
        genotype = nasir.load_genotype(path, format=name)
        _all(
            lambda: nasir.cost(nasir.network(genotype)),
            lambda: nasir.canonical_id(genotype),
            lambda: nasir.dump_genotype(genotype),
            lambda: nasir.draw(genotype).svg,
        )

    return read


def space_file(suffix: str) -> Callable[[bytes, Path], None]:
    """Reads a space, counts it, draws a genotype, and prices that one's network and the whole."""

    def read(content: bytes, folder: Path) -> None:
        path = folder / f"space{suffix}"
        path.write_bytes(content)
        space = nasir.load_space(path)
        _all(
            lambda: nasir.size(space),
            lambda: nasir.cost(nasir.network(nasir.sample(space, 0))),
            lambda: nasir.canonical_id(nasir.sample(space, 1)),
            lambda: nasir.cost(nasir.supernet(space)),
        )

    return read


def _graph(content: bytes, folder: Path) -> None:
    """Reads a graph's text, prices it, runs passes and prints it."""
    del folder
    graph = nasir.parse_graph(content.decode("utf-8", "surrogateescape"))
    _all(
        lambda: nasir.cost(graph),
        lambda: nasir.parse_graph(nasir.print_graph(graph)),
        lambda: nasir.run_passes(graph, DISCRETE),
    )


def _method(content: bytes, folder: Path) -> None:
    from runners.experiment.method import read_method

    path = folder / "method.yaml"
    path.write_bytes(content)
    read_method(str(path), "cifar")


def _recipe(content: bytes, folder: Path) -> None:
    from runners.experiment.recipe import read_recipe

    path = folder / "recipe.yaml"
    path.write_bytes(content)
    read_recipe(str(path))


def _data(suffix: str) -> Callable[[bytes, Path], None]:
    from nasir.document import parse_document
    from nasir.files import read_source

    def read(content: bytes, folder: Path) -> None:
        path = folder / f"data{suffix}"
        path.write_bytes(content)
        document = parse_document(read_source(path))
        document.place(max(document.places.values, key=len, default=()))

    return read


@cache
def _genotypes() -> tuple[nasir.Genotype, ...]:
    published = ("darts_v2", "amoebanet", "enas", "darts_v2@darts_rnn", "nasbench201_resnet")
    found = [nasir.load_genotype(name) for name in published if _is_known(name)]
    return (*found, *(nasir.sample(space, seed) for space in catalog().values() for seed in (0, 1)))


def _is_known(name: str) -> bool:
    try:
        nasir.load_genotype(name)
    except nasir.NasirError:
        return False
    return True


def _written(format_name: str) -> Callable[[], Sequence[bytes]]:
    """The genotypes that a format can hold, as it writes them."""

    def texts() -> Iterator[bytes]:
        for genotype in _genotypes():
            try:
                yield nasir.dump_genotype(genotype, format_name).encode()
            except nasir.NasirError:
                continue

    return lambda: tuple(dict.fromkeys(texts()))[:12]


def _files(folder: Path, pattern: str) -> Callable[[], Sequence[bytes]]:
    return lambda: tuple(path.read_bytes() for path in sorted(folder.glob(pattern)))


def _spaces() -> Sequence[bytes]:
    """The shipped spaces as JSON; one of the examples is wrong on purpose."""
    paths = [*spaces_directory().glob("*.yaml"), *spaces_directory().glob("examples/m*e.yaml")]
    return tuple(nasir.load_space(path).text.encode() for path in sorted(paths))


def _own_space() -> Sequence[bytes]:
    """Genotypes whose space stands in the file, with ops of its own."""
    space = nasir.load_space(spaces_directory() / "examples" / "mobile.yaml")
    return tuple(nasir.dump_genotype(nasir.sample(space, seed)).encode() for seed in (0, 1))


def _graphs() -> Iterator[bytes]:
    v2 = nasir.network("darts_v2", channels=4, layers=3, classes=3)
    recurrent = nasir.network("darts_v2@darts_rnn", vocabulary=5, hidden=4)
    mobile = nasir.load_space(spaces_directory() / "examples" / "mobile.yaml")
    own = nasir.network(nasir.sample(mobile, 0), channels=8, layers=4, classes=3)
    small = nasir.supernet("nasbench201", channels=4, layers=1)
    fused, _ = nasir.run_passes(small, (*PLAIN, *summed("states")))
    called, _ = nasir.run_passes(v2, (*DISCRETE, nasir.PASSES["call-cells"]))
    for graph in (v2, recurrent, own, small, fused, called):
        yield nasir.print_graph(graph).encode()


_METHOD = b"""method: mine
like: drnas
perturb: none
select: {part: projection, interval: 2}
stages:
  - {epochs: 25, warm_up: 10, parts: 6}
  - {epochs: 25, warm_up: 10, options: 4, parts: 4}
optimizer: {lr: 0.05}
train: {batch: 96, drop_path: 0.2}
"""

_RECIPES = Path(__file__).parent.parent / "runners" / "experiment" / "recipes"

_SUFFIXES = {"darts": ".py", "nasir": ".json", "nnabla": ".json"}


def _field(suffix: str) -> Callable[[], Sequence[bytes]]:
    """Genotypes as they stand in other people's files."""
    return lambda: tuple(row.text.encode() for row in ROWS if row.file.endswith(suffix))


TEXTS: tuple[Target, ...] = (
    *(Target(f"field {end}", _field(end), genotype_file(end)) for end in (".py", ".txt", ".json")),
    *(
        Target(
            name,
            _written(name),
            genotype_file(_SUFFIXES.get(name, ".txt"), name if row.shared else None),
        )
        for name, row in FORMATS.items()
        if row.dump is not None
    ),
    Target("own space", _own_space, genotype_file(".json")),
    Target("own yaml", _written("nasir"), genotype_file(".yaml")),
    Target("space yaml", _files(spaces_directory(), "**/*.yaml"), space_file(".yaml")),
    Target("space json", _spaces, space_file(".json")),
    Target("graph", lambda: tuple(_graphs()), _graph),
    Target("method", lambda: (_METHOD,), _method),
    Target("recipe", _files(_RECIPES, "*.yaml"), _recipe),
    Target("json", _written("nasir"), _data(".json")),
    Target("yaml", _files(spaces_directory(), "**/*.yaml"), _data(".yaml")),
)
"""Texts, which need nothing but nasir (methods and recipes: runners)."""

__all__ = ["BINARIES", "TARGETS", "TEXTS"]

TARGETS = (*TEXTS, *BINARIES)

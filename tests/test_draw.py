"""Pictures of cells: what they show, that nothing in them overlaps, and how they are written."""

import itertools
import math
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from operator import mul
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis.strategies import integers

import nasir
from nasir import CellGenotype, Edge, Genotype, NasirError
from nasir.formats import entries, load_entry
from nasir.pictures.diagram import Drawing, Point, Rectangle, cell_diagram, layout
from nasir.pictures.picture import outline
from nasir.space.load import catalog
from tests.command_line import call

SVG = "{http://www.w3.org/2000/svg}"
OPS = ("none", "skip_connect", "sep_conv_3x3", "dil_conv_5x5", "a" * 40, "卷积")

SMALL = CellGenotype(
    "normal",
    2,
    ((Edge("sep_conv_3x3", 0), Edge("skip_connect", 1)), (Edge("max_pool_3x3", 2),)),
    (2, 3),
)
SINGLE = CellGenotype(
    "cell",
    1,
    (
        (Edge("nor_conv_3x3", 0),),
        (Edge("none", 0), Edge("nor_conv_1x1", 1)),
        (Edge("skip_connect", 0), Edge("avg_pool_3x3", 1), Edge("nor_conv_3x3", 2)),
    ),
    (3,),
)
TWICE = CellGenotype("normal", 2, ((Edge("avg_pool_3x3", 0), Edge("avg_pool_3x3", 0)),), (2,))
RECURRENT = CellGenotype("recurrent", 1, ((Edge("tanh", 0),), (Edge("relu", 1),)), (1, 2))
DARTS_V2 = CellGenotype(
    "reduce",
    2,
    (
        (Edge("max_pool_3x3", 0), Edge("max_pool_3x3", 1)),
        (Edge("skip_connect", 2), Edge("max_pool_3x3", 1)),
        (Edge("max_pool_3x3", 0), Edge("skip_connect", 2)),
        (Edge("skip_connect", 2), Edge("max_pool_3x3", 1)),
    ),
    (2, 3, 4, 5),
)
CELLS = (SMALL, SINGLE, TWICE, RECURRENT, DARTS_V2)
GENOTYPE = Genotype("darts", (SMALL,), name="small")


def random_cell(seed: int) -> CellGenotype:
    """A cell of up to ten nodes with up to three edges each, from any sources."""
    random = Random(seed)
    inputs, count = random.randint(1, 3), random.randint(1, 10)
    nodes = tuple(
        tuple(
            Edge(random.choice(OPS), random.randrange(state)) for _ in range(random.randint(1, 3))
        )
        for state in range(inputs, inputs + count)
    )
    states = range(inputs + count)
    output = tuple(random.sample(states, random.randint(1, len(states))))
    return CellGenotype("normal", inputs, nodes, output)


def labels_in(svg: str) -> Counter[str]:
    """The ops in a picture: its texts but those of boxes."""
    texts = list(ET.fromstring(svg).iter(f"{SVG}text"))
    boxes = {"input", "node", "output", "heading", "caption", "note"}
    return Counter(element.text or "" for element in texts if element.get("class") not in boxes)


def box_names(cell: CellGenotype) -> list[str]:
    return [box.lines[0] + box.sub for box in cell_diagram(cell).boxes]


def test_a_single_output_node_is_the_output_box() -> None:
    assert box_names(SINGLE) == ["ck−1", "0", "1", "ck"]
    assert all(arrow.lines for arrow in cell_diagram(SINGLE).arrows)


def test_listed_states_are_joined_by_plain_arrows() -> None:
    assert box_names(SMALL) == ["ck−2", "ck−1", "0", "1", "ck"]
    plain = [arrow for arrow in cell_diagram(SMALL).arrows if not arrow.lines]
    assert [(arrow.tail, arrow.head) for arrow in plain] == [(2, 4), (3, 4)]


def test_a_recurrent_cell_begins_with_the_input_and_the_hidden_state() -> None:
    assert box_names(RECURRENT) == ["xt", "ht−1", "0", "1", "2", "ht"]


def test_an_input_that_is_the_only_output_gets_an_arrow_to_the_output() -> None:
    cell = CellGenotype("normal", 1, ((Edge("skip_connect", 0),),), (0,))
    assert box_names(cell) == ["ck−1", "0", "ck"]
    last = cell_diagram(cell).arrows[-1]
    assert (last.tail, last.head) == (0, 2)


@pytest.mark.parametrize("cell", CELLS)
def test_the_svg_names_every_op_as_often_as_the_cell(cell: CellGenotype) -> None:
    ops = Counter(edge.op for edges in cell.nodes for edge in edges)
    assert labels_in(nasir.draw(cell).svg) == ops


def test_the_svg_carries_any_op_name() -> None:
    cell = CellGenotype("normal", 1, ((Edge('a<b>&"\x00\u2028', 0),),), (1,))
    assert labels_in(nasir.draw(cell).svg) == Counter(['a<b>&"\\x00\\u2028'])


def test_a_double_edge_has_two_curves() -> None:
    assert len(set(layout(cell_diagram(TWICE)).paths)) == 2


def points_of(path: tuple[Point, ...]) -> Iterator[Point]:
    """Points along a path, curves included."""
    yield path[0]
    for start, *controls in curves_of(path):
        for share in (step / 16 for step in range(1, 17)):
            yield bezier(start, controls, share)


def curves_of(path: tuple[Point, ...]) -> Iterator[list[Point]]:
    at = path[0]
    for letter, points in outline(path)[1:]:
        yield [at, *(points if letter == "C" else (at, points[0], points[0]))]
        at = points[-1]


def bezier(start: Point, controls: list[Point], share: float) -> Point:
    weights = [math.comb(3, k) * share**k * (1 - share) ** (3 - k) for k in range(4)]
    x, y = (sum(map(mul, weights, each)) for each in zip(start, *controls, strict=True))
    return x, y


def apart(one: Rectangle, other: Rectangle) -> bool:
    sides = one.x >= other.right or other.x >= one.right
    return sides or one.y >= other.y + other.height or other.y >= one.y + one.height


def check_places(laid: Drawing) -> None:
    """Labels and boxes overlap nothing, nor does a foreign edge run through them."""
    labels = [label for label in laid.labels if label]
    for one, other in itertools.combinations([*laid.boxes, *labels], 2):
        assert apart(one, other)
    for place in [*laid.boxes, *labels]:
        assert 0 < place.x <= place.right < laid.width
        assert 0 < place.y <= place.y + place.height < laid.height
    for index, path in enumerate(laid.paths):
        foreign = [each for other, each in enumerate(laid.labels) if each and other != index]
        for x, y in points_of(path):
            assert not any(
                each.x + 0.01 < x < each.right - 0.01 and each.y < y < each.y + each.height
                for each in (*laid.boxes, *foreign)
            )
        own = laid.labels[index]
        assert own is None or (own.x, pytest.approx(own.middle[1])) in path


@given(seed=integers(0, 2**32 - 1))
def test_no_label_touches_a_box_a_label_or_a_foreign_edge(seed: int) -> None:
    check_places(layout(cell_diagram(random_cell(seed))))


def test_labels_of_every_shipped_genotype_are_free() -> None:
    cells = {cell for entry in entries() for cell in load_entry(entry).cells}
    for cell in cells:
        check_places(layout(cell_diagram(cell)))


@pytest.mark.parametrize("name", catalog())
def test_a_shipped_space_has_a_picture_and_short_texts(name: str) -> None:
    space = nasir.load_space(name)
    for cell in space.cells:
        check_places(layout(cell_diagram(cell)))
    genotype = nasir.sample(space, 0)
    graph = nasir.network(genotype)
    assert genotype._repr_svg_() == nasir.draw(genotype).svg
    assert "</svg>" in nasir.draw(graph).svg
    for each in (space, graph, nasir.cost(graph)):
        assert len(repr(each)) <= 300
        assert "\n" not in repr(each)
        assert len(each._repr_html_()) < 4000


@pytest.mark.parametrize("format_name", ["svg", "png", "pdf", "dot"])
def test_every_cell_is_written_and_always_the_same(format_name: str, tmp_path: Path) -> None:
    save_genotype = tmp_path / "g.json"
    genotype = Genotype("darts", (SMALL, DARTS_V2), name="two cells/1")
    save_genotype.write_text(nasir.dump_genotype(genotype))
    names = ["two_cells_1-normal", "two_cells_1-reduce"]
    for folder in ("a", "b"):
        done = call("draw", save_genotype, "-o", tmp_path / folder, "--format", format_name)
        assert [Path(line).name for line in done.out.split()] == [
            f"{name}.{format_name}" for name in names
        ]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_graphviz_reads_a_picture_of_any_names() -> None:
    cell = CellGenotype("a<b>&", 1, ((Edge('"x" -> <y>;', 0),),), (0, 1))
    text = nasir.draw(Genotype("darts", (cell,), name="}")).dot
    assert text.count("->") == 3  # the edge, and two to the output
    assert "&lt;y&gt;" in text
    if shutil.which("dot"):
        subprocess.run(["dot", "-Tsvg"], input=text, text=True, check=True, capture_output=True)


def test_a_picture_is_saved_as_svg_alone(tmp_path: Path) -> None:
    picture = nasir.draw(GENOTYPE)
    assert picture.save(tmp_path / "cell.svg").read_text(encoding="utf-8") == picture.svg
    with pytest.raises(NasirError, match="E505"):
        picture.save(tmp_path / "cell.png")


def test_an_unknown_format_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    done = call("draw", "darts_v2", "-o", tmp_path, "--format", "sgv")
    assert "did you mean 'svg'?" in done.err
    assert not list(tmp_path.iterdir())

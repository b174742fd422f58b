"""Pictures of cells: what they show, that nothing in them overlaps, and how they are written."""

import itertools
import sys
from collections import Counter
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis.strategies import integers

from nasir import CellGenotype, Edge, Genotype, NasirError
from nasir.draw import dot_text, draw, svg_text
from nasir.draw.layout import layout
from nasir.draw.picture import picture

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
    root = ET.fromstring(svg)
    texts = [element for element in root.iter(f"{SVG}text") if element.get("class") == "label"]
    return Counter(element.text or "" for element in texts)


def test_a_small_cell_as_dot() -> None:
    assert (
        dot_text(SMALL, "small")
        == """\
digraph cell {
  graph [rankdir=LR, ranksep=0.3, nodesep=0.15, fontname="Helvetica"];
  node [shape=box, style="rounded,filled", height=0.4, fontname="Helvetica"];
  edge [fontname="Courier", fontsize=11];
  label="small"; labelloc=t;
  s0 [label="c_{k-2}", fillcolor="darkseagreen2"];
  s1 [label="c_{k-1}", fillcolor="darkseagreen2"];
  s2 [label="0", fillcolor="lightblue"];
  s3 [label="1", fillcolor="lightblue"];
  s4 [label="c_{k}", fillcolor="palegoldenrod"];
  s0 -> s2 [label="sep_conv_3x3"];
  s1 -> s2 [label="skip_connect"];
  s2 -> s3 [label="max_pool_3x3"];
  s2 -> s4;
  s3 -> s4;
}
"""
    )


def test_a_recurrent_cell_begins_with_the_input_and_the_hidden_state() -> None:
    labels = [box.label for box in picture(RECURRENT).boxes]
    assert labels == ["x_{t}", "h_{t-1}", "0", "1", "2", "h_{t}"]


def test_an_input_that_is_the_only_output_gets_an_arrow_to_the_output() -> None:
    shown = picture(CellGenotype("normal", 1, ((Edge("skip_connect", 0),),), (0,)))
    assert [box.label for box in shown.boxes] == ["c_{k-1}", "0", "c_{k}"]
    assert shown.arrows[-1].tail == 0
    assert shown.arrows[-1].head == 2


@pytest.mark.parametrize("cell", CELLS)
def test_the_svg_names_every_op_as_often_as_the_cell(cell: CellGenotype) -> None:
    ops = Counter(edge.op for edges in cell.nodes for edge in edges)
    assert labels_in(svg_text(cell, "title")) == ops


@given(seed=integers(0, 2**32 - 1))
def test_no_label_overlaps_a_box_or_another_label(seed: int) -> None:
    laid = layout(picture(random_cell(seed), "title"))
    places = [*laid.boxes, *(label for label in laid.labels if label is not None)]
    for one, other in itertools.combinations(places, 2):
        assert (
            abs(one.x - other.x) * 2 >= one.width + other.width
            or abs(one.y - other.y) * 2 >= one.height + other.height
        )


@given(seed=integers(0, 2**32 - 1))
def test_everything_lies_within_the_picture(seed: int) -> None:
    laid = layout(picture(random_cell(seed), "title"))
    for place in [*laid.boxes, *(label for label in laid.labels if label is not None)]:
        assert place.left > 0
        assert place.top > 0
        assert place.right < laid.width
        assert place.y + place.height / 2 < laid.height
    for path in laid.paths:
        assert all(0 < point.x < laid.width and 0 < point.y < laid.height for point in path)


@given(seed=integers(0, 2**32 - 1))
def test_an_arrow_runs_forward_and_through_no_box_or_foreign_label(seed: int) -> None:
    laid = layout(picture(random_cell(seed)))
    for index, path in enumerate(laid.paths):
        assert all(start.x <= end.x for start, end in itertools.pairwise(path))
        foreign = [label for other, label in enumerate(laid.labels) if label and other != index]
        for start, end in zip(path[::2], path[1::2], strict=True):
            for place in [*laid.boxes, *foreign]:
                if start.x < place.right and end.x > place.left:
                    assert min(start.y, end.y) > place.y or max(start.y, end.y) < place.y
                    assert abs(start.y - place.y) > place.height / 2
                    assert abs(end.y - place.y) > place.height / 2


def test_without_graphviz_every_cell_is_written_as_svg_and_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    genotype = Genotype("darts", (SMALL, DARTS_V2), name="two cells/1")
    written = draw(genotype, tmp_path / "new", ("svg", "dot"))
    assert [path.name for path in written] == [
        "two_cells_1-normal.svg",
        "two_cells_1-normal.dot",
        "two_cells_1-reduce.svg",
        "two_cells_1-reduce.dot",
    ]
    assert sorted((tmp_path / "new").iterdir()) == sorted(written)
    assert written[0].read_text(encoding="utf-8") == svg_text(SMALL, "two cells/1, normal")
    assert written[1].read_text(encoding="utf-8") == dot_text(SMALL, "two cells/1, normal")


@pytest.mark.parametrize("format_name", ["png", "pdf"])
def test_a_missing_graphviz_is_an_error_and_nothing_is_written(
    format_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(NasirError, match="Graphviz") as caught:
        draw(GENOTYPE, tmp_path / "out", ("svg", format_name))
    assert caught.value.code == "E501"
    assert "SVG" in caught.value.hint
    assert not (tmp_path / "out").exists()


def fake_dot(folder: Path, body: str) -> None:
    """A program `dot` in the folder that runs a line of Python."""
    program = folder / "dot"
    program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n", encoding="utf-8")
    program.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="a script with #! is no program on Windows")
@pytest.mark.parametrize("format_name", ["svg", "pdf"])
def test_graphviz_where_it_is_there_gets_the_dot_text_and_its_picture_is_written(
    format_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_dot(tmp_path, "print(sys.argv[-1], sys.stdin.read(), end='')")
    monkeypatch.setenv("PATH", str(tmp_path))
    (path,) = draw(GENOTYPE, tmp_path / "out", (format_name,))
    assert path.name == f"small-normal.{format_name}"
    text = dot_text(SMALL, "small, normal")
    assert path.read_text(encoding="utf-8") == f"-T{format_name} {text}"


@pytest.mark.skipif(sys.platform == "win32", reason="a script with #! is no program on Windows")
def test_a_graphviz_that_fails_is_an_error_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_dot(tmp_path, "sys.exit('no plugin for png')")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NasirError, match="no plugin for png") as caught:
        draw(GENOTYPE, tmp_path / "out", ("png",))
    assert caught.value.code == "E501"
    assert not (tmp_path / "out").exists()


def test_a_target_that_cannot_be_written_is_an_error_with_nothing_left_behind(
    tmp_path: Path,
) -> None:
    (tmp_path / "small-normal.svg").mkdir()
    with pytest.raises(NasirError) as caught:
        draw(GENOTYPE, tmp_path)
    assert caught.value.code == "E112"
    assert [path.name for path in tmp_path.iterdir()] == ["small-normal.svg"]

"""Networks: the published skeletons, and what they refuse."""

from typing import Any

import pytest

from nasir import (
    CellGenotype,
    Edge,
    Genotype,
    Graph,
    ImageType,
    VectorType,
    cost,
    load_space,
    network,
    sample,
    supernet,
)
from nasir.passes import expand
from nasir.space import catalog
from nasir.space.skeletons import SKELETONS
from tests.refusals import error_of

ALL_SKIP = "|{0}~0|+|{0}~0|{0}~1|+|{0}~0|{0}~1|{0}~2|".format("skip_connect")


def test_the_cifar_network_has_the_published_widths_and_sizes() -> None:
    graph = network("darts_v2")
    assert graph.inputs == (("image", ImageType(3, 32, 32)),)
    assert graph.types["stem"] == ImageType(108, 32, 32)
    assert [graph.types[f"c{i:02d}/out"] for i in range(20)] == (
        [ImageType(144, 32, 32)] * 6 + [ImageType(288, 16, 16)] * 7 + [ImageType(576, 8, 8)] * 7
    )
    assert graph.types[graph.outputs[0]] == VectorType(10)


@pytest.mark.parametrize(
    ("layers", "reductions"),
    [
        (1, [0]),
        (2, [0, 1]),
        (3, [1, 2]),
        (6, [2, 4]),
        (8, [2, 5]),
        (14, [4, 9]),
        (20, [6, 13]),
        (21, [7, 14]),
    ],
)
def test_the_reductions_stand_at_a_third_and_at_two(layers: int, reductions: list[int]) -> None:
    graph = network("darts_v2", channels=4, layers=layers)
    found = [int(cell.name[1:]) for cell in graph.cells if cell.kind == "reduce"]
    assert found == reductions
    assert len(graph.cells) == layers


def test_a_cell_reads_the_two_cells_before_it() -> None:
    graph = network("darts_v2", channels=4, layers=5)
    assert graph["c00/pre0"].inputs == graph["c00/pre1"].inputs == ("stem",)
    assert graph["c01/pre0"].inputs == ("stem",)
    assert graph["c01/pre1"].inputs == ("c00/out",)
    assert graph["c04/pre0"].inputs == ("c02/out",)
    assert graph["c04/pre1"].inputs == ("c03/out",)


@pytest.mark.parametrize(("layers", "tapped"), [(20, "c13/out"), (8, "c05/out"), (14, "c09/out")])
def test_the_auxiliary_head_reads_the_second_reduction(layers: int, tapped: str) -> None:
    graph = network("darts_v2", channels=4, layers=layers, auxiliary=True)
    assert graph["aux"].inputs == (tapped,)
    assert graph.auxiliary == ("aux",)
    assert graph.types[tapped] == ImageType(64, 8, 8)


def test_the_imagenet_stem_has_the_widths_of_the_evaluation_network() -> None:
    graph = network("darts_v2", "imagenet")
    assert graph.types["stem0a"] == ImageType(24, 112, 112)
    assert graph.types["stem0b"] == ImageType(48, 56, 56)
    assert graph.types["stem1"] == ImageType(48, 28, 28)
    assert _part(graph, "stem0a") == ["conv2d", "batch_norm"]
    assert _part(graph, "stem0b") == _part(graph, "stem1") == ["relu", "conv2d", "batch_norm"]


def test_nasbench201_has_three_stages_of_equal_cells() -> None:
    graph = network("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|")
    assert [graph.types[f"c{i:02d}/n3"].shape for i in range(15)] == (
        [(16, 32, 32)] * 5 + [(32, 16, 16)] * 5 + [(64, 8, 8)] * 5
    )
    assert {cell.kind for cell in graph.cells} == {"cell"}
    assert [node.name for node in graph if node.op.name == "residual_reduce"] == [
        "reduce1",
        "reduce2",
    ]


def test_a_network_says_where_it_comes_from() -> None:
    about = network("darts_v2", channels=8, layers=5, classes=7, resolution=16).about
    facts = {key: about[key] for key in ("space", "skeleton", "channels", "layers", "classes")}
    assert facts == {
        "space": "darts",
        "skeleton": "cifar",
        "channels": "8",
        "layers": "5",
        "classes": "7",
    }
    assert about["resolution"] == "16"


def test_two_equal_edges_of_one_node_have_weights_of_their_own() -> None:
    twice = (Edge("sep_conv_3x3", 0), Edge("sep_conv_3x3", 0))
    cells = tuple(CellGenotype(kind, 2, (twice,), (2,)) for kind in ("normal", "reduce"))
    graph = network(Genotype("darts", cells), channels=4, layers=3)
    assert graph["c00/n2"].inputs == ("c00/n2.e0/sep_conv_3x3", "c00/n2.e0/sep_conv_3x3#2")
    keys = [ref.key for ref in expand(graph).params]
    assert "c00/n2.e0/sep_conv_3x3#2/dw1.weight" in keys


def test_a_cell_that_leaves_one_node_needs_no_concatenation() -> None:
    one = ((Edge("sep_conv_3x3", 0), Edge("none", 1)),)
    cells = tuple(CellGenotype(kind, 2, one, (2,)) for kind in ("normal", "reduce"))
    graph = network(Genotype("darts", cells), channels=4, layers=3)
    assert graph["c01/pre1"].inputs == ("c00/n2",)


BAD: dict[str, tuple[dict[str, Any], ...]] = {
    "E302": (
        *({"layers": 0}, {"layers": -3}, {"layers": 10**9}, {"classes": 0}, {"resolution": 0}),
        *({"channels": 0}, {"channels": 1 << 20}, {"skeleton": "imagenet", "channels": 47}),
        {"skeleton": "imagenet", "resolution": 256},
        {"auxiliary": True, "resolution": 64},
    ),
    "E202": ({"skeleton": "nasbench201"}, {"genotype": ALL_SKIP, "skeleton": "cifar"}),
    "E505": ({"genotype": ALL_SKIP, "auxiliary": True},),
}


@pytest.mark.parametrize(
    ("code", "given"), [(code, given) for code, calls in BAD.items() for given in calls]
)
def test_what_a_skeleton_cannot_take_is_an_error_with_a_hint(
    code: str, given: dict[str, Any]
) -> None:
    call: dict[str, Any] = {"genotype": "darts_v2"} | given
    error = error_of(lambda: network(**call))
    assert error.code == code
    assert error.hint


def test_a_type_that_clashes_names_the_node_of_the_network() -> None:
    error = error_of(lambda: network("darts_v2", "imagenet", resolution=256))
    assert str(error.where) == "node head"


def test_a_cell_of_other_inputs_than_the_skeleton_gives_is_anerror_of() -> None:
    cell = ((Edge("none", 0),),)
    cells = tuple(CellGenotype(kind, 1, cell, (1,)) for kind in ("normal", "reduce"))
    error = error_of(lambda: network(Genotype("darts", cells)))
    assert error.code == "E202"
    assert error.message == (
        "the skeleton 'cifar' does not take cell 'normal': it has 1 inputs, not 2"
    )


@pytest.mark.parametrize("op", ["sep_conv_3x4", "conv2d"])
def test_an_op_that_no_edge_can_have_is_anerror_of(op: str) -> None:
    cells = tuple(CellGenotype(kind, 2, ((Edge(op, 0),),), (2,)) for kind in ("normal", "reduce"))
    error = error_of(lambda: network(Genotype("darts", cells)))
    assert (error.code, error.message) == ("E201", f"unknown op '{op}'")


def _part(graph: Graph, name: str) -> list[str]:
    """The primitives of one macro."""
    return [node.op.name for node in expand(graph) if node.name.startswith(f"{name}/")]


@pytest.mark.parametrize(
    "skeleton", [s for s, row in SKELETONS.items() if "in_channels" in row.sizes]
)
@pytest.mark.parametrize("channels", [1, 4])
def test_a_network_reads_images_of_any_number_of_channels(skeleton: str, channels: int) -> None:
    space = {row.skeleton: row for row in catalog().values()}.get(skeleton, load_space("darts"))
    genotype = sample(space, 0)
    graph = network(genotype, skeleton, in_channels=channels)
    assert graph.types["image"].shape == (
        channels,
        *network(genotype, skeleton).types["image"].shape[1:],
    )
    assert graph.about["in_channels"] == str(channels)
    lost = cost(network(genotype, skeleton)).params - cost(graph).params
    stem = graph[next(node.name for node in graph if "image" in node.inputs)]
    assert lost == (3 - channels) * 9 * graph.types[stem.name].shape[0]
    if skeleton == space.skeleton != "nasbench101":
        assert supernet(space, in_channels=channels).types["image"].shape[0] == channels

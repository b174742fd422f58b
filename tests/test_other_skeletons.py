"""nnabla's network, DrNAS's pools, the ImageNet search network, and five-node cells."""

import pytest
import torch

import lowering
import nasir
from nasir import Builder, ImageType, NasirError, cost, load_genotype, load_space, network
from nasir.passes import expand
from tests.command_line import ROOT

NNABLA = str(ROOT / "spaces" / "examples" / "DARTS_arch.json")


def pool_edges(name: str) -> int:
    """Batch-norm weights behind pools: 2C for each pool edge of each cell (C=36, 20 cells)."""
    genotype = load_genotype(name)
    count = 0
    for kind, cells in (("normal", {36: 6, 72: 6, 144: 6}), ("reduce", {72: 1, 144: 1})):
        pools = sum("pool" in e.op for edges in genotype.cell(kind).nodes for e in edges)
        count += pools * sum(2 * c * n for c, n in cells.items())
    return count


@pytest.mark.parametrize("name", ["darts_v1", "darts_v2", "pc_darts_cifar"])
def test_the_nnabla_network_differs_from_cifar_where_the_originals_do(name: str) -> None:
    ours = cost(network(name, auxiliary=True))
    theirs = cost(network(name, auxiliary=True, space="nnabla"))
    # The stem has 36 channels, not 108, and so have three inputs of the first two cells.
    stem = 72 * 27 + 2 * 72 + 3 * 72 * 36
    assert theirs.params == ours.params - stem + pool_edges(name)
    assert ours.auxiliary is not None
    assert theirs.auxiliary is not None
    assert theirs.auxiliary.params == ours.auxiliary.params - 10


def test_the_nnabla_network_has_a_stem_of_its_own_width_and_padded_reductions() -> None:
    graph = network(NNABLA, space="nnabla", auxiliary=True)
    assert graph.types["stem"] == ImageType(36, 32, 32)
    assert graph["c07/pre0"].op.name == "padded_factorized_reduce"
    assert dict(graph["aux"].attrs)["bias"] is False
    assert graph.about["skeleton"] == "nnabla"


def test_an_nnabla_file_is_of_the_darts_space_unless_told_otherwise() -> None:
    genotype = load_genotype(NNABLA)
    assert genotype.space == "darts"
    assert network(genotype).about["skeleton"] == "cifar"
    assert network(genotype, "cifar") == network(genotype)
    assert nasir.dump_genotype(load_genotype(NNABLA, "nnabla"), "nnabla") == nasir.dump_genotype(
        genotype, "nnabla"
    )


def test_the_pools_of_nnabla_count_the_margin_and_are_normalised() -> None:
    build = Builder(x=ImageType(4, 8, 8)).know(load_space("nnabla").ops)
    graph = expand(build.graph(build("avg_pool_3x3", "x", name="m")))
    assert [node.op.name for node in graph] == ["avg_pool", "batch_norm"]
    assert dict(graph["m/pool"].attrs)["count_padding"] is True
    assert dict(graph["m/bn"].attrs)["affine"] is True


def test_drnas_normalises_pools_without_weights_when_evaluated_too() -> None:
    plain, drnas = network("darts_v1"), network("darts_v1", space="drnas")
    assert cost(plain).params == cost(drnas).params
    pools = [node for node in plain if "pool" in node.op.name]
    assert pools
    spelled = expand(drnas)
    for node in pools:
        norm = spelled[f"{node.name}/bn"]
        assert dict(norm.attrs)["affine"] is False
        assert norm.inputs == (f"{node.name}/pool",)


def test_a_padded_reduce_computes_what_the_unpadded_one_does_for_even_sizes() -> None:
    image = ImageType(4, 8, 6)
    modules = []
    for op in ("factorized_reduce", "padded_factorized_reduce"):
        build = Builder(image=image)
        graph = build.graph(build(op, "image", name="m", out=6))
        modules.append(lowering.to_torch(graph, seed=1).double().eval())
    x = torch.randn(2, *image.shape, dtype=torch.float64)
    assert torch.equal(modules[0](x), modules[1](x))


def test_a_padded_reduce_takes_odd_sizes_and_odd_channels() -> None:
    build = Builder(x=ImageType(4, 7, 5))
    assert build.type(build("padded_factorized_reduce", "x", out=5)) == ImageType(5, 4, 3)


def test_the_imagenet_search_stem_has_the_published_widths_and_sizes() -> None:
    graph = network("darts_v2", "imagenet_search")
    spelled = expand(graph)
    assert spelled.types["stem0a/bn"] == ImageType(24, 112, 112)
    assert spelled.types["stem0b/bn"] == ImageType(48, 56, 56)
    assert spelled.types["stem1/bn"] == ImageType(48, 28, 28)
    assert graph["c00/pre0"].op.name == "factorized_reduce"
    assert graph.types["c07/out"] == ImageType(256, 7, 7)
    assert spelled["head/pool"].op.name == "global_pool"


def test_the_imagenet_search_network_has_no_auxiliary_head() -> None:
    with pytest.raises(NasirError) as caught:
        network("darts_v2", "imagenet_search", auxiliary=True)
    assert caught.value.code == "E505"


@pytest.mark.parametrize("name", ["NASNet", "AmoebaNet", "PNASNet"])
def test_published_five_node_genotypes_are_members_of_the_nasnet_space(name: str) -> None:
    genotype = load_genotype(name, "nasnet")
    assert load_space("nasnet").contains(genotype) == ()
    plain = network(name)
    assert network(genotype).nodes == plain.nodes


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("('sep_conv_5x5', 1)", "('noise', 1)", "cannot apply 'noise' to node 1"),
        ("normal_concat=[2, 3", "normal_concat=[1, 3", "names [1], which cannot leave it"),
    ],
)
def test_the_nasnet_space_says_why_a_genotype_is_not_in_it(old: str, new: str, reason: str) -> None:
    text = nasir.dump_genotype(load_genotype("NASNet"), "darts")
    if old not in text:
        text = text.replace("normal_concat=range(2, 7)", "normal_concat=[2, 3, 4, 5, 6]")
    assert old in text
    genotype = load_genotype(text.replace(old, new, 1), "nasnet")
    assert any(reason in each for each in load_space("nasnet").contains(genotype))


@pytest.mark.parametrize("space", ["nnabla", "drnas", "nasnet"])
def test_a_network_of_a_shipped_space_runs_in_torch(space: str) -> None:
    name = "NASNet" if space == "nasnet" else "darts_v1"
    graph = network(name, space=space, channels=4, layers=4, resolution=16)
    assert nasir.parse_graph(nasir.print_graph(graph)) == graph
    module = lowering.to_torch(graph).eval()
    assert module(torch.randn(2, 3, 16, 16)).shape == (2, 10)

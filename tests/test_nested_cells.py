"""Cells that are options of other cells, from the file of a space to files of networks."""

import json
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch

import lowering
import nasir
from nasir.space import adopt
from tests.refusals import fails_with

TEXT = """
nasir: 1
space: blocks
skeleton: cifar
layout: {pattern: [normal], places: {reduce: [1/2]}, halves: [reduce]}
cells:
  unit:
    {inputs: 1, nodes: 1, ops: [skip_connect, nor_conv_1x1, avg_pool_3x3], output: [1]}
  block:
    {inputs: 1, nodes: 2, ops: [skip_connect, sep_conv_3x3, unit], output: [1, 2], join: sum}
  normal:
    {inputs: 2, nodes: 2, ops: [none, skip_connect, block], exclude: [none], keep: 2,
     output: [2, 3]}
  reduce: {like: normal}
"""
SPACE = nasir.load_space(TEXT)


def test_the_size_is_the_product_over_the_kinds_of_cell() -> None:
    assert nasir.size(SPACE) == 3 * 27 * 48 * 48
    assert SPACE.inner == ("unit", "block")


@pytest.mark.parametrize("seed", range(6))
def test_numbers_neighbours_and_texts_of_genotypes(seed: int) -> None:
    genotype = nasir.sample(SPACE, seed)
    assert nasir.unrank(SPACE, nasir.rank(SPACE, genotype)) == genotype
    assert nasir.load_genotype(nasir.dump_genotype(genotype, "nasir"), SPACE) == genotype
    near = list(nasir.neighbours(SPACE, genotype))
    assert len(set(near)) == len(near)
    assert not any(SPACE.contains(other) for other in near)
    assert {cell.kind for other in near for cell in other.cells if cell not in genotype.cells} == {
        *SPACE.kinds
    }


def test_decisions_of_a_cell_that_nothing_selects_do_not_matter_to_the_id() -> None:
    plain = nasir.derive(SPACE, weights_of("skip_connect"))
    other = replace(plain, cells=(*nasir.sample(SPACE, 1).cells[:2], *plain.cells[2:]))
    assert other != plain
    assert nasir.canonical_id(other) == nasir.canonical_id(plain)
    assert nasir.correspondence(plain, other)
    inside = nasir.derive(SPACE, weights_of("block", "unit"))
    for text in (TEXT, TEXT.replace("exclude", "combine: concat, exclude")):
        all_ = (adopt(replace(inside, cells=(each, *inside.cells[1:])), text) for each in units())
        assert len(set(map(nasir.canonical_id, all_))) == 3


@pytest.mark.parametrize("ops", [("block", "unit"), ("block", "sep_conv_3x3"), ("skip_connect",)])
def test_a_derived_network_computes_what_the_supernet_does_in_every_form(
    ops: tuple[str, ...], tmp_path: Path
) -> None:
    supernet = supernet_of()
    genotype = nasir.derive(SPACE, weights_of(*ops))
    graph = network(genotype)
    assert nasir.parse_graph(nasir.print_graph(graph)) == graph
    assert nasir.parse_graph(nasir.print_graph(supernet)) == supernet
    whole = lowering.to_torch(supernet)
    module = lowering.to_torch(graph).eval()
    state = whole.state_dict()
    module.load_state_dict(
        state | {k: v for k, v in module.state_dict().items() if k not in state}, strict=False
    )
    image = torch.randn(2, 3, 8, 8)
    one_hot = {
        name: torch.eye(len(choice.options))[list(nasir.picks(supernet, genotype)[name])].sum(0)
        for name, choice in ((choice.name, choice) for choice in supernet.choices)
    }
    expected = whole.eval()(image, one_hot)
    assert (module(image) - expected).abs().max() < 1e-5

    lowering.to_onnx(graph, module, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    assert (torch.as_tensor(found) - expected).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[skip_connect, nor_conv", "[block, nor_conv", "describe it before 'unit'"),
        ("{inputs: 1, nodes: 1", "{inputs: 2, nodes: 1", "it has 2 inputs"),
        (", join: sum", "", "join by sum or mean"),
    ],
)
def test_a_cell_that_cannot_be_an_option_is_e109(old: str, new: str, reason: str) -> None:
    with fails_with("E109", reason):
        nasir.load_space(TEXT.replace(old, new, 1))


def test_a_genotype_whose_cells_are_options_of_each_other_is_an_error() -> None:
    genotype = nasir.sample(SPACE, 0)
    text = nasir.dump_genotype(genotype, "nasir")
    data = json.loads(text)
    data["genotype"]["cells"]["unit"]["nodes"][0][0][0] = "block"
    with fails_with("E201"):
        network(nasir.load_genotype(json.dumps(data), SPACE))


def supernet_of() -> nasir.Graph:
    return nasir.supernet(SPACE, channels=4, layers=4, resolution=8)


def network(genotype: nasir.Genotype) -> nasir.Graph:
    return nasir.network(genotype, channels=4, layers=4, resolution=8)


def weights_of(*ops: str) -> dict[str, list[float]]:
    """Weights that select one of the ops wherever it can be."""
    return {c.name: [1.0 + (o in ops) for o in c.options] for c in supernet_of().choices}


def units() -> list[nasir.CellGenotype]:
    return [nasir.unrank(SPACE, number * 27 * 48 * 48).cells[0] for number in range(3)]

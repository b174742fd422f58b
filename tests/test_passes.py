"""Passes on small graphs: text in, text out."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import lowering
from lowering.torch.program import Mode, make_program
from lowering.torch.sampled import SampledGraph
from nasir import PASSES, network, parse_graph, print_graph, run_passes
from nasir.passes import DISCRETE

HEAD = "nasir graph 1\n"
DATA = Path(__file__).parent / "data" / "passes"


def golden(name: str) -> list[str]:
    """The texts before and after a pass."""
    parts = re.split(rf"^{HEAD}", (DATA / f"{name}.txt").read_text(), flags=re.MULTILINE)
    return [HEAD + part.rstrip() + "\n" for part in parts[1:]]


def test_every_pass_has_a_golden_text() -> None:
    assert {path.stem for path in DATA.iterdir()} == {*PASSES, "factorized-reduce"}


@pytest.mark.parametrize("name", [*PASSES, "factorized-reduce"])
def test_a_pass_turns_the_first_text_into_the_second(name: str) -> None:
    before, after = golden(name)
    row = PASSES["horizontal" if name == "factorized-reduce" else name]
    assert print_graph(row.run(parse_graph(before))) == after
    assert print_graph(parse_graph(after)) == after


@pytest.mark.parametrize("name", ["canonicalise", "dead-code", "cse", "fold-batch-norm"])
def test_a_pass_with_nothing_to_do_returns_the_very_graph(name: str) -> None:
    graph = parse_graph(f"{HEAD}input x: image[4,8,8]\na = relu(x): image[4,8,8]\noutput a\n")
    assert PASSES[name].run(graph) is graph


def test_a_convolution_that_is_an_output_is_not_folded() -> None:
    graph = parse_graph(golden("fold-batch-norm")[0] + "output c1\n")
    assert PASSES["fold-batch-norm"].run(graph) is graph


def test_two_batch_norms_on_one_convolution_are_not_folded() -> None:
    text = golden("fold-batch-norm")[0].replace(
        "output b3", "again = batch_norm(c1): image[2,8,8]\noutput again"
    )
    graph = parse_graph(text)
    assert PASSES["fold-batch-norm"].run(graph) is graph


def test_what_each_pass_did_is_recorded() -> None:
    graph = network("darts_v2", channels=4, layers=3)
    after, records = run_passes(graph, DISCRETE)
    assert [record.name for record in records] == [row.name for row in DISCRETE]
    assert records[0].before == len(graph)
    assert records[-1].after == len(after)
    assert all(a.after == b.before for a, b in pairwise(records))
    assert [record.changed for record in records[:2]] == [False, True]
    assert all(record.seconds >= 0 for record in records)


def test_sums_in_a_row_are_the_same_node_by_node() -> None:
    graph = parse_graph(golden("lean-sums")[0])
    module = lowering.to_torch(graph, optimise=False).double()
    weights = module.state_dict()
    source = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(size, dtype=torch.float64, generator=source, requires_grad=True)
        for size in ((2, 4, 8, 8), (4,), (2,), (2,))
    ]
    each = SampledGraph(graph, graph.outputs, {}, training=True)(weights.__getitem__, inputs)
    whole = make_program(graph, graph.outputs, Mode(training=True)).function()(module, *inputs)
    assert torch.allclose(each, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["early-strides", "depthwise-convs"])
def test_convolutions_in_another_form_are_equal_up_to_rounding(name: str) -> None:
    found: list[torch.Tensor] = []
    for text in golden(name):
        module = lowering.to_torch(parse_graph(text), optimise=False).double()
        x = torch.linspace(-1, 1, 2 * 4 * 8 * 8, dtype=torch.float64).view(2, 4, 8, 8).sin()
        x = x.requires_grad_()
        result = module(x)
        learned = [value for _, value in sorted(module.named_parameters())]
        gradients = torch.autograd.grad(result.square().sum(), [x, *learned])
        found.append(torch.cat([each.flatten() for each in (result, *gradients)]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-9)

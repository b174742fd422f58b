"""What a network is called with: checks, and draws that belong to nodes and calls."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import lowering
import nasir
from nasir import Builder, Graph, ImageType
from tests.refusals import fails_with
from tests.small_networks import NETWORKS, example, mixture, supernet

IMAGES = supernet()
WORDS = supernet("darts_rnn")


PIXELS = torch.zeros(2, 3, 8, 8)


def rows(**changed: Any) -> dict[str, Any]:
    """A mixture with some rows changed."""
    return {**mixture(IMAGES), **{name.replace("_", "/"): row for name, row in changed.items()}}


WRONG: list[tuple[Graph, Callable[[], tuple[Any, ...]], str, str]] = [
    (IMAGES, lambda: (torch.zeros(2, 3, 9, 8), mixture(IMAGES)), "E305", r"\(N, 3, 8, 8\).*9, 8"),
    (IMAGES, lambda: (torch.zeros(2, 1, 8, 8), mixture(IMAGES)), "E305", r"\(2, 1, 8, 8\)"),
    (IMAGES, lambda: (torch.zeros(3, 8, 8), mixture(IMAGES)), "E305", r"\(3, 8, 8\)"),
    (
        IMAGES,
        lambda: (PIXELS.byte(), mixture(IMAGES)),
        "E305",
        "uint8",
    ),
    (IMAGES, lambda: (PIXELS.numpy(), mixture(IMAGES)), "E305", "ndarray"),
    (IMAGES, lambda: (PIXELS,), "E401", "a mixture, not 1"),
    (IMAGES, lambda: (PIXELS, list(mixture(IMAGES).values())), "E305", "list"),
    (IMAGES, lambda: (PIXELS, {}), "E401", "has no choice 'normal/n2.e0'"),
    (
        IMAGES,
        lambda: (PIXELS, rows(**{"normal/n2.e0": torch.ones(3)})),
        "E503",
        "8",
    ),
    (IMAGES, lambda: (PIXELS, rows(**{"normal/n2.e0": [1] * 8})), "E503", "list"),
    (
        WORDS,
        lambda: (torch.zeros(4, 3), torch.zeros(3, 6), mixture(WORDS)),
        "E305",
        "whole numbers",
    ),
    (
        WORDS,
        lambda: (torch.zeros(4, 3).long(), torch.zeros(3, 5), mixture(WORDS)),
        "E305",
        "hidden",
    ),
]


@cache
def lowered(words: bool, optimise: bool) -> lowering.Network:
    return lowering.to_torch(WORDS if words else IMAGES, optimise=optimise)


@pytest.mark.parametrize(("graph", "inputs", "code", "text"), WRONG)
@pytest.mark.parametrize("optimise", [True, False])
def test_what_a_network_cannot_take_is_an_error_that_says_what_it_takes(
    graph: Graph, inputs: Callable[[], tuple[Any, ...]], code: str, text: str, optimise: bool
) -> None:
    with fails_with(code, text):
        lowered(graph is WORDS, optimise)(*inputs())


@pytest.mark.parametrize("optimise", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_of_one_leaves_a_batch_norm_more_than_one_value_or_is_an_error(
    optimise: bool, affine: bool
) -> None:
    build = Builder(x=ImageType(2, 2, 2))
    pooled = build("global_pool", "x", name="pool")
    graph = build.graph(build("batch_norm", pooled, name="norm", affine=affine))
    module = lowering.to_torch(graph, optimise=optimise)
    with fails_with("E302", "batch of one"):
        module(torch.zeros(1, 2, 2, 2))
    module(torch.zeros(2, 2, 2, 2))
    module.eval()(torch.zeros(1, 2, 2, 2))


def noisy() -> Graph:
    """A network with draws of every kind that images allow: noise, and dropped paths."""
    build = Builder(image=ImageType(3, 8, 8), drop_path=nasir.WeightsType(1))
    noise = build("gaussian", "image", name="noise")
    conv = build("conv2d", "image", name="conv", out=3, kernel=3)
    kept = build("drop_path", build("mul", noise, conv, name="mul"), "drop_path", name="path")
    return build.graph(build("flatten", kept, name="flat"))


def outcome(call: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """What a call returns, and what the generator gives after it."""
    torch.default_generator.manual_seed(3)
    return call(), torch.rand(2)


def test_compiled_and_exported_calls_and_those_with_other_weights_draw_the_same() -> None:
    module = lowering.to_torch(noisy())
    module.drop_path = 0.4
    image = example(IMAGES)[0].float()
    expected = outcome(lambda: module(image))
    compiler: Any = torch.compile
    compiled = compiler(module, fullgraph=True, backend="eager")
    weights = [weight.detach() for weight in module.parameters()]
    exported = torch.export.export(module, (image,), strict=False).module()
    for call in (compiled, lambda x: module.call_apart(weights, x), exported):
        for one, other in zip(outcome(lambda call=call: call(image)), expected, strict=True):
            torch.testing.assert_close(one, other)


def test_noise_is_the_same_in_a_folded_network_and_evaluation_draws_nothing_else() -> None:
    genotype = nasir.sample(nasir.load_space("s4"), 0)
    graph = nasir.drop_path(nasir.network(genotype, channels=2, layers=3, resolution=8))
    module = lowering.to_torch(graph).eval()
    image = example(graph)[0].float()
    expected = outcome(lambda: module(image))
    folded = lowering.to_inference(graph, module)
    for one, other in zip(outcome(lambda: folded(image)), expected, strict=True):
        torch.testing.assert_close(one, other)
    still = lowering.to_torch(nasir.drop_path(NETWORKS["darts_v2"]())).eval()
    before = torch.get_rng_state()
    still(image)
    assert torch.equal(torch.get_rng_state(), before)

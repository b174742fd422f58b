"""Zero-cost proxies against numbers worked out by hand, and the rules of scoring."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import nasir
from nasir import Builder, Extension, Graph, ImageType, NasirError
from runners.experiment.proxies import (
    PROXIES,
    Probe,
    expressivity,
    fisher,
    flops,
    grad_norm,
    grasp,
    jacob_cov,
    l2_norm,
    naswot,
    params,
    progressivity,
    ranked,
    score_of,
    snip,
    synflow,
    trainability,
    zen,
    zico,
)
from runners.task.task import Batch

Array = NDArray[np.float64]

FIRST, LAST, BIAS = [1.0, -2.0], [[1.0, -1.0], [2.0, 3.0]], [0.5, 0.25]
"""Weights of a convolution of one channel and one pixel, and of a linear map."""

IMAGES = [
    [1.0, 1.0, 1.0, 1.0],
    [1.0, 1.0, -1.0, -1.0],
    [2.0, -1.0, 0.5, -3.0],
    [-1.0, 2.0, 3.0, 1.0],
]
LABELS = [0, 1, 1, 0]
K = 1e-5


def two_layers(*, norm: bool = False) -> Graph:
    """Convolution, perhaps a batch norm, ReLU, mean over 2x2 pixels, linear map."""
    build = Builder(image=ImageType(1, 2, 2))
    value = build("conv2d", "image", name="conv", out=2, kernel=1)
    value = build("batch_norm", value, name="norm") if norm else value
    value = build("global_pool", build("relu", value, name="relu"), name="pool")
    return build.graph(build("linear", build("flatten", value, name="flat"), name="head", out=2))


def linear_alone() -> Graph:
    build = Builder(image=ImageType(2, 1, 1))
    return build.graph(build("linear", build("flatten", "image", name="flat"), name="head", out=2))


def probe(graph: Graph, images: Any = IMAGES, labels: Any = LABELS) -> Probe:
    """A probe in float64 with the weights above."""
    network = nasir.to_torch(graph, optimise=False).double()
    own = {"conv.weight": FIRST, "head.weight": LAST, "head.bias": BIAS}
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key in own:
                parameter.copy_(torch.tensor(own[key]).reshape(parameter.shape))
    shape = graph.types["image"].shape
    image = torch.tensor(images, dtype=torch.float64).reshape(-1, *shape)
    batch = Batch((image,), torch.tensor(labels), "train")
    return Probe(network.graph, lambda: network, batch)


def by_hand(images: Any = IMAGES, labels: Any = LABELS) -> dict[str, Array]:
    """What `two_layers` computes, and gradients of its cross-entropy, by the chain rule."""
    x, a, w = np.array(images), np.array(FIRST), np.array(LAST)
    before = a[:, None] * x[:, None, :]
    active = before > 0
    pooled = (before * active).mean(2)
    logits = pooled @ w.T + np.array(BIAS)
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    by_logits = (softmax - np.eye(2)[labels]) / len(x)
    by_pooled = by_logits @ w
    by_first = (by_pooled[:, :, None] * active / 4 * x[:, None, :]).sum((0, 2))
    return {
        "pooled": pooled,
        "logits": logits,
        "by_logits": by_logits,
        "by_pooled": by_pooled,
        "first": by_first,
        "last": by_logits.T @ pooled,
    }


@pytest.mark.parametrize("norm", [False, True])
def test_synflow_is_each_layers_share_of_the_flow_without_batch_norm(norm: bool) -> None:
    """R = 1 · (1 + 2) + 2 · (1 + 3) = 11; each layer sums to it. The bias adds nothing."""
    assert synflow(probe(two_layers(norm=norm))) == pytest.approx(22)


def test_naswot_counts_relus_that_agree() -> None:
    """The second image turns two of eight ReLUs off and two on: K = [[8, 4], [4, 8]]."""
    assert naswot(probe(two_layers(), IMAGES[:2], [0, 1])) == pytest.approx(math.log(48))
    assert naswot(probe(two_layers(), [IMAGES[0]] * 2, [0, 1])) == -math.inf
    assert math.isnan(naswot(probe(linear_alone(), [[1.0, 2.0]], [0])))


def test_gradients_of_weights_make_snip_and_grad_norm() -> None:
    found, hand = probe(two_layers()), by_hand()
    products = abs(np.array(FIRST) * hand["first"]).sum() + abs(np.array(LAST) * hand["last"]).sum()
    assert snip(found) == pytest.approx(products)
    norms = np.linalg.norm(hand["first"]) + np.linalg.norm(hand["last"])
    assert grad_norm(found) == pytest.approx(norms)


def test_l2_norm_leaves_biases_and_batch_norms_out() -> None:
    assert l2_norm(probe(two_layers(norm=True))) == pytest.approx(math.sqrt(5) + math.sqrt(15))


def test_grasp_multiplies_by_the_hessian() -> None:
    """Of a linear map, H g = mean of (diag(s) − s sᵀ) (g x) xᵀ, s the softmax."""
    images, labels = np.array([[1.0, 2.0], [-0.5, 1.5]]), [0, 1]
    w = np.array(LAST)
    logits = images @ w.T + np.array(BIAS)
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gradient = (softmax - np.eye(2)[labels]).T @ images / 2
    product = sum(
        np.outer((np.diag(s) - np.outer(s, s)) @ gradient @ x, x) / 2
        for s, x in zip(softmax, images, strict=True)
    )
    found = grasp(probe(linear_alone(), images.tolist(), labels))
    assert found == pytest.approx(-(w * product).sum())


def test_jacob_cov_is_of_the_correlations_of_images() -> None:
    """Rows (.75, .75, -1, -1) and (.75, -1, .75, -1) are uncorrelated, the first and its mirror
    opposite: eigenvalues 1, 1 and 0, 2.
    """
    apart = jacob_cov(probe(two_layers(), [[1, 1, -1, -1], [1, -1, 1, -1]], [0, 1]))
    assert apart == pytest.approx(-2 * (math.log(1 + K) + 1 / (1 + K)))
    opposite = jacob_cov(probe(two_layers(), [[1, 1, -1, -1], [-1, -1, 1, 1]], [0, 1]))
    expected = math.log(K) + 1 / K + math.log(2 + K) + 1 / (2 + K)
    assert opposite == pytest.approx(-expected)
    assert math.isnan(jacob_cov(probe(two_layers(), IMAGES[:2], [0, 1])))  # a constant row


def test_fisher_squares_outputs_times_their_gradients() -> None:
    hand = by_hand()
    first = (hand["by_pooled"] * hand["pooled"]) ** 2
    last = (hand["by_logits"] * hand["logits"]) ** 2
    expected = 0.5 * (first.mean(0).sum() + last.mean(0).sum())
    assert fisher(probe(two_layers())) == pytest.approx(expected)


def test_zico_compares_the_gradients_of_two_halves() -> None:
    halves = by_hand(IMAGES[:2], LABELS[:2]), by_hand(IMAGES[2:], LABELS[2:])
    expected = 0.0
    for layer in ("first", "last"):
        pair = np.stack([half[layer].flatten() for half in halves])
        expected += math.log((abs(pair).mean(0) / pair.std(0)).sum())
    assert zico(probe(two_layers())) == pytest.approx(expected)
    with pytest.raises(NasirError, match="halves the batch"):
        zico(probe(two_layers(), IMAGES[:1], [0]))


def test_zen_is_a_change_of_features_and_the_scales_of_batch_norms() -> None:
    found = probe(two_layers(norm=True))
    image = found.gaussian("zen", found.batch.inputs[0])
    moved = image + 0.01 * found.gaussian("zen moved", image)
    weight = found.drawn("zen", None)["conv.weight"].flatten().numpy()

    def features(x: Tensor) -> tuple[Array, Array]:
        values = weight[None, :, None, None] * x.numpy()
        variances = values.var((0, 2, 3))
        normed = values - values.mean((0, 2, 3), keepdims=True)
        return np.maximum(normed / np.sqrt(variances + 1e-5)[None, :, None, None], 0), variances

    (one, variances), (other, _) = features(image), features(moved)
    change = abs(one - other).sum((1, 2, 3)).mean()
    assert zen(found) == pytest.approx(math.log(change) + 0.5 * math.log(variances.mean()))


def test_params_and_flops_are_those_of_the_network() -> None:
    found = probe(two_layers())
    assert params(found) == 2 + 4 + 2
    assert flops(found) == 2 * 4 + 4


def with_features(*features: Tensor) -> Probe:
    found = probe(two_layers())
    found.__dict__["features"] = features
    return found


def test_entropies_of_principal_components_are_expressivity_and_progressivity() -> None:
    """Two uncorrelated channels of one variance: log 2; two equal ones: 0."""
    apart = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])[:, :, None, None]
    equal = apart[:, :1].expand(-1, 2, -1, -1)
    found = with_features(apart, equal, apart)
    assert expressivity(found) == pytest.approx(2 * math.log(2), abs=1e-5)
    assert progressivity(found) == pytest.approx(-math.log(2), abs=1e-5)
    assert math.isnan(expressivity(with_features(torch.zeros(4, 2, 1, 1), apart)))


def test_trainability_is_lost_where_gradients_grow() -> None:
    """Gradients twice as large: −2 − 1/2 + 2. Where the input is handed on: undefined."""
    first = torch.randn(4, 1, 2, 2, requires_grad=True)
    second = 2 * first
    halved = 0.25 * torch.nn.functional.avg_pool2d(second, 2)
    assert trainability(with_features(first, second)) == pytest.approx(-0.5)
    # The mean over 2x2 pixels gives each of four inputs 1/16 of a sign: σ = 4 ** 0.5 / 16.
    expected = (-0.5 - 0.125 - 8 + 2) / 2
    assert trainability(with_features(first, second, halved)) == pytest.approx(expected, abs=1e-3)
    assert math.isnan(trainability(with_features(first, first * 1)))


def test_features_are_between_cells_and_reductions() -> None:
    network = nasir.network(
        "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|",
        layers=1,
        channels=4,
        resolution=8,
    )
    batch = Batch((torch.randn(4, 3, 8, 8),), torch.zeros(4, dtype=torch.int64), "train")
    made = nasir.to_torch(network, optimise=False)
    found = Probe(made.graph, lambda: made, batch)
    shapes = [tuple(value.shape[1:]) for value in found.features]
    assert shapes == [(4, 8, 8)] * 2 + [(8, 4, 4)] * 2 + [(16, 2, 2)] * 2
    with pytest.raises(NasirError, match="fewer than two values between cells"):
        expressivity(probe(two_layers()))


def test_ranks_are_joined_as_logarithms_of_shares() -> None:
    found = ranked([[1.0, 2.0, 3.0], [5.0, -math.inf, 5.0]])
    expected = [math.log(1 / 3 * 2.5 / 3), math.log(2 / 3 * 1 / 3), math.log(2.5 / 3)]
    assert found == pytest.approx(expected)


CELLS = [nasir.sample("nasbench201", seed) for seed in range(3)]
SIZE = {"layers": 1, "channels": 4, "resolution": 8}


def batch() -> Batch:
    source = torch.Generator().manual_seed(0)
    return Batch((torch.randn(8, 3, 8, 8, generator=source),), torch.arange(8), "train")


def test_scores_depend_on_the_genotype_the_batch_and_the_seed_alone() -> None:
    names = list(PROXIES)
    found = score_of(names, CELLS, batch(), 3, SIZE)
    assert found == score_of(names[::-1], CELLS, batch(), 3, SIZE)
    backwards = score_of(names, CELLS[::-1], batch(), 3, SIZE)
    assert found == {name: row[::-1] for name, row in backwards.items()}
    alone = score_of(names, CELLS[:1], batch(), 3, SIZE)
    assert {name: row[0] for name, row in found.items()} == {k: v[0] for k, v in alone.items()}
    other = score_of(names, CELLS, batch(), 4, SIZE)
    same = {name for name in names if other[name] == found[name]}
    assert same == {"params", "flops"}


def test_a_disconnected_network_is_worse_than_any_where_a_proxy_is_undefined() -> None:
    none = nasir.load_genotype("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    found = score_of(["jacob_cov", "naswot", "synflow"], [none], batch(), size=SIZE)
    assert found == {"jacob_cov": [-math.inf], "naswot": [-math.inf], "synflow": [0.0]}


def test_ensembles_rank_among_the_genotypes_given() -> None:
    found = score_of(["snip", "params", "snip+params", "az_nas"], CELLS, batch(), size=SIZE)
    assert found["snip+params"] == ranked([found["snip"], found["params"]])
    parts = ("expressivity", "progressivity", "trainability", "flops")
    assert found["az_nas"] == ranked(list(score_of(parts, CELLS, batch(), size=SIZE).values()))


def test_a_proxy_from_outside_is_a_row_and_its_failure_an_error_with_both_names() -> None:
    def depth(found: Probe) -> float:
        if found.seed:
            raise ValueError("no seed")
        return len(found.layers)

    first = replace(CELLS[0], name="mine")
    with nasir.use(Extension(name="own", proxies={"depth": depth})):
        assert score_of(["depth"], [first], batch(), size=SIZE)["depth"][0] > 3
        with pytest.raises(NasirError, match="depth of 'mine' failed: ValueError: no seed"):
            score_of(["depth"], [first], batch(), 1, SIZE)
    with pytest.raises(NasirError, match="unknown proxy 'depth'"):
        score_of(["depth"], [first], batch(), size=SIZE)
    with pytest.raises(NasirError, match=r"snip of 'mine'.*image"):
        score_of(["snip"], [first], batch(), size={**SIZE, "resolution": 16})
    with (
        pytest.raises(NasirError, match="already"),
        nasir.use(Extension(name="own", proxies={"snip": depth})),
    ):
        pass


def test_a_network_runs_another_graph_with_the_same_weights() -> None:
    network = probe(two_layers(norm=True)).network
    graph = network.graph
    inner = network.with_graph(graph.with_nodes(graph.nodes, ["conv", *graph.outputs]))
    image = torch.tensor(IMAGES, dtype=torch.float64).reshape(-1, 1, 2, 2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    conv, logits = inner.call_apart(list(network.parameters()), image)
    assert torch.equal(conv, torch.tensor(FIRST).double()[None, :, None, None] * image)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.equal(logits, network(image))
    assert next(inner.parameters()) is next(network.parameters())

"""Passes on small graphs: text in, text out."""

import textwrap
from itertools import pairwise

import pytest

from nasir import PASSES, network, parse_graph, print_graph, run_passes
from nasir.passes import DISCRETE
from tests.fused_texts import HIGHWAY_SUMS, HORIZONTAL, LEAN_SUMS, MIXED_SUMS, POINTS, SHARE_NORMS
from tests.memory_texts import BEFORE, CELLS, STATES

EXPAND = (
    """
    input x: image[4,8,8]
    pre = relu_conv_bn(x) {out=2}: image[2,8,8] in normal c0
    skip = skip_connect(pre): image[2,8,8]
    pool = max_pool_3x3(skip) {stride=2}: image[2,4,4] in normal c0
    sum = add(skip, pre): image[2,8,8]
    output pool
    output sum
    auxiliary skip
    """,
    """
    input x: image[4,8,8]
    pre/relu = relu(x): image[4,8,8] in normal c0
    pre/conv = conv2d(pre/relu) {out=2, kernel=1}: image[2,8,8] in normal c0
    pre/bn = batch_norm(pre/conv): image[2,8,8] in normal c0
    pool/pool = max_pool(pre/bn) {kernel=3, stride=2, padding=1}: image[2,4,4] in normal c0
    sum = add(pre/bn, pre/bn): image[2,8,8]
    output pool/pool
    output sum
    auxiliary pre/bn
    """,
)

CANONICALISE = (
    """
    input x: image[4,8,8]
    zero = zero(x): image[4,8,8]
    b = tanh(x): image[4,8,8]
    a = relu(x): image[4,8,8]
    again = relu(a): image[4,8,8]
    pair = add(again, zero, b): image[4,8,8]
    one = add(zero, pair): image[4,8,8]
    three = add(b, a, x): image[4,8,8]
    product = mul(one, b): image[4,8,8]
    nothing = add(zero, zero): image[4,8,8]
    joined = concat(nothing): image[4,8,8]
    output product
    output three
    output joined
    """,
    """
    input x: image[4,8,8]
    zero = zero(x): image[4,8,8]
    b = tanh(x): image[4,8,8]
    a = relu(x): image[4,8,8]
    pair = add(b, a): image[4,8,8]
    three = add(b, a, x): image[4,8,8]
    product = mul(b, pair): image[4,8,8]
    output product
    output three
    output zero
    """,
)

DEAD_CODE = (
    """
    input x: image[4,8,8]
    input unread: image[1,1,1]
    a = relu(x): image[4,8,8]
    b = tanh(a): image[4,8,8]
    c = tanh(b): image[4,8,8]
    d = sigmoid(a): image[4,8,8]
    output a
    auxiliary d
    """,
    """
    input x: image[4,8,8]
    input unread: image[1,1,1]
    a = relu(x): image[4,8,8]
    d = sigmoid(a): image[4,8,8]
    output a
    auxiliary d
    """,
)

CSE = (
    """
    input x: image[4,8,8]
    a = relu(x): image[4,8,8]
    b = relu(x): image[4,8,8]
    c1 = conv2d(a) {out=2, kernel=1}: image[2,8,8]
    c2 = conv2d(b) {out=2, kernel=1}: image[2,8,8]
    c3 = conv2d(b) {out=2, kernel=1}: image[2,8,8] with weight=c1.weight[2,4,1,1] uniform(0.5)
    n1 = gaussian(a): image[4,8,8]
    n2 = gaussian(b): image[4,8,8]
    t1 = tanh(c1): image[2,8,8]
    t3 = tanh(c3): image[2,8,8]
    m1 = sep_conv_3x3(a): image[4,8,8]
    m2 = sep_conv_3x3(b): image[4,8,8]
    output t1
    output t3
    output c2
    auxiliary n2
    """,
    """
    input x: image[4,8,8]
    a = relu(x): image[4,8,8]
    c1 = conv2d(a) {out=2, kernel=1}: image[2,8,8]
    c2 = conv2d(a) {out=2, kernel=1}: image[2,8,8]
    n1 = gaussian(a): image[4,8,8]
    n2 = gaussian(a): image[4,8,8]
    t1 = tanh(c1): image[2,8,8]
    m1 = sep_conv_3x3(a): image[4,8,8]
    m2 = sep_conv_3x3(a): image[4,8,8]
    output t1
    output t1
    output c2
    auxiliary n2
    """,
)

FOLD = (
    """
    input x: image[4,8,8]
    c1 = conv2d(x) {out=2, kernel=1}: image[2,8,8]
    b1 = batch_norm(c1) {affine=false}: image[2,8,8]
    c2 = conv2d(b1) {out=2, kernel=1}: image[2,8,8]
    b2 = batch_norm(c2): image[2,8,8]
    both = add(c2, b2): image[2,8,8]
    b3 = batch_norm(both): image[2,8,8]
    output b3
    """,
    """
    input x: image[4,8,8]
    c1 = conv2d(x) {out=2, kernel=1, bias=true}: image[2,8,8] with \
weight=b1.folded_weight[2,4,1,1] fold_weight(1e-05; weight=c1.weight[2,4,1,1] uniform(0.5); \
norm_running_mean=b1.running_mean[2] constant(0.0) buffer; \
norm_running_var=b1.running_var[2] constant(1.0) buffer), \
bias=b1.folded_bias[2] fold_bias(1e-05; weight=c1.weight[2,4,1,1] uniform(0.5); \
norm_running_mean=b1.running_mean[2] constant(0.0) buffer; \
norm_running_var=b1.running_var[2] constant(1.0) buffer)
    c2 = conv2d(c1) {out=2, kernel=1}: image[2,8,8]
    b2 = batch_norm(c2): image[2,8,8]
    both = add(c2, b2): image[2,8,8]
    b3 = batch_norm(both): image[2,8,8]
    output b3
    """,
)

FREEZE = (
    """
    input x: image[4,8,8]
    n = gaussian(x) {stride=2}: image[4,4,4]
    output n
    """,
    """
    input x: image[4,8,8]
    n = frozen_gaussian(x) {stride=2}: image[4,4,4]
    output n
    """,
)

EVALUATION = (
    """
    input tokens: tokens[9]
    input hidden: vector[5]
    body body1
      input x: vector[5]
      input h: vector[5]
      input mask: vector[5]
      dropped = masked(h, mask): vector[5]
      next = add(x, dropped): vector[5]
      output next
    end
    words = embedding(tokens) {out=5}: sequence[5]
    drop = word_dropout(words, tokens) {rate=0.1, vocabulary=9}: sequence[5]
    mask = dropout_mask(hidden) {rate=0.2}: vector[5]
    states = scan(drop, hidden, mask) {body=body1}: sequence[5]
    result = masked(states, mask): sequence[5]
    output result
    """,
    """
    input tokens: tokens[9]
    input hidden: vector[5]
    body body1
      input x: vector[5]
      input h: vector[5]
      input mask: vector[5]
      next = add(x, h): vector[5]
      output next
    end
    words = embedding(tokens) {out=5}: sequence[5]
    mask = dropout_mask(hidden) {rate=0.2}: vector[5]
    states = scan(words, hidden, mask) {body=body1}: sequence[5]
    output states
    """,
)

IDLE_CODE = (
    """
    input x: image[2,4,4]
    a = relu(x): image[2,4,4]
    b = batch_norm(a) {affine=false}: image[2,4,4]
    c = tanh(b): image[2,4,4]
    output x
    """,
    """
    input x: image[2,4,4]
    a = relu(x): image[2,4,4]
    b = batch_norm(a) {affine=false}: image[2,4,4]
    output x
    """,
)

DRAWS_GIVEN = (
    """
    input x: image[2,4,4]
    input drop_path: weights[1]
    a = gaussian(x): image[2,4,4]
    b = drop_path(a, drop_path): image[2,4,4]
    output b
    """,
    """
    input x: image[2,4,4]
    input drop_path: weights[1]
    input a.draw: weights[1]
    input b.draw: vector[1]
    a = gaussian_drawn(x, a.draw): image[2,4,4]
    b = drop_path_drawn(a, drop_path, b.draw): image[2,4,4]
    output b
    """,
)

GOLDEN = {
    "validate": (EXPAND[0], EXPAND[0]),
    "infer-types": (EXPAND[0], EXPAND[0]),
    "expand": EXPAND,
    "canonicalise": CANONICALISE,
    "dead-code": DEAD_CODE,
    "idle-code": IDLE_CODE,
    "draws-given": DRAWS_GIVEN,
    "cse": CSE,
    "mixed-sums": MIXED_SUMS,
    "highway-sums": HIGHWAY_SUMS,
    "share-norms": SHARE_NORMS,
    "horizontal": HORIZONTAL,
    "keep-cells": (BEFORE, CELLS),
    "keep-states": (BEFORE, STATES),
    "lean-sums": LEAN_SUMS,
    "call-cells": (BEFORE, CELLS.replace("recompute(", "call(")),
    "evaluation": EVALUATION,
    "fold-batch-norm": FOLD,
    "freeze-noise": FREEZE,
}


def test_every_pass_has_a_golden_text() -> None:
    assert list(GOLDEN) == list(PASSES)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_pass_turns_the_first_text_into_the_second(name: str) -> None:
    before, after = (_text(lines) for lines in GOLDEN[name])
    assert print_graph(PASSES[name].run(parse_graph(before))) == after


def test_the_points_of_a_factorized_reduce_become_one_convolution() -> None:
    before, after = (_text(lines) for lines in POINTS)
    assert print_graph(parse_graph(after)) == after
    assert print_graph(PASSES["horizontal"].run(parse_graph(before))) == after


@pytest.mark.parametrize("name", ["canonicalise", "dead-code", "cse", "fold-batch-norm"])
def test_a_pass_with_nothing_to_do_returns_the_very_graph(name: str) -> None:
    graph = parse_graph(_text("input x: image[4,8,8]\na = relu(x): image[4,8,8]\noutput a"))
    assert PASSES[name].run(graph) is graph


def test_a_convolution_that_is_an_output_is_not_folded() -> None:
    graph = parse_graph(_text(FOLD[0]) + "output c1\n")
    assert PASSES["fold-batch-norm"].run(graph) is graph


def test_two_batch_norms_on_one_convolution_are_not_folded() -> None:
    text = _text(FOLD[0]).replace("output b3", "again = batch_norm(c1): image[2,8,8]\noutput again")
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


def _text(lines: str) -> str:
    return f"nasir graph 1\n{textwrap.dedent(lines).strip()}\n"

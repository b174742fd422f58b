"""Primitives: types, parameters, cost, and what they refuse."""

from dataclasses import replace
from typing import Any

import pytest

from nasir import Builder, Graph, ImageType, NasirError, SequenceType, Type, VectorType
from nasir.macros import ALL_OPS
from nasir.ops import FAMILIES, PRIMITIVES
from nasir.template import make_attrs, meaning
from nasir.types import TokenType, WeightsType, elements, parse_type

X = ImageType(4, 8, 6)


def _body() -> Graph:
    """(step of 3, state of 5) -> tanh of a projection."""
    build = Builder(x=VectorType(3), h=VectorType(5))
    both = build("concat", "x", "h", name="both")
    return build.graph(build("tanh", build("project", both, name="p", out=5), name="out"))


BODY = _body()

SUM: dict[str, Any] = {
    "terms": (
        {
            "value": 0,
            "units": (
                {"window": "max", "kernel": 3, "stride": 2, "padding": 1},
                {"product": 6, "eps": 1e-5},
            ),
            "products": (((1, 0),),),
        },
        {
            "value": 0,
            "units": (
                {
                    "relu": True,
                    "window": "depthwise",
                    "kernel": 3,
                    "stride": 2,
                    "padding": 1,
                    "product": 6,
                    "eps": 1e-5,
                },
            ),
        },
    )
}
BANK: dict[str, Any] = {"outs": (4, 3), "kernel": 3, "padding": 1}
HIGHWAYS: dict[str, Any] = {
    "highways": (
        {"state": 0, "value": 0, "branches": ({"function": "tanh", "products": (((1, 0),),)},)},
    )
}
FUSED: dict[str, dict[str, Any]] = {
    "mixed_sum": SUM,
    "conv_bank": BANK,
    "highway_sum": HIGHWAYS,
}

TYPES: list[tuple[str, dict[str, Any], tuple[Type, ...], Type]] = [
    ("conv2d", {"out": 8, "kernel": 3}, (X,), ImageType(8, 8, 6)),
    ("conv2d", {"out": 8, "kernel": 3, "stride": 2}, (X,), ImageType(8, 4, 3)),
    ("conv2d", {"out": 8, "kernel": (1, 7), "stride": (1, 2)}, (X,), ImageType(8, 8, 3)),
    ("conv2d", {"out": 8, "kernel": 5, "dilation": 2}, (X,), ImageType(8, 8, 6)),
    ("conv2d", {"out": 8, "kernel": 2, "padding": 0}, (X,), ImageType(8, 7, 5)),
    ("conv2d", {"out": 8, "kernel": 3, "padding": "same"}, (X,), ImageType(8, 8, 6)),
    ("conv2d", {"out": 1 << 20, "kernel": 1}, (X,), ImageType(1 << 20, 8, 6)),
    ("crop", {"top": 1, "left": 2}, (X,), ImageType(4, 7, 4)),
    ("pad", {"bottom": 1, "right": 2}, (X,), ImageType(4, 9, 8)),
    ("truncate", {"channels": 3}, (X,), ImageType(3, 8, 6)),
    ("truncate", {"channels": 4}, (X,), X),
    ("rest", {"channels": 3}, (X,), ImageType(1, 8, 6)),
    ("channel_shuffle", {"groups": 2}, (X,), X),
    ("max_pool", {"kernel": 3, "stride": 2, "padding": 1}, (X,), ImageType(4, 4, 3)),
    ("avg_pool", {"kernel": (2, 1)}, (X,), ImageType(4, 7, 6)),
    ("global_pool", {}, (X,), ImageType(4, 1, 1)),
    ("batch_norm", {}, (X,), X),
    ("relu", {}, (SequenceType(5),), SequenceType(5)),
    ("tanh", {}, (VectorType(5),), VectorType(5)),
    ("silu", {}, (X,), X),
    ("hardsigmoid", {}, (X,), X),
    ("hardswish", {}, (VectorType(5),), VectorType(5)),
    ("mean", {}, (X, X), X),
    ("add", {}, (X, X, X), X),
    ("mul", {}, (X, ImageType(4, 1, 1)), X),
    ("mul", {}, (ImageType(4, 1, 1), X), X),
    ("concat", {}, (X, ImageType(1, 8, 6)), ImageType(5, 8, 6)),
    ("flatten", {}, (X,), VectorType(192)),
    ("linear", {"out": 3}, (VectorType(5),), VectorType(3)),
    ("zero", {"stride": 2}, (ImageType(4, 7, 1),), ImageType(4, 4, 1)),
    ("gaussian", {"stride": (1, 2)}, (X,), ImageType(4, 8, 3)),
    ("frozen_gaussian", {}, (X,), X),
    ("mix", {"options": (0, 2)}, (WeightsType(3), X, X), X),
    ("drop_path", {}, (X, WeightsType(1)), X),
    ("batch_norm", {"affine": False, "copies": 2}, (X,), X),
    ("mixed_sum", SUM, (X, WeightsType(2)), ImageType(6, 4, 3)),
    ("conv_bank", BANK, (X,), ImageType(7, 8, 6)),
    ("part", {"number": 1, "channels": 3}, (X,), ImageType(3, 8, 6)),
    ("highway_sum", HIGHWAYS, (VectorType(5), WeightsType(2)), VectorType(5)),
    ("zero", {}, (VectorType(5),), VectorType(5)),
    ("concat", {}, (VectorType(5), VectorType(2)), VectorType(7)),
    ("batch_norm", {}, (VectorType(5),), VectorType(5)),
    ("sub", {}, (X, X), X),
    ("mean", {}, (X, X, X), X),
    ("project", {"out": 6}, (VectorType(5),), VectorType(6)),
    ("chunk", {"part": 2, "of": 3}, (VectorType(6),), VectorType(2)),
    ("embedding", {"out": 3}, (TokenType(9),), SequenceType(3)),
    (
        "word_dropout",
        {"vocabulary": 9},
        (SequenceType(3), TokenType(9)),
        SequenceType(3),
    ),
    ("dropout_mask", {"rate": 0.2}, (SequenceType(3),), VectorType(3)),
    ("gaussian_drawn", {"stride": 2}, (X, WeightsType(1)), ImageType(4, 4, 3)),
    ("drop_path_drawn", {}, (X, WeightsType(1), VectorType(1)), X),
    (
        "word_dropout_drawn",
        {"vocabulary": 9},
        (SequenceType(3), TokenType(9), WeightsType(9)),
        SequenceType(3),
    ),
    ("dropout_mask_drawn", {}, (SequenceType(3), VectorType(3)), VectorType(3)),
    ("masked", {}, (SequenceType(3), VectorType(3)), SequenceType(3)),
    ("scan", {"body": BODY}, (SequenceType(3), VectorType(5)), SequenceType(5)),
    ("recompute", {"body": BODY}, (VectorType(3), VectorType(5)), VectorType(5)),
    ("call", {"body": BODY}, (VectorType(3), VectorType(5)), VectorType(5)),
    ("last", {}, (SequenceType(3),), VectorType(3)),
    ("decoder", {"out": 9}, (SequenceType(3),), SequenceType(9)),
    ("log_softmax", {}, (SequenceType(3),), SequenceType(3)),
]

ERRORS: list[tuple[str, dict[str, Any], tuple[Type, ...], str, str]] = [
    ("relu", {}, (), "E404", "relu takes 1 input, not 0"),
    ("relu", {}, (X, X), "E404", "relu takes 1 input, not 2"),
    ("mul", {}, (X,), "E404", "mul takes 2 inputs, not 1"),
    ("add", {}, (), "E404", "add takes 1 or more inputs, not 0"),
    ("sep_conv_3x3", {}, (X, X), "E404", "sep_conv_3x3 takes 1 input, not 2"),
    (
        "conv2d",
        {"out": 8, "kernel": 1, "groups": 3},
        (X,),
        "E303",
        "groups=3 must divide 4 input and 8 output channels",
    ),
    (
        "conv2d",
        {"out": 8, "kernel": 9, "padding": 0},
        (X,),
        "E304",
        "a window of 9 does not fit into 8 pixels",
    ),
    (
        "max_pool",
        {"kernel": 3, "padding": 2},
        (X,),
        "E306",
        "padding 2,2 exceeds half of the kernel 3,3",
    ),
    (
        "avg_pool",
        {"kernel": 9, "padding": 1},
        (ImageType(1, 2, 2),),
        "E304",
        "a window of 9 does not fit into 2 pixels with a margin of 1",
    ),
    ("crop", {"top": 8}, (X,), "E304", "a crop of 8,0 leaves nothing of 8x6 pixels"),
    ("truncate", {"channels": 5}, (X,), "E303", "truncate cannot keep 5 of 4 channels"),
    ("rest", {"channels": 4}, (X,), "E303", "rest cannot leave out 4 of 4 channels"),
    ("channel_shuffle", {"groups": 3}, (X,), "E303", "groups=3 must divide 4 channels"),
    (
        "truncate",
        {"channels": 1},
        (VectorType(3),),
        "E305",
        "truncate takes an image, not vector[3]",
    ),
    (
        "add",
        {},
        (X, ImageType(4, 8, 8)),
        "E305",
        "add takes values of one type, not image[4,8,6] and image[4,8,8]",
    ),
    (
        "mul",
        {},
        (X, ImageType(3, 1, 1)),
        "E305",
        (
            "mul takes two values of one type, or an image and one factor a channel, "
            "not image[4,8,6] and image[3,1,1]"
        ),
    ),
    (
        "concat",
        {},
        (X, ImageType(4, 8, 8)),
        "E305",
        "concat takes images of one size, not image[4,8,6] and image[4,8,8]",
    ),
    ("concat", {}, (SequenceType(3),), "E305", "concat takes an image, not sequence[3]"),
    (
        "conv2d",
        {"out": 1, "kernel": 1},
        (VectorType(3),),
        "E305",
        "conv2d takes an image, not vector[3]",
    ),
    ("linear", {"out": 1}, (X,), "E305", "linear takes a vector, not image[4,8,6]"),
    (
        "batch_norm",
        {},
        (SequenceType(3),),
        "E305",
        "batch_norm takes an image or a vector, not sequence[3]",
    ),
    ("zero", {"stride": 2}, (VectorType(3),), "E305", "a strided op takes an image, not vector[3]"),
    ("embedding", {"out": 1}, (X,), "E305", "embedding takes tokens, not image[4,8,6]"),
    (
        "word_dropout",
        {"vocabulary": 8},
        (SequenceType(3), TokenType(9)),
        "E305",
        "word_dropout draws for 8 words, and its tokens are tokens[9]",
    ),
    (
        "dropout_mask",
        {},
        (X,),
        "E305",
        "dropout_mask takes a sequence or a vector, not image[4,8,6]",
    ),
    *(
        (
            f"{op}_drawn",
            attrs,
            (*inputs, X),
            "E305",
            f"{op}_drawn takes a draw of {draw} last, not {X}",
        )
        for op, attrs, inputs, draw in (
            ("gaussian", {}, (X,), "weights[1]"),
            ("drop_path", {}, (X, WeightsType(1)), "vector[1]"),
            ("word_dropout", {"vocabulary": 9}, (SequenceType(3), TokenType(9)), "weights[9]"),
            ("dropout_mask", {}, (SequenceType(3),), "vector[3]"),
        )
    ),
    (
        "masked",
        {},
        (SequenceType(3), VectorType(4)),
        "E305",
        "masked takes a value and a mask of its width, not sequence[3], vector[4]",
    ),
    (
        "recompute",
        {"body": BODY},
        (VectorType(3),),
        "E305",
        "the body takes (vector[3], vector[5]), the node gives it (vector[3])",
    ),
    (
        "recompute",
        {"body": replace(BODY, outputs=("out", "p"))},
        (VectorType(3), VectorType(5)),
        "E305",
        "the body returns (vector[5], vector[5]), the node has one",
    ),
    (
        "scan",
        {"body": BODY},
        (SequenceType(4), VectorType(5)),
        "E305",
        "the body takes (vector[3], vector[5]), scan gives it (vector[4], vector[5])",
    ),
    (
        "scan",
        {"body": BODY.with_nodes(BODY.nodes, outputs=["both"])},
        (SequenceType(3), VectorType(5)),
        "E305",
        "the body returns (vector[8]), its state is vector[5]",
    ),
    ("last", {}, (VectorType(3),), "E305", "last takes a sequence, not vector[3]"),
    ("decoder", {"out": 1}, (VectorType(3),), "E305", "decoder takes a sequence, not vector[3]"),
    (
        "log_softmax",
        {},
        (X,),
        "E305",
        "log_softmax takes a vector or a sequence, not image[4,8,6]",
    ),
    ("project", {"out": 1}, (X,), "E305", "project takes a vector, not image[4,8,6]"),
    ("chunk", {"part": 0}, (VectorType(5),), "E303", "vector[5] cannot be cut into 2 equal parts"),
    (
        "chunk",
        {"part": 2},
        (VectorType(6),),
        "E306",
        "there is no part 2 of 2: they count from 0",
    ),
]

ATTRIBUTES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "conv2d",
        {"out": 8, "kernal": 3},
        "conv2d has no attribute 'kernal'",
        "did you mean 'kernel'?",
    ),
    (
        "conv2d",
        {"out": 8},
        "conv2d needs the attribute 'kernel'",
        "conv2d takes: out, kernel, stride, padding, dilation, groups, bias",
    ),
    ("relu", {"slope": 0.1}, "relu has no attribute 'slope'", "relu has no attributes"),
    (
        "linear",
        {"out": 0},
        "attribute 'out' of linear: input should be greater than or equal to 1 (got '0')",
        "linear takes: out, bias",
    ),
    (
        "linear",
        {"out": (1 << 20) + 1},
        "attribute 'out' of linear: input should be less than or equal to 1048576 (got '1048577')",
        "linear takes: out, bias",
    ),
    (
        "batch_norm",
        {"eps": float("nan")},
        "attribute 'eps' of batch_norm: input should be a finite number (got 'nan')",
        "batch_norm takes: affine, eps, momentum, copies",
    ),
    (
        "sep_conv_3x3",
        {"stride": (2, 1)},
        "attribute 'stride' of sep_conv_3x3: input should be a valid integer (got '(2, 1)')",
        "sep_conv_3x3 takes: stride, affine",
    ),
]


def test_every_primitive_has_a_type_in_this_table() -> None:
    covered = {op for op, *_ in TYPES}
    assert covered | {"sigmoid"} == set(PRIMITIVES)


@pytest.mark.parametrize(("op", "attrs", "inputs", "output"), TYPES)
def test_an_op_infers_the_type_of_its_value(
    op: str, attrs: dict[str, Any], inputs: tuple[Type, ...], output: Type
) -> None:
    spec = PRIMITIVES[op]
    assert meaning(spec, make_attrs(spec, attrs), inputs).type == output


@pytest.mark.parametrize(("op", "attrs", "inputs", "code", "message"), ERRORS)
def test_an_op_refuses_what_does_not_fit(
    op: str, attrs: dict[str, Any], inputs: tuple[Type, ...], code: str, message: str
) -> None:
    build = Builder(**{f"x{i}": type_ for i, type_ in enumerate(inputs)})
    with pytest.raises(NasirError) as caught:
        build(op, *(f"x{i}" for i in range(len(inputs))), name="m", **attrs)
    assert (caught.value.code, caught.value.message) == (code, message)
    assert str(caught.value).startswith(f"node m: {code} ")


@pytest.mark.parametrize(("op", "attrs", "message", "hint"), ATTRIBUTES)
def test_a_wrong_attribute_is_an_error_that_names_the_right_ones(
    op: str, attrs: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(NasirError) as caught:
        Builder(x=X)(op, "x", name="m", **attrs)
    assert caught.value.code == "E306"
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_an_unknown_op_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(NasirError) as caught:
        Builder(x=X)("conv2", "x")
    assert (caught.value.code, caught.value.hint) == ("E201", "did you mean 'conv2d'?")


def test_a_convolution_counts_its_weights_at_each_position() -> None:
    spec = PRIMITIVES["conv2d"]
    attrs = make_attrs(spec, {"out": 8, "kernel": 3, "stride": 2, "groups": 4, "bias": True})
    assert spec.macs(attrs, (X,), spec.infer(attrs, (X,))) == 4 * 3 * 8 * 1 * 9


def test_fused_ops_count_what_their_parts_count() -> None:
    spec = PRIMITIVES["mixed_sum"]
    attrs, inputs = make_attrs(spec, SUM), (X, WeightsType(2))
    products, depthwise = 2 * 4 * 3 * 4 * 6, 4 * 3 * 4 * 9
    assert spec.macs(attrs, inputs, spec.infer(attrs, inputs)) == products + depthwise
    bank = PRIMITIVES["conv_bank"]
    attrs = make_attrs(bank, BANK)
    assert bank.macs(attrs, (X,), bank.infer(attrs, (X,))) == 8 * 6 * 7 * 4 * 9


def test_a_linear_map_counts_its_weights() -> None:
    spec = PRIMITIVES["linear"]
    attrs = make_attrs(spec, {"out": 10})
    assert spec.macs(attrs, (VectorType(7),), VectorType(10)) == 70


COUNTED = {"conv2d", "linear", "project", "decoder", *FUSED}


@pytest.mark.parametrize("op", sorted(set(PRIMITIVES) - COUNTED))
def test_nothing_else_has_multiply_adds(op: str) -> None:
    from nasir.ops.spec import _no_macs

    assert PRIMITIVES[op].macs is _no_macs


def test_a_batch_norm_has_scale_and_shift_and_two_buffers() -> None:
    spec = PRIMITIVES["batch_norm"]
    params = meaning(spec, make_attrs(spec, {}), (X,)).params
    assert [(p.name, p.shape, p.buffer) for p in params] == [
        ("weight", (4,), False),
        ("bias", (4,), False),
        ("running_mean", (4,), True),
        ("running_var", (4,), True),
    ]


def test_the_families_hold_every_primitive_once() -> None:
    listed = [op.name for family in FAMILIES.values() for op in family]
    assert listed == list(PRIMITIVES)


def test_the_attributes_that_grow_with_the_width_are_attributes() -> None:
    for op in PRIMITIVES.values():
        assert set(op.widths) <= set(op.attrs.model_fields)


@pytest.mark.parametrize("op", ALL_OPS)
def test_attributes_cannot_be_changed(op: str) -> None:
    fields = ALL_OPS[op].attrs.model_fields
    required = {name: 1 for name, field in fields.items() if field.is_required()}
    body = {"body": BODY}
    given = {"scan": body, "recompute": body, "call": body, "mix": {"options": (0,)}, **FUSED}.get(
        op, {}
    )
    attrs = make_attrs(ALL_OPS[op], required | given)
    for name in fields:
        with pytest.raises(ValueError, match="frozen"):
            setattr(attrs, name, 2)


@pytest.mark.parametrize("op", ["project", "decoder"])
def test_the_maps_of_recurrent_networks_count_their_weights_at_one_step(op: str) -> None:
    spec = PRIMITIVES[op]
    attrs = make_attrs(spec, {"out": 10})
    x = VectorType(7) if op == "project" else SequenceType(7)
    assert spec.macs(attrs, (x,), spec.infer(attrs, (x,))) == 70


@pytest.mark.parametrize(
    "value", [X, VectorType(7), SequenceType(9), TokenType(9), ImageType(1 << 40, 1, 1)]
)
def test_a_type_is_read_as_it_is_printed(value: Type) -> None:
    assert parse_type(str(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "image", "image[]", "image[3]", "image[3,8,0]", "image[3,,8]", "vector[1,2]", "vector[-1]",
     "thing[3]", "vector[²]", f"vector[{'9' * 5000}]"],
)  # fmt: skip
def test_a_text_that_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a type|positive"):
        parse_type(text)


def test_the_scalars_of_a_type_are_counted() -> None:
    assert (elements(X), elements(VectorType(7))) == (192, 7)

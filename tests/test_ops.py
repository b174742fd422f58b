"""Primitives: types, parameters, cost, and what they refuse."""

from dataclasses import replace
from typing import Any

import pytest

from nasir import Builder, Graph, ImageType, NasirError, SequenceType, SignalType, Type, VectorType
from nasir.macros import ALL_OPS
from nasir.ops import PRIMITIVES
from nasir.template import make_attrs, meaning
from nasir.types import TokenType, WeightsType, parse_type
from tests.refusals import fails_with

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

SEQUENCE, TOKENS = SequenceType(3), TokenType(9)
SEVERAL = {"body": replace(BODY, outputs=("out", "p"))}
WITHOUT_STATE = {"body": BODY.with_nodes(BODY.nodes, outputs=["both"])}

ERRORS: dict[str, tuple[tuple[str, dict[str, Any], tuple[Type, ...]], ...]] = {
    "E401": (
        ("relu", {}, ()),
        ("relu", {}, (X, X)),
        ("mul", {}, (X,)),
        ("add", {}, ()),
        ("sep_conv_3x3", {}, (X, X)),
    ),
    "E302": (
        ("conv2d", {"out": 8, "kernel": 1, "groups": 3}, (X,)),
        ("channels", {"start": 3, "count": 2}, (X,)),
        ("channel_shuffle", {"groups": 3}, (X,)),
        ("chunk", {"part": 0}, (VectorType(5),)),
        ("group_norm", {"groups": 3}, (X,)),
        ("space_to_depth", {"block": 4}, (X,)),
        ("depth_to_space", {"block": 3}, (X,)),
        ("conv2d", {"out": 8, "kernel": 9, "padding": 0}, (X,)),
        ("avg_pool", {"kernel": 9, "padding": 1}, (ImageType(1, 2, 2),)),
        ("crop", {"top": 8}, (X,)),
        ("reshape", {"channels": 5, "height": 1}, (X,)),
        ("reshape", {"channels": 4, "height": 4, "width": 6}, (X,)),
        ("conv_transpose2d", {"out": 2, "kernel": 1, "groups": 3}, (X,)),
        ("conv_transpose2d", {"out": 2, "kernel": 1, "padding": 4}, (X,)),
    ),
    "E306": (
        ("max_pool", {"kernel": 3, "padding": 2}, (X,)),
        ("chunk", {"part": 2}, (VectorType(6),)),
        ("softmax", {"axis": 0}, (X,)),
        ("transpose", {"first": 0, "second": 1}, (X,)),
        ("reshape", {"channels": 4}, (X,)),
        ("reshape", {"channels": 0, "height": 1}, (X,)),
        ("reshape", {"channels": 4}, (X, X)),
        ("resize_nearest", {"factor": 33}, (X,)),
        ("resize_bilinear", {"factor": 2}, (X, X)),
        ("conv_transpose2d", {"out": 2, "kernel": 1, "bottom_right": 1}, (X,)),
        ("conv_transpose2d", {"out": 2, "kernel": 1, "padding": 0, "bottom_right": 1}, (X,)),
        ("relu", {"slope": 0.1}, (X,)),
        ("linear", {"out": (1 << 20) + 1}, (VectorType(3),)),
        ("batch_norm", {"eps": float("nan")}, (X,)),
        ("sep_conv_3x3", {"stride": (2, 1)}, (X,)),
    ),
    "E305": (
        ("channels", {"count": 1}, (VectorType(3),)),
        ("add", {}, (X, ImageType(4, 8, 8))),
        ("mul", {}, (X, ImageType(3, 1, 1))),
        ("concat", {}, (X, ImageType(4, 8, 8))),
        ("concat", {}, (SEQUENCE,)),
        ("conv2d", {"out": 1, "kernel": 1}, (VectorType(3),)),
        ("linear", {"out": 1}, (X,)),
        ("batch_norm", {}, (SEQUENCE,)),
        ("zero", {"stride": 2}, (VectorType(3),)),
        ("embedding", {"out": 1}, (X,)),
        ("word_dropout", {"vocabulary": 8}, (SEQUENCE, TOKENS)),
        ("dropout_mask", {}, (X,)),
        ("gaussian_drawn", {}, (X, X)),
        ("drop_path_drawn", {}, (X, WeightsType(1), X)),
        ("word_dropout_drawn", {"vocabulary": 9}, (SEQUENCE, TOKENS, X)),
        ("dropout_mask_drawn", {}, (SEQUENCE, X)),
        ("masked", {}, (SEQUENCE, VectorType(4))),
        ("recompute", {"body": BODY}, (VectorType(3),)),
        ("recompute", SEVERAL, (VectorType(3), VectorType(5))),
        ("scan", {"body": BODY}, (SequenceType(4), VectorType(5))),
        ("scan", WITHOUT_STATE, (SEQUENCE, VectorType(5))),
        ("last", {}, (VectorType(3),)),
        ("decoder", {"out": 1}, (VectorType(3),)),
        ("log_softmax", {}, (X,)),
        ("matmul", {}, (X, X)),
        ("matmul", {"transpose_first": True}, (X, ImageType(3, 8, 8))),
        ("softmax", {"axis": -1}, (X,)),
        ("softmax", {"axis": 2}, (SEQUENCE,)),
        ("softmax", {}, (TOKENS,)),
        ("layer_norm", {"axis": 3}, (X,)),
        ("group_norm", {"groups": 1}, (VectorType(3),)),
        ("transpose", {"first": 1, "second": 2}, (SEQUENCE,)),
        ("space_to_depth", {"block": 1}, (SEQUENCE,)),
        ("depth_to_space", {"block": 1}, (SEQUENCE,)),
        ("layer_norm", {}, (VectorType(3),)),
        ("reshape", {"channels": 3, "height": 1}, (SEQUENCE,)),
        ("reshape", {}, (X, ImageType(4, 8, 8))),
        ("resize_nearest", {}, (X, VectorType(3))),
        ("project", {"out": 1}, (X,)),
    ),
}


@pytest.mark.parametrize(
    ("code", "op", "attrs", "inputs"),
    [(code, *row) for code, rows in ERRORS.items() for row in rows],
)
def test_an_op_refuses_what_does_not_fit(
    code: str, op: str, attrs: dict[str, Any], inputs: tuple[Type, ...]
) -> None:
    build = Builder(**{f"x{i}": type_ for i, type_ in enumerate(inputs)})
    with fails_with(code) as caught:
        build(op, *(f"x{i}" for i in range(len(inputs))), name="m", **attrs)
    assert str(caught.value).startswith(f"node m: {code} ")


@pytest.mark.parametrize(
    ("attrs", "message", "hint"),
    [
        ({"out": 8, "kernal": 3}, "conv2d has no attribute 'kernal'", "did you mean 'kernel'?"),
        ({"out": 8}, "conv2d needs the attribute 'kernel'", "conv2d takes: out, kernel, stride"),
    ],
)
def test_a_wrong_attribute_is_an_error_that_names_the_right_ones(
    attrs: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(NasirError) as caught:
        Builder(x=X)("conv2d", "x", name="m", **attrs)
    assert (caught.value.code, caught.value.message) == ("E306", message)
    assert caught.value.hint.startswith(hint)


def test_an_unknown_op_is_an_error_with_the_name_that_is_meant() -> None:
    for name, hint in {"conv2": "did you mean 'conv2d'?", "rest": "it is channels now"}.items():
        with pytest.raises(NasirError) as caught:
            Builder(x=X)(name, "x")
        assert (caught.value.code, caught.value.hint) == ("E201", hint)


def test_fused_ops_count_what_their_parts_count() -> None:
    spec = PRIMITIVES["mixed_sum"]
    attrs, inputs = make_attrs(spec, SUM), (X, WeightsType(2))
    products, depthwise = 2 * 4 * 3 * 4 * 6, 4 * 3 * 4 * 9
    assert spec.macs(attrs, inputs, spec.infer(attrs, inputs)) == products + depthwise
    bank = PRIMITIVES["conv_bank"]
    attrs = make_attrs(bank, BANK)
    assert bank.macs(attrs, (X,), bank.infer(attrs, (X,))) == 8 * 6 * 7 * 4 * 9


def test_a_transposed_convolution_counts_its_weights_at_each_position_of_its_input() -> None:
    spec = PRIMITIVES["conv_transpose2d"]
    attrs = make_attrs(spec, {"out": 6, "kernel": (2, 3), "stride": 2, "groups": 2, "bias": True})
    assert spec.macs(attrs, (X,), spec.infer(attrs, (X,))) == 8 * 6 * 4 * 3 * 2 * 3


def test_a_matrix_product_counts_its_terms() -> None:
    spec = PRIMITIVES["matmul"]
    attrs = make_attrs(spec, {"transpose_second": True})
    assert spec.infer(attrs, (X, X)) == ImageType(4, 8, 8)
    assert spec.macs(attrs, (X, X), ImageType(4, 8, 8)) == 4 * 8 * 8 * 6


@pytest.mark.parametrize(
    ("kernel", "stride"), [(1, 1), (3, 1), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2), (2, 3), (7, 4)]
)
def test_a_transposed_convolution_makes_an_image_stride_times_as_large(
    kernel: int, stride: int
) -> None:
    spec = PRIMITIVES["conv_transpose2d"]
    attrs = make_attrs(spec, {"out": 2, "kernel": kernel, "stride": stride})
    assert spec.infer(attrs, (X,)) == ImageType(2, 8 * stride, 6 * stride)


@pytest.mark.parametrize(
    ("op", "attrs", "inputs", "result"),
    [
        ("reshape", {"channels": 2, "height": 2}, (X,), ImageType(2, 2, 48)),
        ("reshape", {"channels": 3, "height": 1}, (SignalType(3, 9),), ImageType(3, 1, 9)),
        ("reshape", {}, (ImageType(3, 1, 9), SignalType(3, 9)), SignalType(3, 9)),
        ("reshape", {"channels": 192, "height": 1, "width": 1}, (X,), ImageType(192, 1, 1)),
        ("space_to_depth", {"block": 2}, (X,), ImageType(16, 4, 3)),
        ("depth_to_space", {"block": 2}, (X,), ImageType(1, 16, 12)),
        ("transpose", {"first": 1, "second": 3}, (X,), ImageType(6, 8, 4)),
        ("resize_nearest", {"factor": (2, 3)}, (X,), ImageType(4, 16, 18)),
        ("resize_bilinear", {}, (X, ImageType(9, 5, 7)), ImageType(4, 5, 7)),
        ("layer_norm", {"axis": -1}, (SequenceType(3),), SequenceType(3)),
        ("softmax", {"axis": -1}, (VectorType(3),), VectorType(3)),
    ],
)
def test_shapes_and_sizes_are_those_of_attributes_or_of_a_second_value(
    op: str, attrs: dict[str, Any], inputs: tuple[Type, ...], result: Type
) -> None:
    assert meaning(PRIMITIVES[op], make_attrs(PRIMITIVES[op], attrs), inputs).type == result


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


@pytest.mark.parametrize(
    "text",
    ["", "image", "image[]", "image[3]", "image[3,8,0]", "image[3,,8]", "vector[1,2]", "vector[-1]",
     "thing[3]", "vector[²]", f"vector[{'9' * 5000}]"],
)  # fmt: skip
def test_a_text_that_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a type|positive"):
        parse_type(text)

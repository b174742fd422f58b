"""Ops on tokens and sequences, attention, and dense prediction.

Attention takes each channel of an image as a matrix. `reshape` makes of (C, H, W) one channel for
each head, (heads, C / heads, H * W), a column for each position, and back; heads are computed side
by side as channels are. Windows can be channels, too: `space_to_depth` makes channels of the pixels
of a window, and `reshape` and `transpose` a matrix for each window and head. A sequence has no such
products: no type has its number of steps, and the scores would be a matrix of steps by steps.
"""

from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nasir.errors import NasirError
from nasir.ops.layers import check_groups, product_macs, scale_and_shift
from nasir.ops.spec import (
    IS_LINEAR,
    ZEROS,
    Attrs,
    BodyAttrs,
    Init,
    MarginPair,
    NoAttrs,
    OpSpec,
    Pair,
    ParamSpec,
    Size,
    body_params,
    body_results,
    expect,
    fan_in,
    with_draw,
)
from nasir.types import (
    ImageType,
    SequenceType,
    SignalType,
    TokenType,
    Type,
    VectorType,
    WeightsType,
    elements,
)

Bound = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class WidthAttrs(Attrs):
    """`out`: length of each step; `init`: the weight starts uniform in ±init."""

    out: Size
    init: Bound = 0.04


def _embed(a: WidthAttrs, inputs: tuple[Type]) -> SequenceType:
    expect(TokenType, inputs[0], "embedding")
    return SequenceType(a.out)


def _table(a: WidthAttrs, inputs: tuple[TokenType]) -> tuple[ParamSpec, ...]:
    return (ParamSpec("weight", (inputs[0].vocabulary, a.out), Init("uniform", a.init)),)


_ROW = "a row of the weight for each token"
EMBEDDING = OpSpec("embedding", _ROW, WidthAttrs, _embed, params=_table, widths=("out",))


class RateAttrs(Attrs):
    """`rate`: the probability that a scalar is dropped; others are divided by 1 - rate."""

    rate: Rate = 0.5


class WordDropoutAttrs(RateAttrs):
    """`vocabulary` of the tokens; a dropped word is dropped at all its occurrences."""

    vocabulary: Size


def _word_dropout(a: WordDropoutAttrs, inputs: tuple[Type, Type]) -> Type:
    tokens = expect(TokenType, inputs[1], "word_dropout")
    if tokens.vocabulary != a.vocabulary:
        message = f"word_dropout draws for {a.vocabulary} words, and its tokens are {tokens}"
        raise NasirError("E305", message)
    return expect(SequenceType, inputs[0], "word_dropout")


def _word_draw(a: WordDropoutAttrs, _inputs: tuple[Type, ...]) -> Type:
    """A random number per word."""
    return WeightsType(a.vocabulary)


_WORD_DROPOUT = OpSpec(
    "word_dropout",
    "in training, drops some words wherever they occur: (sequence, tokens)",
    WordDropoutAttrs,
    _word_dropout,
    frozenset({"random", "training"}),
    arity=(2, 2),
)
WORD_DROPOUT, WORD_DROPOUT_DRAWN = with_draw(_WORD_DROPOUT, _word_draw)


def _mask(_: RateAttrs, inputs: tuple[Type]) -> VectorType:
    if not isinstance(inputs[0], (VectorType, SequenceType)):
        raise NasirError("E305", f"dropout_mask takes a sequence or a vector, not {inputs[0]}")
    return VectorType(inputs[0].c)


_MASK = "one draw of 0 or 1 / (1 - rate) for each unit of an example, of its input's width"
DROPOUT_MASK, DROPOUT_MASK_DRAWN = with_draw(
    OpSpec("dropout_mask", _MASK, RateAttrs, _mask, frozenset({"random"})), _mask
)


def _masked(_: NoAttrs, inputs: tuple[Type, Type]) -> Type:
    x, mask = inputs
    if not isinstance(x, (VectorType, SequenceType)) or mask != VectorType(x.c):
        raise NasirError("E305", f"masked takes a value and a mask of its width, not {x}, {mask}")
    return x


MASKED = OpSpec(
    "masked",
    "in training, the product with a mask, the same at every step",
    NoAttrs,
    _masked,
    frozenset({"elementwise", "training"}),
    arity=(2, 2),
)


class ScanAttrs(BodyAttrs):
    """`body` maps (step, state, constants …) to the next state, all of them vectors."""

    FIRST_CONSTANT: ClassVar[int] = 2


def _scan(a: ScanAttrs, inputs: tuple[Type, ...]) -> SequenceType:
    sequence = expect(SequenceType, inputs[0], "scan")
    results = body_results(a, (VectorType(sequence.c), *inputs[1:]), "scan")
    if results != inputs[1:2]:
        raise NasirError(
            "E305",
            f"the body returns ({', '.join(map(str, results))}), its state is {inputs[1]}",
            hint="a body returns the next state alone",
        )
    return SequenceType(results[0].shape[0])


_SCAN = "a body at every step of a sequence: (sequence, first state, constants …) -> states"
SCAN = OpSpec("scan", _SCAN, ScanAttrs, _scan, arity=(2, None), params=body_params)


def _last(_: NoAttrs, inputs: tuple[Type]) -> VectorType:
    return VectorType(expect(SequenceType, inputs[0], "last").c)


LAST = OpSpec("last", "the last step of a sequence", NoAttrs, _last, IS_LINEAR)


def _decode(a: WidthAttrs, inputs: tuple[Type]) -> SequenceType:
    expect(SequenceType, inputs[0], "decoder")
    return SequenceType(a.out)


def _decoder_params(a: WidthAttrs, inputs: tuple[SequenceType]) -> tuple[ParamSpec, ...]:
    weight = ParamSpec("weight", (a.out, inputs[0].c), Init("uniform", a.init))
    return (weight, ParamSpec("bias", (a.out,), ZEROS))


DECODER = OpSpec(
    "decoder",
    "linear map of every step; its bias starts at 0",
    WidthAttrs,
    _decode,
    IS_LINEAR,
    params=_decoder_params,
    macs=product_macs,
    widths=("out",),
)


def _log_softmax(_: NoAttrs, inputs: tuple[Type]) -> Type:
    if not isinstance(inputs[0], (VectorType, SequenceType)):
        raise NasirError("E305", f"log_softmax takes a vector or a sequence, not {inputs[0]}")
    return inputs[0]


_LOGARITHMS = "logarithms of the softmax over the channels"
LOG_SOFTMAX = OpSpec("log_softmax", _LOGARITHMS, NoAttrs, _log_softmax)

_DROPOUT = (WORD_DROPOUT, WORD_DROPOUT_DRAWN, DROPOUT_MASK, DROPOUT_MASK_DRAWN, MASKED)


class MatmulAttrs(Attrs):
    """Which factors are transposed; `scaled`: the product over the root of its number of terms."""

    transpose_first: bool = False
    transpose_second: bool = False
    scaled: bool = False


def _factors(a: MatmulAttrs, inputs: tuple[ImageType, ImageType]) -> tuple[int, int, int, int]:
    """Rows and columns of both factors as they are multiplied."""
    x, y = (expect(ImageType, value, "matmul") for value in inputs)
    first = (x.w, x.h) if a.transpose_first else (x.h, x.w)
    second = (y.w, y.h) if a.transpose_second else (y.h, y.w)
    return (*first, *second)


def _product(a: MatmulAttrs, inputs: tuple[ImageType, ImageType]) -> ImageType:
    rows, terms, others, columns = _factors(a, inputs)
    x, y = inputs
    if x.c != y.c or terms != others:
        sizes = f"{rows}x{terms} and {others}x{columns}"
        raise NasirError("E305", f"matmul cannot multiply {sizes} in each channel of {x} and {y}")
    return ImageType(x.c, rows, columns)


def _product_macs(a: MatmulAttrs, inputs: tuple[ImageType, ImageType], y: ImageType) -> int:
    """One for each term of each entry."""
    return elements(y) * _factors(a, inputs)[1]


MATMUL = OpSpec(
    "matmul",
    "matrix product in each channel, (C, H, K) by (C, K, W)",
    MatmulAttrs,
    _product,
    frozenset({"keeps_zero"}),
    arity=(2, 2),
    macs=_product_macs,
)
"""`scaled` with the first factor transposed is QK^T / sqrt(d) of columns: Vaswani et al.,
arXiv:1706.03762, equation 1.
"""


class AxisAttrs(Attrs):
    """`axis` as torch counts it: 1 channels, 2 rows, 3 columns of images; -1 the last of others."""

    axis: Literal[-1, 1, 2, 3] = 1


def _along(a: AxisAttrs, x: Type, op: str, axes: tuple[int, ...]) -> Type:
    if not isinstance(x, (ImageType, VectorType, SequenceType)):
        raise NasirError("E305", f"{op} takes an image, a vector or a sequence, not {x}")
    fitting = axes if isinstance(x, ImageType) else (-1,)
    if a.axis not in fitting:
        hint = f"choose axis={' or '.join(map(str, fitting))}"
        raise NasirError("E305", f"{op} works along no axis {a.axis} of {x}", hint=hint)
    return x


def _softmax(a: AxisAttrs, inputs: tuple[Type]) -> Type:
    return _along(a, inputs[0], "softmax", (1, 2, 3))


SOFTMAX = OpSpec("softmax", "exponentials over their sum along an axis", AxisAttrs, _softmax)


class LayerNormAttrs(AxisAttrs):
    """`axis`: 1 for channels of images, -1 for vectors and sequences."""

    affine: bool = True
    eps: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1e-5


def _layer_norm(a: LayerNormAttrs, inputs: tuple[Type]) -> Type:
    return _along(a, inputs[0], "layer_norm", (1,))


LAYER_NORM = OpSpec(
    "layer_norm",
    "each position's channels minus their mean, over their deviation",
    LayerNormAttrs,
    _layer_norm,
    params=scale_and_shift,
)
"""Ba et al., arXiv:1607.06450, section 3; of an image at each position by itself."""

Rest = Annotated[int, Field(ge=-1, le=1 << 20)]


class ReshapeAttrs(Attrs):
    """The sizes of the result; one that is left out (-1) is what the others leave."""

    channels: Rest = -1
    height: Rest = -1
    width: Rest = -1

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, self.height, self.width)


def _reshape(a: ReshapeAttrs, inputs: tuple[Type, ...]) -> Type:
    x, *others = inputs
    for value in inputs:
        if not isinstance(value, (ImageType, VectorType, SignalType)):
            raise NasirError("E305", f"reshape takes an image, a vector or a signal, not {value}")
    _once(a, others, "reshape")
    if others:
        if elements(others[0]) != elements(x):
            raise NasirError("E305", f"{x} and {others[0]} have other numbers of scalars")
        return others[0]
    known = [size for size in a.sizes if size != -1]
    if len(known) < 2 or 0 in known:
        message = f"reshape takes two sizes or three, each 1 or more, not {a.sizes}"
        raise NasirError("E306", message)
    rest, over = divmod(elements(x), prod(known))
    if over or (len(known) == 3 and rest != 1):
        raise NasirError("E302", f"{x} has no {prod(known)} scalars, nor a multiple")
    return ImageType(*(rest if size == -1 else size for size in a.sizes))


def _once(a: Attrs, others: list[Type], op: str) -> None:
    """Raises an error where both attributes and a second value say what the result is like."""
    if others and a != type(a)():
        raise NasirError("E306", f"{op} of two values has no attributes: the second one says all")


RESHAPE = OpSpec(
    "reshape",
    "the scalars in order, as an image of other sizes or of the type of a second value",
    ReshapeAttrs,
    _reshape,
    IS_LINEAR,
    arity=(1, 2),
    widths=("channels", "height", "width"),
)


Axis = Literal[1, 2, 3]


class TransposeAttrs(Attrs):
    """The two axes, as torch counts them: 1 channels, 2 rows, 3 columns."""

    first: Axis
    second: Axis


def _swapped(a: TransposeAttrs, inputs: tuple[ImageType]) -> ImageType:
    sizes = list(expect(ImageType, inputs[0], "transpose").shape)
    one, two = a.first - 1, a.second - 1
    sizes[one], sizes[two] = sizes[two], sizes[one]
    return ImageType(*sizes)


TRANSPOSE = OpSpec("transpose", "swaps two axes of an image", TransposeAttrs, _swapped, IS_LINEAR)


_LARGEST = 32
"""The largest factor; from 41 on torch's own 1 / factor in float32 takes the pixel before."""


class ResizeAttrs(Attrs):
    """`factor`: how many times as high and wide the result is."""

    factor: Pair = (1, 1)


def _resized(a: ResizeAttrs, inputs: tuple[Type, ...]) -> ImageType:
    x, *others = (expect(ImageType, value, "a resize") for value in inputs)
    _once(a, [*others], "a resize")
    if others:
        return ImageType(x.c, others[0].h, others[0].w)
    if max(a.factor) > _LARGEST:
        raise NasirError("E306", f"the factor {max(a.factor)} is above {_LARGEST}")
    return ImageType(x.c, x.h * a.factor[0], x.w * a.factor[1])


def _resize(name: str, summary: str) -> OpSpec:
    summary = f"{summary}, by a factor or to the size of a second image"
    return OpSpec(name, summary, ResizeAttrs, _resized, IS_LINEAR, arity=(1, 2))


RESIZE_NEAREST = _resize("resize_nearest", "each pixel the one at or before its place")
RESIZE_BILINEAR = _resize("resize_bilinear", "linear between the four pixels around each place")
"""Corners are not aligned: pixel i lies at (i + 1/2) * (old size / new size) - 1/2, cut to 0."""


class ConvTransposeAttrs(Attrs):
    """By default the result is `stride` times as high and wide; `bottom_right` is added there.

    With a `padding` of one's own sizes are torch's; `bottom_right` is its `output_padding`.
    """

    out: Size
    kernel: Pair
    stride: Pair = (1, 1)
    padding: MarginPair | None = None
    bottom_right: MarginPair = (0, 0)
    dilation: Pair = (1, 1)
    groups: Size = 1
    bias: bool = False

    @property
    def margins(self) -> tuple[int, int]:
        """The padding on each side, (vertical, horizontal): half of what is too much."""
        if self.padding is not None:
            return self.padding
        high, wide = self._beyond
        return (max(high + 1, 0) // 2, max(wide + 1, 0) // 2)

    @property
    def extra(self) -> tuple[int, int]:
        """The rows at the bottom and the columns at the right, torch's `output_padding`."""
        if self.padding is not None:
            return self.bottom_right
        (high, wide), (top, left) = self._beyond, self.margins
        return (2 * top - high, 2 * left - wide)

    @property
    def _beyond(self) -> tuple[int, int]:
        """By how much windows at every stride-th pixel reach beyond stride times the size."""
        sizes = zip(self.kernel, self.stride, self.dilation, strict=True)
        high, wide = (d * (k - 1) + 1 - s for k, s, d in sizes)
        return (high, wide)


def _transposed(a: ConvTransposeAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "conv_transpose2d")
    check_groups(x, a.groups, a.out)
    if a.padding is None and a.bottom_right != (0, 0):
        raise NasirError("E306", "bottom_right goes with a padding of one's own")
    for extra, stride, dilation in zip(a.extra, a.stride, a.dilation, strict=True):
        if extra >= max(stride, dilation):
            raise NasirError(
                "E306",
                f"{extra} rows or columns more are not fewer than the stride or the dilation",
                hint="choose an odd kernel, or give a padding and bottom_right",
            )
    axes = zip((x.h, x.w), a.kernel, a.stride, a.margins, a.dilation, a.extra, strict=True)
    h, w = ((n - 1) * s - 2 * p + d * (k - 1) + 1 + e for n, k, s, p, d, e in axes)
    if min(h, w) < 1:
        raise NasirError("E302", f"a margin of {a.margins} leaves nothing of {x}")
    return ImageType(a.out, h, w)


def _transposed_params(a: ConvTransposeAttrs, inputs: tuple[ImageType]) -> tuple[ParamSpec, ...]:
    """As in torch, whose initial values follow the number of results that an input adds to."""
    shape = (inputs[0].c, a.out // a.groups, *a.kernel)
    init = fan_in(prod(shape[1:]))
    weight = ParamSpec("weight", shape, init)
    return (weight, ParamSpec("bias", (a.out,), init)) if a.bias else (weight,)


def _transposed_macs(a: ConvTransposeAttrs, inputs: tuple[ImageType], _: ImageType) -> int:
    """One for each weight at each position of the input; the bias is not counted."""
    return elements(inputs[0]) * (a.out // a.groups) * prod(a.kernel)


CONV_TRANSPOSE2D = OpSpec(
    "conv_transpose2d",
    "transposed 2-d convolution, bias-free by default",
    ConvTransposeAttrs,
    _transposed,
    IS_LINEAR,
    params=_transposed_params,
    macs=_transposed_macs,
    widths=("out", "groups"),
)

_SEQUENCE = (EMBEDDING, *_DROPOUT, SCAN, LAST, DECODER, LOG_SOFTMAX)
_SHAPES = (RESHAPE, TRANSPOSE, RESIZE_NEAREST, RESIZE_BILINEAR, CONV_TRANSPOSE2D)
OPS = (MATMUL, SOFTMAX, LAYER_NORM, *_SHAPES, *_SEQUENCE)

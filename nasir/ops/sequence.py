"""Ops on tokens and sequences: embedding, recurrent dropout, and a graph applied over time."""

from typing import Annotated, ClassVar

from pydantic import Field

from nasir.errors import NasirError
from nasir.ops.layers import product_macs
from nasir.ops.spec import (
    IS_LINEAR,
    ZEROS,
    Attrs,
    BodyAttrs,
    Init,
    NoAttrs,
    OpSpec,
    ParamSpec,
    Size,
    body_params,
    body_results,
    expect,
    with_draw,
)
from nasir.types import SequenceType, TokenType, Type, VectorType, WeightsType

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
OPS = (EMBEDDING, *_DROPOUT, SCAN, LAST, DECODER, LOG_SOFTMAX)

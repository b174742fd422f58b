"""Tokens and sequences: look-up, dropout of recurrent networks, and a graph applied over time."""

from typing import Annotated, ClassVar

from pydantic import Field

from nasir.errors import NasirError
from nasir.ops.spec import (
    ZEROS,
    Attrs,
    BodyAttrs,
    Init,
    NoAttrs,
    OpSpec,
    ParamSpec,
    Size,
    body_params,
    expect_sequence,
    with_draw,
)
from nasir.types import SequenceType, TokenType, Type, VectorType, WeightsType

Bound = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


def _expect_tokens(value: Type, op: str) -> TokenType:
    if not isinstance(value, TokenType):
        raise NasirError("E305", f"{op} takes tokens, not {value}")
    return value


class WidthAttrs(Attrs):
    """`out`: length of each step; `init`: the weight starts uniform in ±init."""

    out: Size
    init: Bound = 0.04


def _embed(a: WidthAttrs, inputs: tuple[Type]) -> SequenceType:
    _expect_tokens(inputs[0], "embedding")
    return SequenceType(a.out)


def _table(a: WidthAttrs, inputs: tuple[TokenType]) -> tuple[ParamSpec, ...]:
    return (ParamSpec("weight", (inputs[0].vocabulary, a.out), Init("uniform", a.init)),)


EMBEDDING = OpSpec(
    name="embedding",
    summary="a row of the weight for each token",
    attrs=WidthAttrs,
    arity=(1, 1),
    infer=_embed,
    params=_table,
    widths=("out",),
)


class RateAttrs(Attrs):
    """`rate`: how likely a scalar is dropped; the others are divided by 1 - rate."""

    rate: Rate = 0.5


class WordDropoutAttrs(RateAttrs):
    """`vocabulary`: that of the tokens; a word that is dropped is dropped wherever it occurs."""

    vocabulary: Size


def _word_dropout(a: WordDropoutAttrs, inputs: tuple[Type, Type]) -> Type:
    tokens = _expect_tokens(inputs[1], "word_dropout")
    if tokens.vocabulary != a.vocabulary:
        message = f"word_dropout draws for {a.vocabulary} words, and its tokens are {tokens}"
        raise NasirError("E305", message)
    return expect_sequence(inputs[0], "word_dropout")


_WORD_DROPOUT = OpSpec(
    name="word_dropout",
    summary="in training, drops some words wherever they occur: (sequence, tokens)",
    attrs=WordDropoutAttrs,
    arity=(2, 2),
    infer=_word_dropout,
    traits=frozenset({"random", "training"}),
)


def _word_draw(a: WordDropoutAttrs, _inputs: tuple[Type, ...]) -> Type:
    """A number for each word."""
    return WeightsType(a.vocabulary)


WORD_DROPOUT, WORD_DROPOUT_DRAWN = with_draw(_WORD_DROPOUT, _word_draw)


def _mask(_: RateAttrs, inputs: tuple[Type]) -> VectorType:
    if not isinstance(inputs[0], (VectorType, SequenceType)):
        raise NasirError("E305", f"dropout_mask takes a sequence or a vector, not {inputs[0]}")
    return VectorType(inputs[0].c)


_DROPOUT_MASK = OpSpec(
    name="dropout_mask",
    summary="one draw of 0 or 1 / (1 - rate) for each unit of an example, of its input's width",
    attrs=RateAttrs,
    arity=(1, 1),
    infer=_mask,
    traits=frozenset({"random"}),
)

DROPOUT_MASK, DROPOUT_MASK_DRAWN = with_draw(_DROPOUT_MASK, _mask)


def _masked(_: NoAttrs, inputs: tuple[Type, Type]) -> Type:
    x, mask = inputs
    if not isinstance(x, (VectorType, SequenceType)) or mask != VectorType(x.c):
        raise NasirError("E305", f"masked takes a value and a mask of its width, not {x}, {mask}")
    return x


MASKED = OpSpec(
    name="masked",
    summary="in training, the product with a mask, the same at every step",
    attrs=NoAttrs,
    arity=(2, 2),
    infer=_masked,
    traits=frozenset({"elementwise", "training"}),
)


class ScanAttrs(BodyAttrs):
    """`body` maps (step, state, constants …) to the next state, all of them vectors."""

    FIRST_CONSTANT: ClassVar[int] = 2


def _scan(a: ScanAttrs, inputs: tuple[Type, ...]) -> SequenceType:
    sequence = expect_sequence(inputs[0], "scan")
    given = (VectorType(sequence.c), *inputs[1:])
    wanted = tuple(type_ for _, type_ in a.body.inputs)
    if given != wanted:
        steps = ", ".join(map(str, given))
        raise NasirError(
            "E305", f"the body takes ({', '.join(map(str, wanted))}), scan gives it ({steps})"
        )
    results = tuple(a.body.types[name] for name in a.body.outputs)
    if results != inputs[1:2]:
        raise NasirError(
            "E305",
            f"the body returns ({', '.join(map(str, results))}), its state is {inputs[1]}",
            hint="a body returns the next state alone",
        )
    return SequenceType(results[0].shape[0])


SCAN = OpSpec(
    name="scan",
    summary="a body at every step of a sequence: (sequence, first state, constants …) -> states",
    attrs=ScanAttrs,
    arity=(2, None),
    infer=_scan,
    params=body_params,
)


def _last(_: NoAttrs, inputs: tuple[Type]) -> VectorType:
    return VectorType(expect_sequence(inputs[0], "last").c)


LAST = OpSpec(
    name="last",
    summary="the last step of a sequence",
    attrs=NoAttrs,
    arity=(1, 1),
    infer=_last,
    traits=frozenset({"linear"}),
)


def _decode(a: WidthAttrs, inputs: tuple[Type]) -> SequenceType:
    expect_sequence(inputs[0], "decoder")
    return SequenceType(a.out)


def _decoder_params(a: WidthAttrs, inputs: tuple[SequenceType]) -> tuple[ParamSpec, ...]:
    weight = ParamSpec("weight", (a.out, inputs[0].c), Init("uniform", a.init))
    return (weight, ParamSpec("bias", (a.out,), ZEROS))


def _decoder_macs(a: WidthAttrs, inputs: tuple[SequenceType], _: SequenceType) -> int:
    """One for each weight, at one step; the bias is not counted."""
    return a.out * inputs[0].c


DECODER = OpSpec(
    name="decoder",
    summary="linear map of every step; its bias starts at 0",
    attrs=WidthAttrs,
    arity=(1, 1),
    infer=_decode,
    params=_decoder_params,
    macs=_decoder_macs,
    traits=frozenset({"linear"}),
    widths=("out",),
)


def _log_softmax(_: NoAttrs, inputs: tuple[Type]) -> Type:
    if not isinstance(inputs[0], (VectorType, SequenceType)):
        raise NasirError("E305", f"log_softmax takes a vector or a sequence, not {inputs[0]}")
    return inputs[0]


LOG_SOFTMAX = OpSpec(
    name="log_softmax",
    summary="logarithms of the softmax over the channels",
    attrs=NoAttrs,
    arity=(1, 1),
    infer=_log_softmax,
)

OPS = (
    EMBEDDING,
    WORD_DROPOUT,
    WORD_DROPOUT_DRAWN,
    DROPOUT_MASK,
    DROPOUT_MASK_DRAWN,
    MASKED,
    SCAN,
    LAST,
    DECODER,
    LOG_SOFTMAX,
)

"""Fused ops, made by passes for targets that have rules for them.

A *unit* is a step of a chain: ReLU, a window (depthwise convolution or pool), a product (1x1
convolution) and a batch norm without weights, in this order, each optional. `OpSpec.unit` maps an
op to its unit.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from math import prod

from nasir.errors import NasirError
from nasir.ops.arithmetic import POINTWISE
from nasir.ops.layers import CONV2D, slid
from nasir.ops.spec import (
    ONES,
    ZEROS,
    Attrs,
    BodyAttrs,
    ChainUnit,
    Init,
    Margin,
    MarginPair,
    OpSpec,
    Pair,
    ParamSpec,
    Size,
    Trait,
    body_params,
    body_results,
    expect,
    fan_in,
)
from nasir.types import ImageType, Type, VectorType, WeightsType

Factor = tuple[Margin, Margin]
"""The number of an input with a choice's weights, and an index into them."""


class MixedChain(Attrs):
    """A chain that starts from input number `value`, and the coefficient of its result.

    The coefficient is the sum of the products of factors in `products`, or 1 without products.
    """

    value: Margin
    units: tuple[ChainUnit, ...] = ()
    products: tuple[tuple[Factor, ...], ...] = ()


class MixedSumAttrs(Attrs):
    """`recompute`: training saves the inputs alone and recomputes the rest for backward."""

    terms: tuple[MixedChain, ...]
    recompute: bool = False


def unit_type(unit: ChainUnit, x: ImageType) -> ImageType:
    """The type of a unit's result."""
    if unit.window:
        x = slid(x, unit.kernel, unit.stride, unit.padding, unit.dilation)
    return replace(x, c=unit.product) if unit.product else x


def _infer(a: MixedSumAttrs, inputs: tuple[Type, ...]) -> ImageType:
    results: list[ImageType] = []
    for term in a.terms:
        if term.value >= len(inputs):
            raise NasirError("E306", f"mixed_sum has no input {term.value}")
        _check_factors("mixed_sum", term.products, inputs)
        x = expect(ImageType, inputs[term.value], "mixed_sum")
        results.append(reduce(lambda type_, unit: unit_type(unit, type_), term.units, x))
    for other in results:
        if other != results[0]:
            raise NasirError("E305", f"mixed_sum adds values of {results[0]} and {other}")
    if not results:
        raise NasirError("E306", "mixed_sum needs a term")
    return results[0]


def _check_factors(
    op: str, products: tuple[tuple[Factor, ...], ...], inputs: tuple[Type, ...]
) -> None:
    for at, entry in (factor for factors in products for factor in factors):
        weights = inputs[at] if at < len(inputs) else None
        if not isinstance(weights, WeightsType) or entry >= weights.options:
            raise NasirError("E306", f"{op} has no weight {entry} at its input {at}")


def _units(
    a: MixedSumAttrs, inputs: tuple[Type, ...]
) -> Iterator[tuple[str, ChainUnit, ImageType, ImageType]]:
    """The stem of each unit's parameter names, the unit, and the types before and after it."""
    for number, term in enumerate(a.terms):
        x = expect(ImageType, inputs[term.value], "mixed_sum")
        for place, unit in enumerate(term.units):
            before, x = x, unit_type(unit, x)
            yield f"t{number}u{place}", unit, before, x


def _params(a: MixedSumAttrs, inputs: tuple[Type, ...]) -> tuple[ParamSpec, ...]:
    """Parameters of each unit of each term: depthwise weight, product's, running statistics."""
    specs: list[ParamSpec] = []
    for stem, unit, x, y in _units(a, inputs):
        if unit.window == "depthwise":
            shape = (x.c, 1, *unit.kernel)
            specs.append(ParamSpec(f"{stem}dw", shape, fan_in(prod(unit.kernel))))
        if unit.product:
            kernel = unit.kernel if unit.window == "dense" else (1, 1)
            init = fan_in(x.c * prod(kernel))
            outs = (y.c // 2, y.c - y.c // 2) if unit.window == "factorized" else (y.c,)
            for stem_, out in zip((stem, f"{stem}odd"), outs, strict=False):
                specs.append(ParamSpec(f"{stem_}pw", (out, x.c, *kernel), init))
        if unit.eps is not None:
            specs.append(ParamSpec(f"{stem}mean", (y.c,), ZEROS, buffer=True))
            specs.append(ParamSpec(f"{stem}var", (y.c,), ONES, buffer=True))
    return tuple(specs)


def _macs(a: MixedSumAttrs, inputs: tuple[Type, ...], _: ImageType) -> int:
    """The weights of the depthwise convolutions and of the products."""
    total = 0
    for _stem, unit, x, y in _units(a, inputs):
        taps = prod(unit.kernel)
        weights = x.c * taps if unit.window == "depthwise" else 0
        product = x.c * y.c * (taps if unit.window == "dense" else 1) if unit.product else 0
        total += y.h * y.w * (weights + product)
    return total


MIXED_SUM = OpSpec(
    "mixed_sum",
    "sum of chains of units, each times weights of choices: (values and weights …)",
    MixedSumAttrs,
    _infer,
    frozenset({"stateful", "state", "fused"}),
    arity=(1, None),
    params=_params,
    macs=_macs,
)


class ConvBankAttrs(Attrs):
    """Convolutions that read one value, with `outs` channels each, and are the same otherwise.

    With `rows` and `columns` they are 1x1, at these positions of the window `kernel`.
    """

    outs: tuple[Size, ...]
    kernel: Pair
    stride: Pair = (1, 1)
    padding: MarginPair = (0, 0)
    dilation: Pair = (1, 1)
    rows: tuple[Margin, ...] = ()
    columns: tuple[Margin, ...] = ()

    @property
    def weights(self) -> Pair:
        """The height and width of each weight."""
        return (1, 1) if self.rows else self.kernel


def _bank(a: ConvBankAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "conv_bank")
    return replace(slid(x, a.kernel, a.stride, a.padding, a.dilation), c=sum(a.outs))


def _bank_params(a: ConvBankAttrs, inputs: tuple[ImageType]) -> tuple[ParamSpec, ...]:
    c = inputs[0].c
    init = fan_in(c * prod(a.weights))
    return tuple(ParamSpec(f"weight{i}", (o, c, *a.weights), init) for i, o in enumerate(a.outs))


def _bank_macs(a: ConvBankAttrs, inputs: tuple[ImageType], y: ImageType) -> int:
    return y.h * y.w * y.c * inputs[0].c * prod(a.weights)


CONV_BANK = OpSpec(
    "conv_bank",
    "several convolutions of one value, concatenated",
    ConvBankAttrs,
    _bank,
    frozenset({"linear", "fused"}),
    params=_bank_params,
    macs=_bank_macs,
)


DEPTHWISE_CONV = replace(
    CONV2D,
    name="depthwise_conv",
    summary="a depthwise convolution without stride and bias",
    traits=frozenset({"linear", "fused"}),
    unit=None,
)


FUNCTIONS = ("", *(op.name for op in POINTWISE))
"""Elementwise functions that a highway can have as f; "" is the identity."""


class Branch(Attrs):
    """A function of a highway, and the coefficient of its result (see `MixedChain`)."""

    function: str = ""
    products: tuple[tuple[Factor, ...], ...] = ()


class Highway(Attrs):
    """Functions that share a state s and halves [c, g] of x W: each is s + σ(c)·(f(g) - s).

    `state` and `value` are the numbers of the inputs s and x.
    """

    state: Margin
    value: Margin
    branches: tuple[Branch, ...]


class HighwaySumAttrs(Attrs):
    """`init`: the weight starts uniform in ±init."""

    highways: tuple[Highway, ...]
    init: float = 0.04


def _highways(a: HighwaySumAttrs, inputs: tuple[Type, ...]) -> VectorType:
    types: dict[str, set[VectorType]] = {"state": set(), "value": set()}
    for highway in a.highways:
        for role, at in (("state", highway.state), ("value", highway.value)):
            if at >= len(inputs):
                raise NasirError("E306", f"highway_sum has no input {at}")
            types[role].add(expect(VectorType, inputs[at], "highway_sum"))
        for branch in highway.branches:
            if branch.function not in FUNCTIONS:
                raise NasirError("E306", f"highway_sum has no function '{branch.function}'")
            _check_factors("highway_sum", branch.products, inputs)
    if not a.highways or not all(highway.branches for highway in a.highways):
        raise NasirError("E306", "highway_sum needs a highway, and each a branch")
    for found in types.values():
        if len(found) > 1:
            first, second, *_ = sorted(found, key=str)
            raise NasirError("E305", f"highway_sum adds values of {first} and {second}")
    return types["state"].pop()


def _gates(a: HighwaySumAttrs, inputs: tuple[Type, ...]) -> tuple[ParamSpec, ...]:
    first = a.highways[0]
    c = expect(VectorType, inputs[first.state], "highway_sum").c
    rows = expect(VectorType, inputs[first.value], "highway_sum").c
    return (ParamSpec("weight", (rows, 2 * c), Init("uniform", a.init)),)


def _gate_macs(a: HighwaySumAttrs, inputs: tuple[Type, ...], _: VectorType) -> int:
    """The weights of one product for each highway."""
    (weight,) = _gates(a, inputs)
    return len(a.highways) * prod(weight.shape)


HIGHWAY_SUM = OpSpec(
    "highway_sum",
    "sum of highways with one weight, each times weights of choices: (values, weights …)",
    HighwaySumAttrs,
    _highways,
    frozenset({"fused"}),
    arity=(2, None),
    params=_gates,
    macs=_gate_macs,
)


class CallAttrs(BodyAttrs):
    """`body` computes the node's value from its inputs."""


def _call(a: CallAttrs, inputs: tuple[Type, ...]) -> Type:
    results = body_results(a, inputs, "the node")
    if len(results) != 1:
        returned = ", ".join(map(str, results))
        raise NasirError("E305", f"the body returns ({returned}), the node has one")
    return results[0]


def _calling(name: str, summary: str, *traits: Trait) -> OpSpec:
    every = frozenset[Trait]({"fused", *traits})
    return OpSpec(name, summary, CallAttrs, _call, every, (1, None), body_params)


CALL = _calling("call", "a body, lowered to a function")
RECOMPUTE = _calling(
    "recompute",
    "a body that is recomputed for backward: training saves its inputs alone",
    "recomputed",
)

OPS = (MIXED_SUM, CONV_BANK, DEPTHWISE_CONV, HIGHWAY_SUM, RECOMPUTE, CALL)

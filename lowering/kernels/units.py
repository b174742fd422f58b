"""The terms of a mixed sum: chains of units, the shapes they make, their code for the library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Window = Literal["", "depthwise", "max", "avg", "dense", "factorized"]
Image = tuple[int, int, int]  # channels, height, width

_LANES = 16
"""A multiple of the values in any processor's vector."""

_WINDOWS: dict[Window, int] = {
    "": 0,
    "depthwise": 1,
    "max": 2,
    "avg": 3,
    "dense": 4,
    "factorized": 5,
}


@dataclass(frozen=True, slots=True)
class KernelUnit:
    """A step of a chain: [relu] -> [window] -> [1x1 convolution without bias] -> [norm].

    A dense window is one with the product: a convolution of all channels, whose weight is
    (Cout, Cin, h, w). A factorized one has kernel and stride (2, 2) and is the join of two products
    with weights of their own, of the pixels at even and at odd places. A maximum's padding is never
    the maximum and an average does not count it. The norm is a batch norm without weight and bias,
    by the batch's own statistics, which running ones follow by `momentum`; `eps=None` leaves it
    out. A unit without a window may stride.
    """

    relu: bool = False
    window: Window = ""
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    product: bool = False
    eps: float | None = None
    momentum: float = 0.1


@dataclass(frozen=True, slots=True)
class KernelChain:
    """A chain of units that starts from the value of that number; no units: the value itself."""

    value: int
    units: tuple[KernelUnit, ...] = ()


@dataclass(frozen=True, slots=True)
class SumLayout:
    """The layout of a mixed sum: its code for the library, its image, its norms' channels.

    `numbers` are eps and momentum of each unit.
    """

    code: tuple[int, ...]
    numbers: tuple[float, ...]
    out: Image
    norms: tuple[int, ...]
    terms: int


def weight_count(terms: Sequence[KernelChain]) -> int:
    """The number of weights that `terms` read: one a depthwise window, product or half of one."""
    units = [unit for term in terms for unit in term.units]
    return sum((u.window in ("depthwise", "factorized")) + u.product for u in units)


def lay_out(
    terms: tuple[KernelChain, ...],
    images: int,
    values: tuple[Image, ...],
    weights: tuple[tuple[int, ...], ...],
) -> SumLayout:
    """The layout of `terms` over values and weights of these shapes.

    Raises TypeError where a weight does not fit, or two terms make different images.
    """
    flat = not any(term.units for term in terms)
    laid = map(_flat, values) if flat else values
    code = [images, len(values), *(size for value in laid for size in value), len(terms)]
    numbers: list[float] = []
    norms: list[int] = []
    made: set[Image] = set()
    left = iter(weights)
    for term in terms:
        code += [term.value, len(term.units)]
        image = values[term.value]
        for unit in term.units:
            if unit.window == "depthwise":
                _check(next(left), (image[0], 1, *unit.kernel))
            channels = image[0]
            if unit.product:
                weight = next(left)
                channels = weight[0]
                kernel = unit.kernel if unit.window == "dense" else (1, 1)
                _check(weight, (channels, image[0], *kernel))
                if unit.window == "factorized":
                    other = next(left)
                    half = channels if other[0] == channels else channels + 1
                    _check(other, (half, image[0], 1, 1))
                    channels += other[0]
            image = _after(unit, image, channels)
            code += _unit_code(unit, channels)
            numbers += [unit.eps or 0.0, unit.momentum]
            if unit.eps is not None:
                norms.append(channels)
        made.add(image)
    if len(made) != 1:
        raise TypeError(f"the terms make different images: {sorted(made)}")
    return SumLayout(tuple(code), tuple(numbers), made.pop(), tuple(norms), len(terms))


def _flat(image: Image) -> Image:
    """An image of as many values in whole vectors: channels mean nothing to a sum of values."""
    count = math.prod(image)
    return image if count % _LANES else (_LANES, 1, count // _LANES)


def _after(unit: KernelUnit, image: Image, channels: int) -> Image:
    sizes = [
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, dilation, padding in zip(
            image[1:], unit.kernel, unit.stride, unit.dilation, unit.padding, strict=True
        )
    ]
    if min(sizes) < 1:
        raise TypeError(f"{unit} does not fit an image of {image[1]} x {image[2]}")
    return channels, sizes[0], sizes[1]


def _unit_code(unit: KernelUnit, channels: int) -> list[int]:
    window: Window = unit.window
    if not window and unit.stride != (1, 1):
        window = "avg"  # of one value
    code = [int(unit.relu), _WINDOWS[window]]
    for axis in range(2):
        code += [
            unit.kernel[axis],
            unit.stride[axis],
            unit.dilation[axis],
            unit.padding[axis],
        ]
    return [*code, int(unit.product), channels, int(unit.eps is not None)]


def _check(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise TypeError(f"a weight is {shape}, its unit needs {expected}")

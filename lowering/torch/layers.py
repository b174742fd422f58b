"""Convolutions, norms, pools, functions, sums, linear maps, mixtures and noise in torch."""

import operator
from collections.abc import Callable, Mapping
from functools import reduce
from itertools import accumulate
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lowering import kernels
from lowering.torch.code import Variable
from lowering.torch.ranks import synchronised_norm
from lowering.torch.rule import Emit, TorchEmitter, follow_batch
from nasir.ops import Attrs, NoAttrs
from nasir.ops.arithmetic import MixAttrs, StrideAttrs
from nasir.ops.layers import (
    AvgPoolAttrs,
    BatchNormAttrs,
    ChannelsAttrs,
    ChannelShuffleAttrs,
    ChunkAttrs,
    ConvAttrs,
    CropAttrs,
    GroupNormAttrs,
    MaxPoolAttrs,
    PadAttrs,
    SquareAttrs,
)
from nasir.ops.sequence import (
    AxisAttrs,
    ConvTransposeAttrs,
    LayerNormAttrs,
    MatmulAttrs,
    ReshapeAttrs,
    ResizeAttrs,
    TransposeAttrs,
)

_THIN = 16
"""Images of fewer channels are strided before a 1x1 convolution, not by it."""


def whole(value: Tensor) -> Tensor:
    """A copy of the value, in channels_last if the value is."""
    last = value.dim() == 4 and value.stride(1) == 1 and value.shape[1] > 1
    return value.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def strided_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int]
) -> Tensor:
    """A 1x1 convolution with a stride, for training.

    In torch 2.13, oneDNN writes beyond the gradient that it computes of such a convolution where
    the image is channels_last and has 8 channels or fewer.
    """
    if x.shape[1] >= _THIN or x.stride(1) != 1:
        return F.conv2d(x, weight, bias, stride)
    return F.conv2d(whole(x[..., :: stride[0], :: stride[1]]), weight, bias)


def _conv2d(
    e: TorchEmitter, a: ConvAttrs, x: Variable, weight: Variable, bias: Variable | None = None
) -> Variable:
    pointwise = a.kernel == (1, 1) and a.margins == (0, 0) and a.groups == 1
    if e.training and pointwise and max(a.stride) > 1:
        return e.call(strided_product, x, weight, bias, a.stride)
    return e.call(F.conv2d, x, weight, bias, a.stride, a.margins, a.dilation, a.groups)


class _Crop(torch.autograd.Function):
    """An image without its first rows and columns; the gradient has the image's memory format."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: int, left: int) -> Tensor:
        ctx.margin = (left, 0, top, 0)
        return x[..., top:, left:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride] - torch's is for any number
        return F.pad(whole(gradients[0]), ctx.margin), None, None


# torch leaves what `apply` returns untyped.
_cropped = cast("Callable[..., Tensor]", _Crop.apply)  # pyright: ignore[reportUnknownMemberType] - as above


def crop(x: Tensor, top: int, left: int) -> Tensor:
    """An image without its first rows and columns, for training."""
    if torch.compiler.is_compiling():  # which lays out gradients itself
        return x[..., top:, left:]
    return _cropped(x, top, left)


def _crop(e: TorchEmitter, a: CropAttrs, x: Variable) -> Variable:
    if e.training:
        return e.call(crop, x, a.top, a.left)
    return e.call(operator.getitem, x, (..., slice(a.top, None), slice(a.left, None)))


def _pad(e: TorchEmitter, a: PadAttrs, x: Variable) -> Variable:
    return e.call(F.pad, x, (0, a.right, 0, a.bottom))


def _channels(e: TorchEmitter, a: ChannelsAttrs, x: Variable) -> Variable:
    """Pieces of one value are cut at once, and so is their gradient."""
    spans = tuple(zip(accumulate(e.pieces, initial=0), e.pieces, strict=False))
    if (a.start, a.count) in spans:
        pieces = e.once(torch.split, x, e.pieces, 1)
        return e.call(operator.getitem, pieces, spans.index((a.start, a.count)))
    return e.call(operator.getitem, x, (slice(None), slice(a.start, a.start + a.count)))


def _shuffle(e: TorchEmitter, a: ChannelShuffleAttrs, x: Variable) -> Variable:
    """A copy with the same memory format."""
    return e.call(F.channel_shuffle, x, a.groups)


def shared_norm(x: Tensor, momentum: float, eps: float, *statistics: Tensor) -> Tensor:
    """x normalised by the batch's statistics, which all running means and variances follow."""
    size = x.numel() // x.shape[1]
    result, mean, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
    if not statistics:
        return result
    with torch.no_grad():
        mean, inverse = mean.to(statistics[0].dtype), inverse.to(statistics[0].dtype)
        unbiased = (inverse**-2 - eps) * (size / max(size - 1, 1))
        follow_batch(statistics, mean, unbiased, momentum)
    return result


def _batch_norm(e: TorchEmitter, a: BatchNormAttrs, x: Variable, *weights: Variable) -> Variable:
    """In training the batch's statistics, and the running ones updated; else the running ones."""
    affine, statistics = weights[: 2 * a.affine], weights[2 * a.affine :]
    if e.training and e.together:
        followed = statistics if e.follow else ()
        return e.call(synchronised_norm, x, a.momentum, a.eps, followed, *affine)
    if a.copies > 1:
        assert e.training, "in evaluation every copy has values of its own"
        return e.call(shared_norm, x, a.momentum, a.eps, *(statistics if e.follow else ()))
    mean, variance = statistics
    weight, bias = (_contiguous(e, each) for each in affine) if affine else (None, None)
    if e.training and not e.follow:
        mean = variance = None
    return e.call(F.batch_norm, x, mean, variance, weight, bias, e.training, a.momentum, a.eps)


def _group_norm(e: TorchEmitter, a: GroupNormAttrs, x: Variable, *affine: Variable) -> Variable:
    weight, bias = affine or (None, None)
    return e.call(F.group_norm, x, a.groups, weight, bias, a.eps)


def _contiguous(e: TorchEmitter, weight: Variable) -> Variable:
    """A weight from outside, contiguous: else torch 2.13 gets gradients in channels_last wrong."""
    own = getattr(weight, "own", False)  # what runs at once has tensors here
    return weight if own or not e.training else e.call(torch.Tensor.contiguous, weight)


def _max_pool(e: TorchEmitter, a: MaxPoolAttrs, x: Variable) -> Variable:
    return e.call(F.max_pool2d, x, a.kernel, a.stride, a.padding)


def _avg_pool(e: TorchEmitter, a: AvgPoolAttrs, x: Variable) -> Variable:
    size = (a.kernel, a.stride, a.padding)
    return e.call(F.avg_pool2d, x, *size, count_include_pad=a.count_padding)


def _add(e: TorchEmitter, _: NoAttrs, *terms: Variable) -> Variable:
    """From left to right, so that rounding is the same everywhere."""
    return reduce(lambda x, y: e.call(operator.add, x, y), terms)


def _mean(e: TorchEmitter, a: NoAttrs, *terms: Variable) -> Variable:
    return e.call(torch.div, _add(e, a, *terms), len(terms))


class _Concat(torch.autograd.Function):
    """Concatenates values; each gradient has the memory format of its value.

    torch hands back slices of the whole's gradient, and its batch norms and sums are several times
    slower on those than on whole images; mixed sums copy them anyhow.
    """

    @staticmethod
    def forward(ctx: Any, *values: Tensor) -> Tensor:
        ctx.widths = [value.shape[1] for value in values]
        return torch.cat(values, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] - torch's is for any number
        gradient: Any = gradients[0]
        return tuple(map(whole, gradient.split(ctx.widths, 1)))


# torch leaves what `apply` returns untyped.
_joined = cast("Callable[..., Tensor]", _Concat.apply)  # pyright: ignore[reportUnknownMemberType] - as above


def concat(*values: Tensor) -> Tensor:
    """The values side by side along channels, for training."""
    if torch.compiler.is_compiling() or all(map(kernels.is_sum, values)):
        return torch.cat(values, 1)
    return _joined(*values)


def _concat(e: TorchEmitter, _: NoAttrs, *inputs: Variable) -> Variable:
    return e.call(concat, *inputs) if e.training else e.call(torch.cat, inputs, 1)


def _chunk(e: TorchEmitter, a: ChunkAttrs, x: Variable) -> Variable:
    """Parts of one vector are cut once."""
    parts = e.once(torch.chunk, x, a.of, -1)
    return e.call(operator.getitem, parts, a.part)


def _calls(function: Callable[..., Tensor], *more: Any) -> Emit:
    """A function of the values and then `more`."""

    def emit(e: TorchEmitter, _: Attrs, *values: Variable) -> Variable:
        return e.call(function, *values, *more)

    return emit


def _strided(e: TorchEmitter, a: StrideAttrs, x: Variable) -> Variable:
    if a.stride == (1, 1):
        return x
    steps = (..., slice(None, None, a.stride[0]), slice(None, None, a.stride[1]))
    return e.call(operator.getitem, x, steps)


def _zero(e: TorchEmitter, a: StrideAttrs, x: Variable) -> Variable:
    """Plain zeros: a NaN in the input does not pass, unlike 0 * x."""
    return e.call(torch.zeros_like, _strided(e, a, x))


def _gaussian(e: TorchEmitter, a: StrideAttrs, x: Variable) -> Variable:
    """Drawn in the order of (N, C, H, W), so that memory formats have the same draws."""
    like = _strided(e, a, x)
    return e.call(torch.randn_like, like, memory_format=torch.contiguous_format)


@torch.library.custom_op("nasir::gaussian", mutates_args=())
def _from_seed(like: Tensor, seed: Tensor) -> Tensor:
    """N(0, 1) of the shape of `like`, in the order of (N, C, H, W), from a seed on the host.

    `seed` is followed by the number of the first example in the batch, and of all examples. An op
    of its own, because what torch.compile traces cannot make a generator.
    """
    number, first, total = map(int, seed)
    generator = torch.Generator(like.device).manual_seed(number)
    shape = (total, *like.shape[1:])
    drawn = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    return drawn[first : first + len(like)].clone() if total > len(like) else drawn


@_from_seed.register_fake  # pyright: ignore[reportUnknownMemberType]  # torch leaves it partly untyped
def _(like: Tensor, seed: Tensor) -> Tensor:
    del seed
    return torch.empty_like(like, memory_format=torch.contiguous_format)


def gaussian(like: Tensor, seed: Tensor) -> Tensor:
    """N(0, 1) of the shape of `like`, which no gradient reaches."""
    return _from_seed(like.detach(), seed)


def _gaussian_drawn(e: TorchEmitter, a: StrideAttrs, x: Variable, seed: Variable) -> Variable:
    return e.call(gaussian, _strided(e, a, x), seed)


def _frozen(e: TorchEmitter, a: StrideAttrs, x: Variable, noise: Variable) -> Variable:
    return e.call(torch.Tensor.expand_as, noise, _strided(e, a, x))


def _mix(e: TorchEmitter, a: MixAttrs, mixture: Variable, *values: Variable) -> Variable:
    """From left to right, as the papers' code adds."""
    entries = e.call(torch.Tensor.unbind, mixture)
    terms = [
        e.call(operator.mul, value, e.call(operator.getitem, entries, option))
        for value, option in zip(values, a.options, strict=True)
    ]
    return _add(e, NoAttrs(), *terms)


def drop_path(x: Tensor, probability: Tensor, draw: Tensor) -> Tensor:
    """Each example of (N, …) by itself is zero with this probability, of shape (1,).

    `draw` are numbers in [0, 1), of shape (N, 1).
    """
    keep = 1.0 - probability
    mask = (draw < keep) / keep
    return x * mask.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))


def _drop_path(e: TorchEmitter, _: NoAttrs, *inputs: Variable) -> Variable:
    return e.call(_drop_path_anew, *inputs) if e.training else inputs[0]


def _drop_path_anew(x: Tensor, probability: Tensor) -> Tensor:
    return drop_path(x, probability, torch.rand(x.shape[0], 1, device=x.device))


def _drop_path_drawn(e: TorchEmitter, _: NoAttrs, *inputs: Variable) -> Variable:
    return e.call(drop_path, *inputs) if e.training else inputs[0]


def product(
    x: Tensor, y: Tensor, transpose_first: bool, transpose_second: bool, scaled: bool
) -> Tensor:
    """The matrix product of the last two axes; the first factor is what is scaled."""
    x = x.mT if transpose_first else x
    return (x / x.shape[-1] ** 0.5 if scaled else x) @ (y.mT if transpose_second else y)


def _matmul(e: TorchEmitter, a: MatmulAttrs, x: Variable, y: Variable) -> Variable:
    return e.call(product, x, y, a.transpose_first, a.transpose_second, a.scaled)


def _softmax(e: TorchEmitter, a: AxisAttrs, x: Variable) -> Variable:
    return e.call(F.softmax, x, a.axis)


def layer_norm(
    x: Tensor, axis: int, eps: float, weight: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """Layer norm along one axis."""
    last = x.movedim(axis, -1)
    return F.layer_norm(last, last.shape[-1:], weight, bias, eps).movedim(-1, axis)


def _layer_norm(e: TorchEmitter, a: LayerNormAttrs, x: Variable, *affine: Variable) -> Variable:
    return e.call(layer_norm, x, a.axis, a.eps, *affine)


def reshape(x: Tensor, *sizes: int) -> Tensor:
    """Each example in another shape."""
    return x.reshape(len(x), *sizes)


def _reshape(e: TorchEmitter, a: ReshapeAttrs, x: Variable, *like: Variable) -> Variable:
    return e.call(torch.Tensor.reshape_as, x, *like) if like else e.call(reshape, x, *a.sizes)


def _transpose(e: TorchEmitter, a: TransposeAttrs, x: Variable) -> Variable:
    return e.call(torch.transpose, x, a.first, a.second)


def _blocks(function: Callable[[Tensor, int], Tensor]) -> Emit:
    def emit(e: TorchEmitter, a: SquareAttrs, x: Variable) -> Variable:
        return e.call(function, x, a.block)

    return emit


def resize(x: Tensor, like: Tensor, mode: str) -> Tensor:
    """The image in the height and width of another."""
    return F.interpolate(x, like.shape[-2:], mode=mode)


def _resize(mode: str) -> Emit:
    def emit(e: TorchEmitter, a: ResizeAttrs, x: Variable, *like: Variable) -> Variable:
        if like:
            return e.call(resize, x, *like, mode)
        return e.call(F.interpolate, x, scale_factor=a.factor, mode=mode)

    return emit


def _conv_transpose2d(
    e: TorchEmitter,
    a: ConvTransposeAttrs,
    x: Variable,
    weight: Variable,
    bias: Variable | None = None,
) -> Variable:
    sizes = (a.stride, a.margins, a.extra, a.groups, a.dilation)
    return e.call(F.conv_transpose2d, x, weight, bias, *sizes)


RULES: Mapping[str, Emit] = {
    "conv2d": _conv2d,
    "crop": _crop,
    "pad": _pad,
    "channels": _channels,
    "channel_shuffle": _shuffle,
    "space_to_depth": _blocks(F.pixel_unshuffle),
    "depth_to_space": _blocks(F.pixel_shuffle),
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_pool": _calls(F.adaptive_avg_pool2d, (1, 1)),
    "relu": _calls(F.relu),
    "sigmoid": _calls(torch.sigmoid),
    "tanh": _calls(torch.tanh),
    "silu": _calls(F.silu),
    "hardsigmoid": _calls(F.hardsigmoid),
    "hardswish": _calls(F.hardswish),
    "gelu": _calls(F.gelu),
    "matmul": _matmul,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "reshape": _reshape,
    "transpose": _transpose,
    "resize_nearest": _resize("nearest"),
    "resize_bilinear": _resize("bilinear"),
    "conv_transpose2d": _conv_transpose2d,
    "add": _add,
    "mul": _calls(operator.mul),
    "concat": _concat,
    "sub": _calls(operator.sub),
    "mean": _mean,
    "flatten": _calls(torch.flatten, 1),
    "linear": _calls(F.linear),
    "project": _calls(torch.matmul),
    "chunk": _chunk,
    "zero": _zero,
    "gaussian": _gaussian,
    "gaussian_drawn": _gaussian_drawn,
    "frozen_gaussian": _frozen,
    "mix": _mix,
    "drop_path": _drop_path,
    "drop_path_drawn": _drop_path_drawn,
}

"""Depthwise convolutions of large windows, whose gradients torch computes slowly on a CPU."""

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lowering.kernels import lend

Pair = tuple[int, int]

_conv_backward: Any = torch.ops.aten.convolution_backward  # it has no other name

_COLUMNS = 3
"""oneDNN's gradients of weights of more columns take ten times as long."""


def depthwise_conv(x: Tensor, weight: Tensor, padding: Pair, dilation: Pair) -> Tensor:
    """A depthwise convolution without stride and bias, for training on a CPU."""
    sizes = (*x.shape[2:], *padding)
    whole = all(size % step == 0 for size, step in zip(sizes, dilation * 2, strict=True))
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    keeps = all(2 * p == r for p, r in zip(padding, reach, strict=True))
    half = torch.is_autocast_enabled(x.device.type)
    plain = half or x.device.type != "cpu" or torch.compiler.is_compiling()
    if plain or not (whole and keeps):
        return F.conv2d(x, weight, None, 1, padding, dilation, x.shape[1])
    # torch has no type for what `apply` returns.
    return _DepthwiseConv.apply(x, weight, padding, dilation)  # pyright: ignore[reportReturnType, reportUnknownMemberType, reportUnknownVariableType]


class _DepthwiseConv(torch.autograd.Function):
    """The image's gradient is the convolution of what is given with the weight turned by 180°.

    The weight's, with a dilation d, is that of a convolution without one of every d-th pixel, for
    each first pixel.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.margins = padding, dilation
        return F.conv2d(x, weight, None, 1, padding, dilation, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] - torch's is for any number
        x, weight = cast("tuple[Tensor, Tensor]", ctx.saved_tensors)
        padding, dilation = cast("tuple[Pair, Pair]", ctx.margins)
        grad_x = grad_weight = None
        if torch.is_grad_enabled():  # these are differentiated in turn, which torch can do
            wanted = (*ctx.needs_input_grad[:2], False)
            fixed = (None, (1, 1), padding, dilation, False, (0, 0), x.shape[1], wanted)
            return *_conv_backward(gradients[0], x, weight, *fixed)[:2], None, None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(2, 3)
            grad_x = F.conv2d(gradients[0], turned, None, 1, padding, dilation, x.shape[1])
        if ctx.needs_input_grad[1]:
            gradient = gradients[0]
            if max(dilation) > 1:
                gradient, x = _phases(gradient, dilation), _phases(x, dilation)
            less = padding[0] // dilation[0], padding[1] // dilation[1]
            grad_weight = _by_columns(gradient, x, weight, less)
        return grad_x, grad_weight, None, None


def _phases(x: Tensor, dilation: Pair) -> Tensor:
    """Every d-th pixel, as images (d·d·N, C, H / d, W / d) by the place of the first one."""
    n, c, h, w = x.shape
    dh, dw = dilation
    split = x.permute(0, 2, 3, 1).reshape(n, h // dh, dh, w // dw, dw, c)
    images = split.permute(2, 4, 0, 1, 3, 5).reshape(-1, h // dh, w // dw, c)
    return images.permute(0, 3, 1, 2)


def _by_columns(gradient: Tensor, x: Tensor, weight: Tensor, padding: Pair) -> Tensor:
    """The weight's gradient, of a few of its columns at a time.

    With margins of its own, an image that starts three pixels later is one whose rows are moved by
    three pixels: what comes in from the next row meets a gradient of 0.
    """
    columns, (n, c, height, width) = weight.shape[3], x.shape
    if columns <= _COLUMNS:
        return _weight_gradient(gradient, x, weight, padding)
    wide = width + 2 * padding[1]
    size, starts = n * height * wide, range(0, columns, _COLUMNS)
    pixels = lend(((size + starts[-1]) * c,), x.dtype).view(-1, c).zero_()
    inner = slice(padding[1], padding[1] + width)
    pixels[:size].view(n, height, wide, c)[:, :, inner] = x.permute(0, 2, 3, 1)
    shape = n, gradient.shape[2], wide - _COLUMNS + 1, c
    given = lend((math.prod(shape),), x.dtype).view(shape).zero_()
    given[:, :, : gradient.shape[3]] = gradient.permute(0, 2, 3, 1)
    moved = [pixels[at : at + size].view(n, height, wide, c).permute(0, 3, 1, 2) for at in starts]
    narrow, fixed = weight[..., :_COLUMNS], (padding[0], 0)
    parts = [_weight_gradient(given.permute(0, 3, 1, 2), each, narrow, fixed) for each in moved]
    return torch.cat(parts, 3)[..., :columns]


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, padding: Pair) -> Tensor:
    fixed = (None, (1, 1), padding, (1, 1), False, (0, 0), x.shape[1], (False, True, False))
    return _conv_backward(gradient, x, weight, *fixed)[1]

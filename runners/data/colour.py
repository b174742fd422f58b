"""Random changes of brightness, contrast, saturation and hue, a batch at a time."""

from dataclasses import dataclass

import torch
from torch import Tensor

_GREY = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601), as Pillow makes grey."""

_WHITE = 255.0


@dataclass(frozen=True, slots=True)
class Tints:
    """Random draws for the colours of N images.

    `factors`, (4, N) on the CPU: brightness, contrast, saturation, and by which part of the circle
    the hue turns; `order` says in which of the 24 orders they are applied, to all alike.
    """

    factors: Tensor
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Jitter:
    """By how much colours may change: factors of 1 ± each, and the hue by ± part of the circle.

    The papers' for ImageNet. Their order is drawn for each image, here for a batch, which makes
    no difference to what any one image may become.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.2

    def draw(self, count: int, source: torch.Generator) -> Tints:
        """The draws for N images."""
        ends = torch.tensor([self.brightness, self.contrast, self.saturation, self.hue])
        middle = torch.tensor([1.0, 1.0, 1.0, 0.0])
        drawn = (2 * torch.rand(4, count, generator=source) - 1) * ends[:, None] + middle[:, None]
        drawn[:3].clamp_(min=0.0)
        order = tuple(int(place) for place in torch.randperm(4, generator=source))
        return Tints(drawn, order)


def tinted(images: Tensor, tints: Tints) -> Tensor:
    """The images, (N, C, H, W) of numbers from 0 to 255, with other colours.

    Without three channels there is neither saturation nor hue to change.
    """
    steps = (_brighter, _contrasted, _saturated, _turned)
    factors = tints.factors.to(images.device, images.dtype)[:, :, None, None, None]
    for place in tints.order:
        if images.shape[1] != 3 and steps[place] in (_saturated, _turned):
            continue
        images = steps[place](images, factors[place])
    return images


def _brighter(images: Tensor, factor: Tensor) -> Tensor:
    return (images * factor).clamp(0, _WHITE)


def _contrasted(images: Tensor, factor: Tensor) -> Tensor:
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    return (mean + factor * (images - mean)).clamp(0, _WHITE)


def _saturated(images: Tensor, factor: Tensor) -> Tensor:
    grey = _grey(images)
    return (grey + factor * (images - grey)).clamp(0, _WHITE)


def _turned(images: Tensor, turn: Tensor) -> Tensor:
    """Turns hues with the value and the saturation of the HSV cone kept."""
    red, green, blue = images.unbind(1)
    value, span = images.amax(1), images.amax(1) - images.amin(1)
    divisor = span.clamp(min=torch.finfo(images.dtype).tiny)
    sixth = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    sixth = sixth + 6 * turn[:, 0]
    channels: list[Tensor] = []
    for place in (5, 3, 1):
        distance = torch.remainder(place + sixth, 6)
        low = torch.minimum(distance, 4 - distance).clamp(0, 1)
        channels.append(value - span * low)
    return torch.stack(channels, 1)


def _grey(images: Tensor) -> Tensor:
    """(N, 1, H, W)."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = (part * share for part, share in zip(images.unbind(1), _GREY, strict=True))
    return (red + green + blue)[:, None]

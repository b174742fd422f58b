"""Batches of images that can be asked for in any order, and their random augmentation."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

import lowering
from runners.data.images import TRIES, ImageFiles, ImageTensors, Statistics
from runners.machine.device import Place

_GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601), as in Pillow."""

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


@dataclass(frozen=True, slots=True)
class Draws:
    """Random draws for N images: int64 (N, 1) on the CPU each; None is not drawn.

    `mirrored` is 0 or 1; `shift` (2, N, 1) is how far down and right of the padded image's corner
    the crop begins; `middle` (2, N, 1) is the row and column around which cutout blanks;
    `windows`, float64 (N, TRIES, 4), is what `window` takes.
    """

    mirrored: Tensor | None
    shift: Tensor | None
    middle: tuple[Tensor, Tensor] | None
    windows: Tensor | None
    tints: Tints | None = None


@dataclass(frozen=True, slots=True)
class Augment:
    """Random crops, mirror images, colours and cutout, drawn for every image on its own.

    `crop` is by how many black pixels each side is padded before a crop of the old size; `flip`
    mirrors half of the images left to right; `cutout` is the side, in pixels, of a square that
    becomes 0, the mean, after normalisation, and may hang over the border (arXiv:1708.04552).
    `cutouts` of a whole `batch` are one square for all, which the crop and the mirror then move.
    `area`, for images in files, is the least share of an image that the random part of it covers
    which is resized; 0 takes the middle. `jitter` changes colours before normalisation.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0
    area: float = 0.0
    jitter: Jitter | None = None
    cutouts: Literal["image", "batch"] = "image"

    def draw(self, size: tuple[int, int, int], source: torch.Generator) -> Draws:
        """The draws for (N, H, W) images."""
        count, height, width = size
        mirrored = shift = middle = windows = None
        if self.flip:
            mirrored = (torch.rand(count, generator=source) < 0.5)[:, None]
        if self.crop:
            shift = torch.randint(2 * self.crop + 1, (2, count, 1), generator=source)
        if self.cutout:
            squares = count if self.cutouts == "image" else 1
            row = torch.randint(height, (squares, 1), generator=source).expand(count, 1)
            column = torch.randint(width, (squares, 1), generator=source)
            middle = (row, column.expand(count, 1))
        if self.area:
            windows = torch.rand(count, TRIES, 4, generator=source, dtype=torch.float64)
            windows[..., 0] = self.area + (1 - self.area) * windows[..., 0]
        tints = None if self.jitter is None else self.jitter.draw(count, source)
        return Draws(mirrored, shift, middle, windows, tints)

    def moved(self, images: Tensor, draws: Draws) -> Tensor:
        """Cropped and mirrored bytes, (N, C, H, W) as before."""
        count, _, height, width = images.shape
        device = images.device
        rows = torch.arange(height, device=device).expand(count, -1)
        columns = torch.arange(width, device=device).expand(count, -1)
        if draws.mirrored is not None:
            columns = torch.where(draws.mirrored.to(device), columns.flip(1), columns)
        if draws.shift is not None:
            down, right = draws.shift.to(device)
            images = F.pad(images, (self.crop,) * 4)
            rows, columns = rows + down, columns + right
        if draws.mirrored is None and draws.shift is None:
            return images
        count, channels, padded_height, padded_width = images.shape
        image = torch.arange(count, device=device)[:, None, None] * padded_height
        places = (image + rows[:, :, None]) * padded_width + columns[:, None, :]
        # Channels last while indexing, so that a pixel's channels are copied together.
        pixels = images.movedim(1, 3).reshape(-1, channels).index_select(0, places.flatten())
        return pixels.view(count, height, width, channels).movedim(3, 1).contiguous()

    def coloured(self, images: Tensor, draws: Draws) -> Tensor:
        """Images of numbers from 0 to 255 with other colours, (N, C, H, W)."""
        return images if draws.tints is None else tinted(images, draws.tints)

    def blanked(self, images: Tensor, draws: Draws) -> Tensor:
        """Normalised images with a square of zeros each, (N, C, H, W)."""
        if draws.middle is None:
            return images
        rows, columns = (
            self._near(middle.to(images.device), size)
            for middle, size in zip(draws.middle, images.shape[2:], strict=True)
        )
        square = rows[:, None, :, None] & columns[:, None, None, :]
        if self.cutouts == "batch":
            square = self.moved(square.to(torch.uint8), draws).bool()
        return images.masked_fill(square, 0.0)

    def _near(self, middle: Tensor, size: int) -> Tensor:
        """Which of `size` places lie within half a side of `middle`: bool (N, size)."""
        distance = torch.arange(size, device=middle.device) - middle
        half = self.cutout // 2
        return (distance >= -half) & (distance < half)


Order = Literal["file", "shuffled", "fresh"]
"""The order of the files; a shuffle for each epoch; or every step draws from all images anew."""

_NOTHING = Augment()


class Batches:
    """Batches by (epoch, step): the same whenever they are asked for, so that a loop can resume.

    What is random depends on the seed, the stream's name, the epoch and the step alone, and is
    drawn on the CPU. `name` keeps the draws of several streams apart. quark0's DARTS takes its
    validation batches `fresh`: it makes a new loader in every step. `tail`: whether an epoch's last
    images make a smaller batch, as in the papers' loaders, or none.
    """

    def __init__(
        self,
        images: ImageTensors | ImageFiles,
        indices: Tensor,
        normalise: Statistics,
        place: Place,
        *,
        name: str,
        seed: int,
        batch: int,
        order: Order = "shuffled",
        augment: Augment = _NOTHING,
        tail: Literal["kept", "dropped"] = "kept",
    ) -> None:
        self.place, self._name, self._seed, self._batch = place, name, seed, batch
        self._order, self._augment, self._tail = order, augment, tail
        self._images, self._indices = images.placed(indices, place.device)
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in normalise)
        self._scale = (1 / (255 * std)).to(place.device, place.dtype)[None, :, None, None]
        self._shift = (mean / std).to(place.device, place.dtype)[None, :, None, None]
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        """The steps of an epoch."""
        if self._tail == "dropped":
            return self.count // self._batch
        return math.ceil(self.count / self._batch)

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self._indices)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch 0."""
        return (self.at(0, step) for step in range(len(self)))

    def at(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """The images, (B, C, H, W) normalised, and labels, int64 (B,).

        Raises IndexError past the epoch's end, except where every step draws anew.
        """
        chosen = self._chosen(epoch, step)
        augment = self._augment
        source = self._generator(f"augment {epoch} {step} 0")
        draws = augment.draw((len(chosen), *self._images.shape[1:]), source)
        images = augment.moved(self._images.taken(chosen, draws.windows), draws)
        images = augment.coloured(images.to(self.place.dtype), draws)
        images = images.mul_(self._scale).sub_(self._shift)
        labels = self._images.labels
        return augment.blanked(images, draws), labels.index_select(0, chosen.to(labels.device))

    def _chosen(self, epoch: int, step: int) -> Tensor:
        size = self._batch
        if self._order == "fresh":
            source = self._generator(f"fresh {epoch} {step}")
            return self._indices[torch.randperm(self.count, generator=source)[:size]]
        if not 0 <= step < len(self):
            raise IndexError(f"step {step} of an epoch of {len(self)}")
        part = slice(step * size, (step + 1) * size)
        if self._order == "file":
            return self._indices[part]
        if self._epoch != epoch:  # the last epoch's shuffle is kept
            source = self._generator(f"order {epoch}")
            shuffle = torch.randperm(self.count, generator=source)
            self._epoch, self._permutation = epoch, self._indices[shuffle]
        return self._permutation[part]

    def _generator(self, label: str) -> torch.Generator:
        return lowering.generator(self._seed, f"{self._name} {label}")

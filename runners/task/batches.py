"""Batches of images by (epoch, step), and their augmentation."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import lowering
from lowering import BatchPart
from nasir import NasirError
from runners.data.images import TRIES, ImageFiles, ImageTensors, Statistics
from runners.experiment.recipe import ImagesSection
from runners.machine.device import Place

_GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in greyscale (ITU-R BT.601), as in Pillow."""

_WHITE = 255.0

_JITTER = (0.4, 0.4, 0.4, 0.2)
"""The ImageNet papers' colour jitter.

Brightness, contrast and saturation by a factor of 1 ± each, hue by ± a fraction of the circle.
"""


@dataclass(frozen=True, slots=True)
class Draws:
    """Random augmentation parameters of N images, on the CPU: int64 (N, 1) each; None: not used.

    `mirrored` is 0 or 1; `shift` (2, N, 1) is the offset of the crop, down and right, in the padded
    image; `middle` (2, N, 1) is the row and column of the cutout's centre; `windows`, float64 (N,
    TRIES, 4), are inputs of `random_crop`; `tints` (4, N) are the factors of `_JITTER`, applied in
    `order`, one of 24, to all images. (The papers sample the order for each image; the distribution
    of a single image is the same.)
    """

    mirrored: Tensor | None
    shift: Tensor | None
    middle: tuple[Tensor, Tensor] | None
    windows: Tensor | None
    tints: Tensor | None
    order: tuple[int, ...]

    def of(self, span: slice) -> "Draws":
        """Returns the parameters of some of the images."""
        middle = self.middle and (self.middle[0][span], self.middle[1][span])
        return Draws(
            None if self.mirrored is None else self.mirrored[span],
            None if self.shift is None else self.shift[:, span],
            middle,
            None if self.windows is None else self.windows[span],
            None if self.tints is None else self.tints[:, span],
            self.order,
        )


def new_draws(images: ImagesSection, size: tuple[int, int, int], source: torch.Generator) -> Draws:
    """Samples the parameters of (N, H, W) images.

    `crop` is the padding of each side, in black pixels, before a crop to the original size; `flip`
    mirrors half of the images left to right; `cutout` is the side, in pixels, of a square set to 0,
    the mean, after normalisation, which may extend over the border (arXiv:1708.04552). With
    `cutouts` `batch` all images have one square, moved by crop and flip. `area`, for images in
    files, is the minimum share of an image in its random resized crop; 0: centre crop. `jitter`
    changes colours before normalisation.
    """
    count, height, width = size
    mirrored = shift = middle = windows = tints = None
    order: tuple[int, ...] = ()
    if images.flip:
        mirrored = (torch.rand(count, generator=source) < 0.5)[:, None]
    if images.crop:
        shift = torch.randint(2 * images.crop + 1, (2, count, 1), generator=source)
    if images.cutout:
        squares = count if images.cutouts == "image" else 1
        row = torch.randint(height, (squares, 1), generator=source).expand(count, 1)
        column = torch.randint(width, (squares, 1), generator=source)
        middle = (row, column.expand(count, 1))
    if images.area:
        windows = torch.rand(count, TRIES, 4, generator=source, dtype=torch.float64)
        windows[..., 0] = images.area + (1 - images.area) * windows[..., 0]
    if images.jitter:
        ends, centre = torch.tensor(_JITTER), torch.tensor([1.0, 1.0, 1.0, 0.0])
        drawn = 2 * torch.rand(4, count, generator=source) - 1
        tints = drawn * ends[:, None] + centre[:, None]
        order = tuple(int(place) for place in torch.randperm(4, generator=source))
    return Draws(mirrored, shift, middle, windows, tints, order)


def crop_and_flip(images: Tensor, crop: int, draws: Draws) -> Tensor:
    """Crops and mirrors bytes; the shape (N, C, H, W) stays."""
    count, _, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(count, -1)
    columns = torch.arange(width, device=device).expand(count, -1)
    if draws.mirrored is not None:
        columns = torch.where(draws.mirrored.to(device), columns.flip(1), columns)
    if draws.shift is not None:
        down, right = draws.shift.to(device)
        images = F.pad(images, (crop,) * 4)
        rows, columns = rows + down, columns + right
    if draws.mirrored is None and draws.shift is None:
        return images
    count, channels, padded_height, padded_width = images.shape
    image = torch.arange(count, device=device)[:, None, None] * padded_height
    places = (image + rows[:, :, None]) * padded_width + columns[:, None, :]
    # channels_last while indexing, so that a pixel's channels are copied together
    pixels = images.movedim(1, 3).reshape(-1, channels).index_select(0, places.flatten())
    return pixels.view(count, height, width, channels).movedim(3, 1).contiguous()


def jitter_colours(images: Tensor, draws: Draws) -> Tensor:
    """Jitters the colours of images, (N, C, H, W), with values from 0 to 255.

    Saturation and hue need three channels.
    """
    if draws.tints is None:
        return images
    factors = draws.tints.to(images.device, images.dtype)[:, :, None, None, None]
    for place in draws.order:
        factor = factors[place]
        if place == 0:
            images = (images * factor).clamp(0, _WHITE)
        elif place == 1:
            mean = _grey(images).mean((1, 2, 3), keepdim=True)
            images = (mean + factor * (images - mean)).clamp(0, _WHITE)
        elif place == 2 and images.shape[1] == 3:
            grey = _grey(images)
            images = (grey + factor * (images - grey)).clamp(0, _WHITE)
        elif images.shape[1] == 3:
            images = _rotate_hues(images, factor)
    return images


def _rotate_hues(images: Tensor, turn: Tensor) -> Tensor:
    """Rotates hues; value and saturation (HSV) stay."""
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
    """Converts to greyscale, (N, 1, H, W)."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = (part * share for part, share in zip(images.unbind(1), _GREY, strict=True))
    return (red + green + blue)[:, None]


def cut_out(images: Tensor, augment: ImagesSection, draws: Draws) -> Tensor:
    """Cuts a square of zeros out of each normalised image, (N, C, H, W)."""
    if draws.middle is None:
        return images
    half = augment.cutout // 2
    near: list[Tensor] = []
    for middle, size in zip(draws.middle, images.shape[2:], strict=True):
        distance = torch.arange(size, device=images.device) - middle.to(images.device)
        near.append((distance >= -half) & (distance < half))
    square = near[0][:, None, :, None] & near[1][:, None, None, :]
    if augment.cutouts == "batch":
        square = crop_and_flip(square.to(torch.uint8), augment.crop, draws).bool()
    return images.masked_fill(square, 0.0)


Order = Literal["file", "shuffled", "fresh"]
"""The order of the files, a shuffle per epoch, or a new sample of all images in every step."""


_PLAIN = ImagesSection()


Key = tuple[int, int, BatchPart | None]
"""Epoch, step, and the part of the batch, if other processes have the rest."""


def _read(batches: "Batches", key: Key) -> Tensor:
    chosen, draws = batches.drawn(*key)
    return batches.images.taken(chosen, draws.windows)


class _Ahead(Dataset[Any]):
    """The bytes of several steps, for torch's loader; an error is returned, not raised."""

    def __init__(self, batches: "Batches", keys: Sequence[Key]) -> None:
        self.batches, self.keys = batches, keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, place: int) -> Tensor | NasirError:
        try:
            return _read(self.batches, self.keys[place])
        except NasirError as error:
            return error


class Batches:
    """Batches by (epoch, step), equal at each call, so that training can resume.

    Randomness depends only on the seed, the stream's `name`, the epoch and the step, and is sampled
    on the CPU. quark0's DARTS has `fresh` validation batches: it makes a new loader in every step.
    `tail`: whether an epoch's last, smaller batch is kept, as in the papers' loaders.
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
        augment: ImagesSection = _PLAIN,
        tail: Literal["kept", "dropped"] = "kept",
    ) -> None:
        self.place, self._name, self._seed, self._batch = place, name, seed, batch
        self._order, self._augment, self._tail = order, augment, tail
        self.images, self._indices = images.placed(indices, place.device)
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in normalise)
        self._scale = (1 / (255 * std)).to(place.device, place.dtype)[None, :, None, None]
        self._shift = (mean / std).to(place.device, place.dtype)[None, :, None, None]
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)
        self._ahead: tuple[Key, Iterator[Any]] | None = None

    def __len__(self) -> int:
        """Returns the number of steps in an epoch."""
        if self._tail == "dropped":
            return self.count // self._batch
        return math.ceil(self.count / self._batch)

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self._indices)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the batches of epoch 0."""
        return self.some(slice(None))

    def some(self, steps: slice) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields those batches of epoch 0."""
        return (self.at(0, step) for step in range(*steps.indices(len(self))))

    def size(self, step: int) -> int:
        """The number of images of a step's batch."""
        if self._order == "fresh":
            return min(self.count, self._batch)
        return min(self.count - step * self._batch, self._batch)

    def at(self, epoch: int, step: int, part: BatchPart | None = None) -> tuple[Tensor, Tensor]:
        """Returns normalised images (B, C, H, W), and labels, int64 (B,), of a part of the batch.

        Parts are those of the whole: its draws depend on the place in the batch. Raises IndexError
        past the epoch's end, except for `fresh`.
        """
        chosen, draws = self.drawn(epoch, step, part)
        pixels = self._pixels((epoch, step, part)).to(self.place.device)
        images = crop_and_flip(pixels, self._augment.crop, draws)
        images = jitter_colours(images.to(self.place.dtype), draws)
        images = images.mul_(self._scale).sub_(self._shift)
        labels = self.images.labels
        images = cut_out(images, self._augment, draws)
        return images, labels.index_select(0, chosen.to(labels.device))

    def drawn(self, epoch: int, step: int, part: BatchPart | None) -> tuple[Tensor, Draws]:
        """Returns the places of the images, int64 (B,), and their augmentation."""
        chosen = self._chosen(epoch, step)
        source = self._generator(f"augment {epoch} {step} 0")
        draws = new_draws(self._augment, (len(chosen), *self.images.shape[1:]), source)
        return (chosen, draws) if part is None else (chosen[part.span], draws.of(part.span))

    def _pixels(self, key: Key) -> Tensor:
        """Returns the batch's bytes, (B, C, H, W).

        With workers, steps from the first one asked for to the epoch's end are read ahead.
        """
        if not self.place.workers or isinstance(self.images, ImageTensors):
            return _read(self, key)
        epoch, step, part = key
        if self._ahead is None or self._ahead[0] != key:
            ranks, self._ahead = self.place.ranks, None
            steps = range(step, max(len(self), step + 1))
            keys = [(epoch, s, None if part is None else ranks.part(self.size(s))) for s in steps]
            loader = DataLoader(
                _Ahead(self, keys),
                None,
                num_workers=self.place.workers,
                generator=torch.Generator(),  # the loader draws a number, which runs must not
            )
            self._ahead = key, zip([*keys[1:], None], loader, strict=True)
        following, pixels = next(self._ahead[1])
        self._ahead = None if following is None else (following, self._ahead[1])
        if isinstance(pixels, NasirError):
            raise pixels
        return pixels

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
        if self._epoch != epoch:  # the last epoch's shuffle is cached
            source = self._generator(f"order {epoch}")
            shuffle = torch.randperm(self.count, generator=source)
            self._epoch, self._permutation = epoch, self._indices[shuffle]
        return self._permutation[part]

    def _generator(self, label: str) -> torch.Generator:
        return lowering.generator(self._seed, f"{self._name} {label}")

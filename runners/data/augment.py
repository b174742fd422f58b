"""Random augmentation of a batch of images, on the batch's device."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from runners.data.colour import Jitter, Tints, tinted
from runners.data.image_files import TRIES


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

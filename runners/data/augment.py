"""What training does to pictures at random, a batch at a time."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Draws:
    """What chance decided for each of N pictures: int64 (N,) on the CPU, empty where unused.

    `down` and `right` are where the crop begins in the padded picture, `mirrored` is 0 or 1, and
    (`row`, `column`) is the middle of the square that cutout blanks.
    """

    down: Tensor
    right: Tensor
    mirrored: Tensor
    row: Tensor
    column: Tensor

    def part(self, rank: int, ranks: int) -> "Draws":
        """The draws of every picture whose number is `rank` modulo `ranks`."""
        return Draws(
            self.down[rank::ranks],
            self.right[rank::ranks],
            self.mirrored[rank::ranks],
            self.row[rank::ranks],
            self.column[rank::ranks],
        )


@dataclass(frozen=True, slots=True)
class Augment:
    """Random crops, mirror images and cutout, drawn for every picture on its own.

    `crop` is by how many black pixels each side is padded before a crop of the old size; `flip`
    mirrors half of the pictures left to right; `cutout` is the side, in pixels, of a square that
    is blanked after normalisation and may hang over the border (arXiv:1708.04552).
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0

    def draw(self, size: tuple[int, int, int], source: torch.Generator) -> Draws:
        """The draws for (N, H, W) pictures."""
        count, height, width = size
        none = torch.empty(0, dtype=torch.int64)

        def below(limit: int, used: int | bool) -> Tensor:
            return torch.randint(limit, (count,), generator=source) if used else none

        return Draws(
            down=below(2 * self.crop + 1, self.crop),
            right=below(2 * self.crop + 1, self.crop),
            mirrored=below(2, self.flip),
            row=below(height, self.cutout),
            column=below(width, self.cutout),
        )

    def moved(self, images: Tensor, draws: Draws) -> Tensor:
        """Cropped and mirrored bytes, (N, C, H, W) as before."""
        if not (self.crop or self.flip):
            return images
        count, _, height, width = images.shape
        device = images.device
        rows = torch.arange(height, device=device).expand(count, -1)
        columns = torch.arange(width, device=device).expand(count, -1)
        if self.flip:
            mirrored = draws.mirrored.to(device).bool()[:, None]
            columns = torch.where(mirrored, columns.flip(1), columns)
        if self.crop:
            images = F.pad(images, (self.crop,) * 4)
            rows = rows + draws.down.to(device)[:, None]
            columns = columns + draws.right.to(device)[:, None]
        picture = torch.arange(count, device=device)[:, None, None]
        # Channels last while indexing, so that a pixel's channels are copied together.
        return images.movedim(1, 3)[picture, rows[:, :, None], columns[:, None, :]].movedim(3, 1)

    def blanked(self, images: Tensor, draws: Draws) -> Tensor:
        """Normalised pictures with a square of zeros each, (N, C, H, W)."""
        if not self.cutout:
            return images
        inside = [
            self._near(middle.to(images.device), size)
            for middle, size in zip((draws.row, draws.column), images.shape[2:], strict=True)
        ]
        square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return images.masked_fill(square, 0.0)

    def _near(self, middle: Tensor, size: int) -> Tensor:
        """Which of `size` places lie within half a side of `middle`: bool (N, size)."""
        distance = torch.arange(size, device=middle.device) - middle[:, None]
        half = self.cutout // 2
        return (distance >= -half) & (distance < half)

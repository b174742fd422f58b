"""Random crops, flips and holes, for whole batches at once on the batch's device."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Augment:
    """What training does to a picture.

    `crop`: it is moved by up to so many pixels in each direction, zeros (before normalisation)
    coming in. `flip`: half of the pictures are mirrored. `cutout`: a square of that side, around a
    centre anywhere in the picture and cut off by its border, becomes 0 after normalisation, which
    is the mean (arXiv:1708.04552). Every picture has draws of its own. Cropping before mirroring,
    as in DARTS, and after it, as in NAS-Bench-201, give one distribution.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0

    def moved(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Bytes (B, C, H, W), cropped and mirrored."""
        batch, _, height, width = images.shape
        device = images.device
        rows = torch.arange(height, device=device).expand(batch, height)
        columns = torch.arange(width, device=device).expand(batch, width)
        if self.flip:
            mirrored = torch.rand(batch, generator=generator) < 0.5
            columns = torch.where(mirrored.to(device)[:, None], columns.flip(1), columns)
        if self.crop:
            shift = torch.randint(2 * self.crop + 1, (2, batch, 1), generator=generator).to(device)
            images = F.pad(images, (self.crop,) * 4)
            rows, columns = rows + shift[0], columns + shift[1]
        if not (self.flip or self.crop):
            return images
        numbers = torch.arange(batch, device=device)[:, None, None]
        whole = images.permute(0, 2, 3, 1)[numbers, rows[:, :, None], columns[:, None, :]]
        return whole.permute(0, 3, 1, 2)

    def holed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Normalised pictures (B, C, H, W) with a square of zeros each."""
        if not self.cutout:
            return images
        batch, _, height, width = images.shape
        half = self.cutout // 2
        masks: list[Tensor] = []
        for size in (height, width):
            centre = torch.randint(size, (batch, 1), generator=generator)
            places = torch.arange(size)[None, :]
            masks.append((places >= centre - half) & (places < centre + half))
        hole = masks[0][:, :, None] & masks[1][:, None, :]
        return images.masked_fill(hole[:, None].to(images.device), 0.0)

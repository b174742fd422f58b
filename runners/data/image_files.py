"""Images too many to hold in memory, decoded as batches ask for them (ImageNet)."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from nasir import NasirError, Where

TRIES = 10
"""Windows that are tried for an image; where none fits it is its middle."""

_MIDDLE = 224 / 256
"""Of the shorter side, what is looked at without a window: 224 pixels of 256."""

_RATIOS = (math.log(3 / 4), math.log(4 / 3))


@dataclass(frozen=True)
class ImageFiles:
    """One split: files, labels, int64 (N,), and the pixels of a side that they are brought to."""

    files: tuple[Path, ...]
    labels: Tensor
    side: int

    def __len__(self) -> int:
        return len(self.files)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.side, self.side

    @property
    def images(self) -> NoReturn:
        """Not there, whatever asks for it."""
        raise AssertionError("these images are decoded batch by batch")

    def placed(self, indices: Tensor, device: str | torch.device) -> tuple["ImageFiles", Tensor]:
        """Themselves: a batch goes to its device once it is decoded."""
        return replace(self, labels=self.labels.to(device)), indices

    def taken(self, chosen: Tensor, windows: Tensor | None) -> Tensor:
        """Bytes (B, 3, side, side) on the labels' device. Raises E704, which names the image.

        `windows` (B, TRIES, 4) are numbers from 0 to 1 for each image; without any it is the
        middle of each that is seen.
        """
        numbers = [int(number) for number in chosen]
        drawn = [None] * len(numbers) if windows is None else list(windows.numpy())
        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            pixels = list(pool.map(self._pixels, numbers, drawn))
        images = torch.as_tensor(np.stack(pixels)).movedim(3, 1)
        return images.to(self.labels.device)

    def _pixels(self, number: int, drawn: np.ndarray | None) -> np.ndarray:
        from PIL import Image

        from runners.data.decode import open_image

        path = self.files[number]
        try:
            content = path.read_bytes()
        except OSError as error:
            message = f"the image cannot be read: {error.strerror}"
            raise NasirError("E704", message, Where(str(path))) from error
        image = open_image(content, str(path)).convert("RGB")
        box = middle(image.size) if drawn is None else window(image.size, drawn)
        size = (self.side, self.side)
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


def window(size: tuple[int, int], drawn: np.ndarray) -> Box:
    """A random part of an image of (width, height): its share of the area, ratio and place.

    `drawn` (TRIES, 4) has the area of each try, already as a share, and numbers from 0 to 1.
    """
    width, height = size
    for share, shape, right, down in drawn.tolist():
        area = share * width * height
        ratio = math.exp(_RATIOS[0] + shape * (_RATIOS[1] - _RATIOS[0]))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(right * (width - w + 1)), int(down * (height - h + 1))
            return left, top, left + w, top + h
    return _centred(size, min(width, height))


def middle(size: tuple[int, int]) -> Box:
    """The middle of an image of (width, height), as tests see it."""
    return _centred(size, min(size) * _MIDDLE)


def _centred(size: tuple[int, int], side: float) -> Box:
    left, top = (size[0] - side) / 2, (size[1] - side) / 2
    return left, top, left + side, top + side

"""Picture files as bytes of pixels."""

import io
import struct
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from nasir import NasirError, Where


def decode(content: bytes, place: str, resolution: int | None = None) -> Tensor:
    """The pixels of a picture file in colour, uint8 (3, H, W). Raises E704, which names `place`.

    With a resolution, the middle square resized to it.
    """
    picture = opened(lambda: Image.open(io.BytesIO(content)), place)
    if resolution is not None and picture.size != (resolution, resolution):
        size = (resolution, resolution)
        picture = ImageOps.fit(picture, size, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).movedim(2, 0)


def opened(picture: Callable[[], Image.Image], place: str) -> Image.Image:
    """The decoded picture in colour. Raises E704, which names `place`."""
    try:
        with picture() as stored:
            return stored.convert("RGB")
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,  # Pillow's error for a broken PNG
        ValueError,
        EOFError,
        struct.error,
    ) as error:
        hint = "replace the file or take it out"
        message = f"the picture cannot be read: {_reason(error)}"
        raise NasirError("E704", message, Where(place), hint) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no format that Pillow knows"
    return str(error) or type(error).__name__

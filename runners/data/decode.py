"""Image files as bytes of pixels."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from nasir import NasirError, Where

Pixels = NDArray[np.uint8]
"""(H, W, 3), or (H, W, 1) of a grey image."""

_GREY = ("1", "L", "LA", "La")
"""Pillow's modes of grey images; transparency is left out."""

PIXELS = 2**26
"""The most that an image may have; ImageNet's largest has 9331x6530."""

_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of what is tried, whatever a file's name is: for others it starts programs."""

# `PIXELS` is the bound; Pillow's own would print a warning beside the error.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode(content: bytes, place: str, resolution: int | None = None) -> Pixels:
    """The pixels of an image file, grey or in colour. Raises E704, which names `place`.

    With a resolution, those of its largest middle square, resized.
    """
    image = open_image(content, place)
    if resolution is not None and image.size != (resolution, resolution):
        size = (resolution, resolution)
        image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def open_image(content: bytes, place: str) -> Image.Image:
    """The decoded image, grey or in colour. Raises E704, which names `place`."""
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as stored:
            if stored.width * stored.height > PIXELS:
                raise ValueError(f"it has {stored.width}x{stored.height} pixels, beyond {PIXELS:,}")
            if stored.mode[0] in "IF":  # Pillow cuts off what is above 255
                raise ValueError(f"it has more than 8 bits a channel (mode {stored.mode})")
            return stored.convert("L" if stored.mode in _GREY else "RGB")
    # What Pillow raises on bytes that are changed has no class in common: SyntaxError is among it.
    except Exception as error:
        message = f"the image cannot be read: {_reason(error)}"
        hint = "replace the file, or take it out"
        raise NasirError("E704", message, Where(place), hint) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(_FORMATS)}"
    return str(error) or type(error).__name__

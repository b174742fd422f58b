"""Pictures in arrays: `.npz` files, and scikit-learn's digits."""

import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nasir import NasirError, Where
from runners.arrays import tensor_of
from runners.data.pictures import Pictures, Raw

DIGITS_TEST = 297
"""Of the 1,797 digits, the last ones are held back for testing; their writers are others."""


def read_npz(path: Path) -> Raw:
    """`x_train` and `y_train`, perhaps `x_test` and `y_test`: bytes (N, H, W[, C]) or (N, C, H, W).

    Raises E701 where there is no file, E708 for what the arrays lack.
    """
    where = Where(str(path))
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise NasirError("E701", "the data is not there", where) from None
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise NasirError("E708", f"the arrays cannot be read: {error}", where) from None
    if not {"x_train", "y_train"} <= set(arrays):
        have = ", ".join(arrays) or "none"
        message = f"the arrays x_train and y_train are missing; there are: {have}"
        raise NasirError("E708", message, where)
    parts = {
        split: _pictures(arrays, split, where)
        for split in ("train", "test")
        if f"x_{split}" in arrays
    }
    if "test" in parts and parts["test"].images.shape[1:] != parts["train"].images.shape[1:]:
        raise NasirError("E708", "test pictures have another size than training pictures", where)
    highest = max(int(part.labels.max()) for part in parts.values() if len(part))
    classes = tuple(str(number) for number in range(highest + 1))
    return Raw(path.stem, classes, parts["train"], parts.get("test"))


def _pictures(arrays: dict[str, Any], split: str, where: Where) -> Pictures:
    x, y = arrays[f"x_{split}"], arrays.get(f"y_{split}")
    if y is None or y.reshape(-1).shape[0] != x.shape[0]:
        raise NasirError("E708", f"y_{split} has not one label for each of x_{split}", where)
    if x.dtype != np.uint8 or x.ndim not in (3, 4):
        message = f"x_{split} is {x.dtype} of shape {x.shape}"
        raise NasirError("E708", message, where, hint="bytes (N, H, W), (N, H, W, C), (N, C, H, W)")
    if not np.issubdtype(y.dtype, np.integer):
        raise NasirError("E708", f"y_{split} is {y.dtype}", where, hint="whole numbers from 0")
    images = tensor_of(np.ascontiguousarray(x))
    if images.dim() == 3:
        images = images[:, None]
    elif images.shape[-1] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    if images.shape[1] not in (1, 3):
        message = f"x_{split} has {images.shape[1]} channels"
        raise NasirError("E708", message, where, hint="1 or 3")
    images = images.expand(-1, 3, -1, -1).contiguous()
    return Pictures(images, tensor_of(y.reshape(-1).astype(np.int64)))


def read_digits() -> Raw:
    """1,797 handwritten digits of 8x8 pixels, in three equal channels, from scikit-learn."""
    datasets: Any = import_module("sklearn.datasets")
    found: Any = datasets.load_digits()
    grey = tensor_of(np.asarray(found.images)) * (255.0 / 16.0)
    images = grey.round().to(torch.uint8)[:, None].expand(-1, 3, -1, -1).contiguous()
    labels = tensor_of(np.asarray(found.target)).long()
    cut = len(labels) - DIGITS_TEST
    classes = tuple(str(digit) for digit in range(10))
    train = Pictures(images[:cut], labels[:cut])
    return Raw("digits", classes, train, Pictures(images[cut:], labels[cut:]))

"""The checksum CRC-32C (Castagnoli), masked as TFRecord files have it, of many texts at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
_MASK = 0xA282EAD8


def _table() -> tuple[int, ...]:
    entries: list[int] = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        entries.append(value)
    return tuple(entries)


_TABLE = _table()


def crc32c(content: bytes) -> int:
    """The checksum of one short text."""
    state = 0xFFFFFFFF
    for byte in content:
        state = _TABLE[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def masked(checksum: int) -> int:
    """The checksum as TFRecord stores it: rotated by 15 bits, with a constant added."""
    return (((checksum >> 15) | (checksum << 17)) + _MASK) & 0xFFFFFFFF


def crc32c_all(contents: Sequence[bytes]) -> "NDArray[np.uint32]":
    """The checksums of many texts, one step of NumPy for each position in them."""
    import numpy as np

    table = np.array(_TABLE, np.uint32)
    order = sorted(range(len(contents)), key=lambda index: -len(contents[index]))
    lengths = np.array([len(contents[index]) for index in order])
    width = int(lengths[0]) if len(lengths) else 0
    joined = b"".join(contents[index].ljust(width, b"\0") for index in order)
    bytes_at = np.frombuffer(joined, np.uint8).reshape(len(order), width).T.copy()
    state = np.full(len(order), 0xFFFFFFFF, np.uint32)
    # Sorted by length, the texts that still go on are the first ones.
    going = np.searchsorted(-lengths, -np.arange(width), side="left")
    for position in range(width):
        part = state[: going[position]]
        part[:] = table[(part ^ bytes_at[position, : len(part)]) & 0xFF] ^ (part >> 8)
    found = np.empty_like(state)
    found[order] = state ^ np.uint32(0xFFFFFFFF)
    return found

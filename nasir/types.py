"""Types of values, per example: images, vectors, sequences and tokens; the batch is symbolic.

Weights of choices are values without a batch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageType:
    """A batch of feature maps (N, c, h, w)."""

    c: int
    h: int
    w: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, (c, h, w)."""
        return (self.c, self.h, self.w)

    def __str__(self) -> str:
        return f"image[{self.c},{self.h},{self.w}]"


@dataclass(frozen=True, slots=True)
class VectorType:
    """A batch of vectors (N, c)."""

    c: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, (c,)."""
        return (self.c,)

    def __str__(self) -> str:
        return f"vector[{self.c}]"


@dataclass(frozen=True, slots=True)
class SignalType:
    """A batch of signals (N, c, t): what networks compute with is an image of height 1.

    `reshape` makes it one and gives it back; windows of (1, k) are 1-d convolutions and pools.
    """

    c: int
    t: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, (c, t)."""
        return (self.c, self.t)

    def __str__(self) -> str:
        return f"signal[{self.c},{self.t}]"


@dataclass(frozen=True, slots=True)
class SequenceType:
    """A batch of sequences (T, N, c); time and batch are symbolic."""

    c: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one step of one example, (c,)."""
        return (self.c,)

    def __str__(self) -> str:
        return f"sequence[{self.c}]"


@dataclass(frozen=True, slots=True)
class TokenType:
    """A batch of sequences of whole numbers (T, N), each below `vocabulary`; time is symbolic."""

    vocabulary: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one step of one example, which is a single number."""
        return ()

    def __str__(self) -> str:
        return f"tokens[{self.vocabulary}]"


@dataclass(frozen=True, slots=True)
class WeightsType:
    """The weights of a choice's options, (options,), without a batch."""

    options: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, (options,)."""
        return (self.options,)

    def __str__(self) -> str:
        return f"weights[{self.options}]"


Type = ImageType | VectorType | SignalType | SequenceType | TokenType | WeightsType

_NAMED: dict[str, tuple[Callable[..., Type], int]] = {
    "image": (ImageType, 3),
    "vector": (VectorType, 1),
    "signal": (SignalType, 2),
    "sequence": (SequenceType, 1),
    "tokens": (TokenType, 1),
    "weights": (WeightsType, 1),
}
"""Types by their names in text, and their numbers of sizes."""


def elements(value: Type) -> int:
    """The number of scalars in one example (of a sequence or of tokens: in one step)."""
    return math.prod(value.shape)


def parse_type(text: str) -> Type:
    """The inverse of `str(type)`. Raises ValueError if `text` is no type."""
    head, bracket, rest = text.partition("[")
    if not bracket or not rest.endswith("]"):
        raise ValueError(f"not a type: {text!r}")
    parts = rest[:-1].split(",")
    if not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in parts):
        raise ValueError(f"not a type: {text!r}")
    sizes = [int(part) for part in parts]
    if min(sizes) < 1:
        raise ValueError(f"sizes must be positive: {text!r}")
    made, count = _NAMED.get(head, (None, 0))
    if made is None or len(sizes) != count:
        raise ValueError(f"not a type: {text!r}")
    return made(*sizes)

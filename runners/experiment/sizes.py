"""Sizes of networks, as settings and as text."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import StrictBool

import nasir
from nasir.space.layout import DEPTHS, WIDTHS
from nasir.types import SignalType
from runners.experiment.fields import AnyCount, Section

_TEXTS = {
    "channels": "{} channels",
    "layers": "{} layers",
    "classes": "{} classes",
    "resolution": "{0}x{0} images",
    "columns": "{} columns",
    "in_channels": "{} channels each",
    "vocabulary": "{} words",
    "hidden": "{} hidden units",
}
"""The sizes as texts of a title."""

DATA = ("classes", "in_channels", "vocabulary")
"""Sizes that must equal the data's."""


class Sizes(Section):
    """The sizes of a network; None: the skeleton's or the data's. Docstrings are options' help."""

    channels: AnyCount | None = None
    """Initial channels."""
    layers: AnyCount | None = None
    """Cells; for nasbench201, cells in each stage."""
    classes: AnyCount | None = None
    """Classes."""
    resolution: AnyCount | None = None
    """Height and width of the image."""
    vocabulary: AnyCount | None = None
    """Vocabulary size; rnn only."""
    hidden: AnyCount | None = None
    """Width of embedding and state; rnn only."""
    in_channels: AnyCount | None = None
    """Channels of the image: 3, or 1 for greyscale."""
    columns: AnyCount | None = None
    """Width of the image, where it is not its height; own skeletons only."""


class NetworkSection(Sizes):
    """The sizes and the skeleton; None: the space's own."""

    skeleton: str | None = None
    """cifar, imagenet, nasbench201, rnn, …; the space's own by default."""


class NetworkSize(NetworkSection):
    """The sizes and the auxiliary head of a network."""

    code: ClassVar[str] = "E505"

    auxiliary: StrictBool = False
    """Add the auxiliary head."""

    def build(self, genotype: nasir.Genotype, *, features: bool = False) -> nasir.Graph:
        """Returns the genotype's network of this size; of `features` without heads."""
        size = self.having(auxiliary=False) if features else self
        return nasir.network(genotype, features=features, **dict(size))


def size_facts(graph: nasir.Graph) -> dict[str, str | int]:
    """Returns the skeleton and size of a network, as in `--json`."""
    about = graph.about
    names = [name for name in about if name in _TEXTS or name in WIDTHS or name in DEPTHS]
    facts: dict[str, str | int] = {"skeleton": about["skeleton"]}
    facts |= {name: int(about[name]) for name in names}
    signal = any(isinstance(type_, SignalType) for _, type_ in graph.inputs)
    return facts | {"input": "signal"} if signal else facts


def describe_size(size: Mapping[str, str | int]) -> str:
    """Formats `size_facts` for a title."""
    parts: list[str] = []
    for names, unit in ((WIDTHS, "channels"), (DEPTHS, "cells")):
        if numbers := [str(size[name]) for name in names if name in size]:
            parts.append(f"stages of {':'.join(numbers)} {unit}")
    texts = dict(_TEXTS)
    if "columns" in size:
        texts |= {"resolution": f"{{}}x{size['columns']} images", "columns": ""}
    if size.get("input") == "signal":
        texts["resolution"] = "signals of {} points"
    for name, text in texts.items():
        if text and name in size and (name, size[name]) != ("in_channels", 3):
            parts.append(text.format(size[name]))
    return ", ".join([f"{size['skeleton']} skeleton", *parts])

"""Convolutions, cuts, margins and orders of channels as Python."""

from lowering.python.code import Code, call, text
from lowering.python.rule import PythonRule, Site, option
from nasir.ops.conv import CHANNEL_SHUFFLE, CHANNELS, CONV2D, CROP, PAD


def _conv2d(site: Site) -> Code:
    return call(
        "nn.Conv2d",
        site.channels(),
        site.width("out"),
        site.pair("kernel"),
        option("stride", site.pair("stride"), "1"),
        option("padding", site.pair("margins", "padding"), "0"),
        option("dilation", site.pair("dilation"), "1"),
        option("groups", site.width("groups"), "1"),
        option("bias", str(site.attr("bias")), "True"),
    )


def _crop(site: Site, inputs: tuple[str, ...]) -> Code:
    return text(f"{inputs[0]}[:, :, {site.integer('top')}:, {site.integer('left')}:]")


def _pad(site: Site, inputs: tuple[str, ...]) -> Code:
    return call("F.pad", inputs[0], f"(0, {site.integer('right')}, 0, {site.integer('bottom')})")


def _channels(site: Site, inputs: tuple[str, ...]) -> Code:
    """A slice without the bounds of the image; expressions stand off from the colon."""
    starts = site.values("start")
    ends = tuple(map(sum, zip(starts, site.values("count"), strict=True)))
    start = site.count(starts) if any(starts) else ""
    end = "" if start and ends == site.read else site.count(ends)
    colon = ":" if f"{start}{end}".isalnum() else " : "
    return text(f"{inputs[0]}[:, {f'{start}{colon}{end}'.strip()}]")


def _shuffle(site: Site, inputs: tuple[str, ...]) -> Code:
    return call("F.channel_shuffle", inputs[0], site.width("groups"))


RULES = (
    PythonRule(CONV2D, layer=_conv2d),
    PythonRule(CROP, forward=_crop),
    PythonRule(PAD, forward=_pad),
    PythonRule(CHANNELS, forward=_channels),
    PythonRule(CHANNEL_SHUFFLE, forward=_shuffle),
)

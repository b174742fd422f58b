"""Convolutions, cuts, margins and orders of channels as Python."""

from lowering.python.code import Code, call, text
from lowering.python.rule import PythonRule, Site, option
from nasir.ops.conv import CHANNEL_SHUFFLE, CONV2D, CROP, PAD, REST, TRUNCATE


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


def _truncate(site: Site, inputs: tuple[str, ...]) -> Code:
    return text(f"{inputs[0]}[:, :{_bound(site, ' {}')}]")


def _rest(site: Site, inputs: tuple[str, ...]) -> Code:
    return text(f"{inputs[0]}[:, {_bound(site, '{} ')}:]")


def _bound(site: Site, form: str) -> str:
    """A slice's bound; an expression stands off from the colon, as formatters write it."""
    bound = site.width("channels")
    return bound if bound.isalnum() else form.format(bound)


def _shuffle(site: Site, inputs: tuple[str, ...]) -> Code:
    return call("F.channel_shuffle", inputs[0], site.width("groups"))


RULES = (
    PythonRule(CONV2D, layer=_conv2d),
    PythonRule(CROP, forward=_crop),
    PythonRule(PAD, forward=_pad),
    PythonRule(TRUNCATE, forward=_truncate),
    PythonRule(REST, forward=_rest),
    PythonRule(CHANNEL_SHUFFLE, forward=_shuffle),
)

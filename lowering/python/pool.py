"""Pools as Python."""

from lowering.python.code import Code, call
from lowering.python.rule import PythonRule, Site, option
from nasir.ops.pool import AVG_POOL, GLOBAL_POOL, MAX_POOL


def _window(site: Site) -> tuple[str, ...]:
    kernel, stride = site.pair("kernel"), site.pair("stride")
    # torch's default stride is the kernel, so it is always written.
    return (kernel, f"stride={stride}", option("padding", site.pair("padding"), "0"))


def _max_pool(site: Site, inputs: tuple[str, ...]) -> Code:
    return call("F.max_pool2d", inputs[0], *_window(site))


def _avg_pool(site: Site, inputs: tuple[str, ...]) -> Code:
    padded = site.pair("padding") != "0"
    counted = option("count_include_pad", str(site.attr("count_padding")), "True") if padded else ""
    return call("F.avg_pool2d", inputs[0], *_window(site), counted)


def _global_pool(site: Site, inputs: tuple[str, ...]) -> Code:
    del site
    return call("F.adaptive_avg_pool2d", inputs[0], "1")


RULES = (
    PythonRule(MAX_POOL, forward=_max_pool),
    PythonRule(AVG_POOL, forward=_avg_pool),
    PythonRule(GLOBAL_POOL, forward=_global_pool),
)

"""Normalisation as Python."""

from lowering.python.code import Code, call
from lowering.python.rule import PythonRule, Site, option
from nasir import VectorType
from nasir.ops.norm import BATCH_NORM


def _batch_norm(site: Site) -> Code:
    vectors = isinstance(site.types[site.nodes[0].inputs[0]], VectorType)
    return call(
        "nn.BatchNorm1d" if vectors else "nn.BatchNorm2d",
        site.channels(),
        option("eps", repr(site.attr("eps")), "1e-05"),
        option("momentum", repr(site.attr("momentum")), "0.1"),
        option("affine", str(site.attr("affine")), "True"),
    )


RULES = (PythonRule(BATCH_NORM, layer=_batch_norm),)

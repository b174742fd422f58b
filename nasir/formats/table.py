"""Every genotype format, in the order in which a text is offered to them."""

from typing import TYPE_CHECKING

from nasir.document import parse_document
from nasir.errors import NasirError, Where, nearest, quoted
from nasir.formats.autodl import AUTODL
from nasir.formats.compact import BANANAS, NASLIB
from nasir.formats.darts import DARTS
from nasir.formats.format import Format, check_plain, inexpressible
from nasir.formats.nasbench1shot1 import NASBENCH1SHOT1
from nasir.formats.nasbench101 import NASBENCH101
from nasir.formats.nasbench201 import NASBENCH201
from nasir.formats.nnabla import NNABLA
from nasir.formats.onnx_model import ONNX
from nasir.formats.own import OWN
from nasir.genotype import Genotype
from nasir.source import Source
from nasir.table import Table

if TYPE_CHECKING:
    from nasir.space import Space

FORMATS: Table[Format] = Table(
    ONNX, NASBENCH201, AUTODL, OWN, NNABLA, DARTS, NASBENCH1SHOT1, NASBENCH101, BANANAS, NASLIB
)


def detect(source: Source) -> Format:
    """The format that a source is written in. Raises E108 when it is none, E103, E104."""
    for row in FORMATS.values():
        if row.recognises(source):
            return row
    if source.text.lstrip()[:1] in ("{", "[", ""):
        parse_document(source)  # what is no JSON at all is told so, and where
    raise NasirError(
        "E108",
        "the format is not recognised",
        Where(source.name, 1, 1, source.text.split("\n", maxsplit=1)[0]),
        hint="; ".join(f"{row.name}: {row.title}" for row in FORMATS.values()),
    )


def parse_genotype(source: Source, space: "Space | None" = None) -> Genotype:
    """The genotype of a source, whatever its format; of `space`, if that is given."""
    if space is None:
        return detect(source).load(source)
    from nasir.space.adoption import adopt, in_force

    with in_force(space):
        genotype = detect(source).load(source)
    return adopt(genotype, space)


def dump_genotype(genotype: Genotype, format: str = "nasir") -> str:  # noqa: A002
    """The genotype in a format. Raises E108 for an unknown one, E208 for what it cannot hold.

    nasir's own format names a shipped space and holds any other space whole.
    """
    row = FORMATS.get(format)
    if row is None:
        writable = [name for name, row in FORMATS.items() if row.dump]
        hint = nearest(format, writable)
        raise NasirError("E108", f"unknown format {quoted(format)}", hint=hint)
    if row.dump is None:
        raise inexpressible(
            row.name, "a genotype alone: it holds networks", hint="export the network instead"
        )
    if row is not OWN:
        check_plain(genotype, row.name)
    return row.dump(genotype)

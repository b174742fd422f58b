"""A genotype from what a user names: a published name, a path, or the text itself."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from nasir.formats.darts import GENOTYPE_CALL
from nasir.formats.shipped import find, load_shipped
from nasir.formats.table import parse_genotype
from nasir.genotype import Genotype
from nasir.source import Source, is_there, looks_like_path, read_source

if TYPE_CHECKING:
    from nasir.space import Space

_LIST = re.compile(r"\s*[\[(]\s*[\[(\"'0-9].*[\])]\s*")
"""A list or tuple, as no file is called."""

_SUFFIXES = (".json", ".yaml", ".yml", ".txt", ".py", ".onnx")


def load_genotype(source: str | Path, space: "Space | str | Path | None" = None) -> Genotype:
    """The genotype of a published name (in any case), a file, or a text in any format.

    `space`, or what `load_space` takes, is the genotype's space whatever the source says: its own
    ops may stand in the source. A published name wins over a file of that name; write `./name` for
    the file. Raises E101 for a path that leads nowhere, E209 for an unknown name, and what the
    formats raise.
    """
    if space is not None:
        from nasir.space import Space, load_space

        space = space if isinstance(space, Space) else load_space(space)
    if isinstance(source, str) and _is_text(source):
        return parse_genotype(Source.of(source), space)
    if isinstance(source, Path) or looks_like_path(source, _SUFFIXES):
        return parse_genotype(read_source(source), space)
    if find(source) is None and is_there(source):
        return parse_genotype(read_source(source), space)
    genotype = load_shipped(source)
    if space is None:
        return genotype
    from nasir.space import adopt

    return adopt(genotype, space)


def _is_text(source: str) -> bool:
    if "\n" in source or source.lstrip()[:1] in ("{", "|"):
        return True
    if _LIST.fullmatch(source):
        return True
    return bool(GENOTYPE_CALL.search(source))

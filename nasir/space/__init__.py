"""Search spaces: their files, their cells, and which genotypes belong to them."""

from nasir.space.decisions import SpaceCell, SpaceEdge
from nasir.space.layout import CellPlace, Layout
from nasir.space.load import adopt, catalog, home_of, load_space, parse_space, space_schema
from nasir.space.space import Space

__all__ = [
    "CellPlace",
    "Layout",
    "Space",
    "SpaceCell",
    "SpaceEdge",
    "adopt",
    "catalog",
    "home_of",
    "load_space",
    "parse_space",
    "space_schema",
]

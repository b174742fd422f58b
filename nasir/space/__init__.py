"""Search spaces: their files, their cells, and which genotypes belong to them."""

from nasir.space.decisions import SpaceCell
from nasir.space.load import adopt, catalog, home_of, load_space, parse_space, space_schema
from nasir.space.space import Space

__all__ = [
    "Space",
    "SpaceCell",
    "adopt",
    "catalog",
    "home_of",
    "load_space",
    "parse_space",
    "space_schema",
]

"""Pictures of cells, without torch."""

from nasir.draw.picture import dot_text
from nasir.draw.write import FORMATS, draw, svg_text

__all__ = ["FORMATS", "dot_text", "draw", "svg_text"]

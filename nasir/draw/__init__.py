"""Pictures of cells, without torch."""

from nasir.draw.picture import dot_text
from nasir.draw.write import draw, svg_text

__all__ = ["dot_text", "draw", "svg_text"]

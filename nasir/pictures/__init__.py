"""Pictures of cells, spaces and graphs, without torch."""

from nasir.pictures.picture import Picture, cell_pictures, draw

__all__ = ["Picture", "cell_pictures", "draw"]

"""Weights of the original implementations: the room's one door."""

from runners.originals.api import Imported, import_weights
from runners.originals.translation import Translated, translate

__all__ = ["Imported", "Translated", "import_weights", "translate"]

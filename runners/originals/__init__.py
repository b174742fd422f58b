"""Imports weights of original implementations under the keys of nasir's networks."""

from runners.originals.weights import Imported, import_weights, read_state, translate

__all__ = ["Imported", "import_weights", "read_state", "translate"]

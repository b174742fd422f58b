"""From a graph to one readable Python file: the room's one door."""

from lowering.python.check import load_python
from lowering.python.export import to_python
from lowering.python.rules import RULES

__all__ = ["RULES", "load_python", "to_python"]

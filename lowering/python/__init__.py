"""From a graph to one readable Python file: the room's one door."""

from lowering.python.export import load_python, to_python

__all__ = ["load_python", "to_python"]

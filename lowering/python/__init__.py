"""Lowers graphs to readable Python files."""

from lowering.python.export import load_python, to_python

__all__ = ["load_python", "to_python"]

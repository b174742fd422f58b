"""The search loop: the room's one door."""

from runners.experiment.loop.api import Result, resume, search

__all__ = ["Result", "resume", "search"]

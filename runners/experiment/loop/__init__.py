"""The search loop: the room's one door."""

from runners.experiment.loop.api import Result, resume, search
from runners.experiment.loop.request import Request

__all__ = ["Request", "Result", "resume", "search"]

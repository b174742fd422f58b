"""The search loop: the room's one door."""

from runners.loop.api import Result, resume, search
from runners.loop.request import Request

__all__ = ["Request", "Result", "resume", "search"]

"""The search loop: the room's one door."""

from runners.loop.api import Replay, Result, replay, resume, search
from runners.loop.request import Request

__all__ = ["Replay", "Request", "Result", "replay", "resume", "search"]

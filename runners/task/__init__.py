"""What a network learns: the room's one door."""

from runners.task.task import Batch, Outcome, Task

__all__ = ["Batch", "Outcome", "Task"]

"""Training found networks from scratch: the room's one door."""

from runners.experiment.training.api import Evaluation, evaluate, resume

__all__ = ["Evaluation", "evaluate", "resume"]

"""Training found networks from scratch: the room's one door."""

from runners.training.api import Evaluation, evaluate, resume
from runners.training.request import Training

__all__ = ["Evaluation", "Training", "evaluate", "resume"]

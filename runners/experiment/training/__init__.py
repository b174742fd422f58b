"""Training found networks from scratch: the room's one door."""

from runners.experiment.training.api import Evaluation, evaluate, resume
from runners.experiment.training.request import Training

__all__ = ["Evaluation", "Training", "evaluate", "resume"]

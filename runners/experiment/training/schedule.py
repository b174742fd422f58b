"""The learning rate over a training."""

import math

from runners.experiment.recipe import Recipe


def rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """The learning rate of a step, of `steps` in its epoch; all count from 0. See `Schedule`."""
    schedule, epochs, base = recipe.schedule, recipe.train.epochs, recipe.optimizer.lr
    place = epoch + (step / steps if schedule.by == "batch" else 0.0)
    if epoch < schedule.warm_up:
        return base * (epoch + 1) / schedule.warm_up
    if schedule.name == "cosine":
        share = (1 + math.cos(math.pi * place / epochs)) / 2
        return schedule.minimum + (base - schedule.minimum) * share
    if schedule.name == "exponential":
        return base * schedule.gamma**place
    if schedule.name == "linear":
        return base * _linear(place, epochs, min(schedule.tail, epochs - 1))
    return base


def _linear(place: float, epochs: int, tail: int) -> float:
    """As the code of PC-DARTS falls: to 0, and from a little more than 0 once again in the tail."""
    long = epochs - tail
    if place < long or not tail:
        return (long - place) / long
    return (epochs - place) / (long * tail)

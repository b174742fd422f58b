"""Architectures drawn from what a search preferred at one epoch."""

from random import Random

import nasir
from nasir import Genotype, NasirError
from runners.plot.run import ArchitectureRow, PlottedRun
from runners.plot.style import NothingToDrawError


def draw_genotypes(run: PlottedRun, row: ArchitectureRow, count: int) -> list[Genotype]:
    """Genotypes drawn by the weights of the epoch's choices (`nasir.draw_genotype`).

    The draws depend on the run's seed and the epoch alone. Raises NothingToDrawError where the
    space cannot be found, or the row lacks a choice.
    """
    random = Random(f"{run.facts.seed} architectures of epoch {row.epoch}")
    try:
        space = nasir.load_space(run.facts.genotype_space or run.facts.space.name)
        weights = {name: [value or 0.0 for value in values] for name, values in row.weights.items()}
        seeds = [random.getrandbits(32) for _ in range(count)]
        return [nasir.draw_genotype(space, weights, seed) for seed in seeds]
    except NasirError as error:
        raise NothingToDrawError(error.message) from None

"""A store of made-up accuracies, as large as the largest benchmark."""

from hashlib import md5
from pathlib import Path

MODULES = 423_624
LENGTHS = (4, 12, 36, 108)


def write_large_store(path: Path) -> str:
    """Write a store of NAS-Bench-101's size and columns; the key of one of its modules."""
    import numpy as np

    from runners.benchmarks import Column
    from runners.benchmarks.store import write_store

    columns = [
        Column("cifar10", split, epochs, after, str(seed))
        for epochs in LENGTHS
        for after in (epochs // 2, epochs)
        for split in ("train", "valid", "test")
        for seed in range(3)
    ]
    keys = [md5(str(row).encode()).hexdigest() for row in range(MODULES)]
    matrix = np.random.default_rng(0).uniform(0, 100, (MODULES, len(columns)))
    write_store(path, (keys, columns, matrix), "nasbench101", "made-up")
    return keys[MODULES // 3]

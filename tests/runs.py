"""Runs in folders, for tests: their rows, and processes that tell how far they are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runners.folder.display import Display
from tests.processes import Say, fork


def rows(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The rows of a log."""
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


class Telling(Display):
    """Says a line at every step and epoch."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def step(self, epoch: int, step: int, steps: int, facts: object) -> None:
        """`step`."""
        del epoch, step, steps, facts
        self._say("step")

    def epoch(self, row: object, genotype_text: str) -> None:
        """`epoch`."""
        del row, genotype_text
        self._say("epoch")


LEFT = (
    *("metrics.jsonl", "architecture.jsonl", "genotype.json"),
    *("confusion.json", "weights.safetensors"),
)


def left(folder: Path) -> dict[str, bytes]:
    """What a run leaves that must not depend on how it came about."""
    return {name: (folder / name).read_bytes() for name in LEFT if (folder / name).exists()}


def apart(work: Callable[[Say], object]) -> None:
    """Does the work in a process of its own, which must end well."""
    assert fork(lambda say: (work(say), None)[1]).wait() == 0

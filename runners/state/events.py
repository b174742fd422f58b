"""TensorBoard events of a run, where their library is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Events:
    """Writes numbers of the logs as TensorBoard scalars; the writer is made at the first.

    After a resume TensorBoard is told to forget what was behind the checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._first = 0
        self._writer: Any = None

    def rewind(self, epoch: int) -> None:
        """What was written for this epoch and later ones no longer counts."""
        self._first = max(epoch, 0)

    def add(self, row: Mapping[str, Any]) -> None:
        """The numbers of a row of metrics, by path."""
        writer = self._made()
        for name, value in _numbers(row, ""):
            if name != "epoch":
                writer.add_scalar(name, value, row["epoch"])
        writer.flush()

    def add_weights(self, row: Mapping[str, Any]) -> None:
        """The weights of each choice's options."""
        writer = self._made()
        for choice, values in row["weights"].items():
            for number, value in enumerate(values):
                writer.add_scalar(f"weights/{choice}/{number}", value, row["epoch"])
        writer.flush()

    def close(self) -> None:
        """Writes what is left."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _made(self) -> Any:
        if self._writer is None:
            from importlib import import_module

            tensorboard: Any = import_module("tensorboardX")
            purge = self._first or None
            self._writer = tensorboard.SummaryWriter(str(self._folder), purge_step=purge)
        return self._writer


def _numbers(row: Mapping[str, Any], above: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in row.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{above}{name}/")
        elif isinstance(value, (int, float)):
            found.append((f"{above}{name}", float(value)))
    return found

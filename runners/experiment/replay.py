"""Whether a finished run repeats: it is run again beside it and compared."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir.wanted import checked
from runners.experiment.experiment import experiment_in
from runners.folder.display import Display
from runners.folder.facts import facts_of, read_facts
from runners.folder.logs import read_rows

FILES = {
    "search": ("metrics.jsonl", "architecture.jsonl", "genotype.json"),
    "evaluate": ("metrics.jsonl", "genotype.json", "confusion.json", "weights.safetensors"),
}
"""What must be equal, by the kind of run."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Whether a run repeats, and the first difference where it does not."""

    epochs: int
    difference: str


@checked
def replay(out: str | Path, display: Display | None = None) -> Replay:
    """Runs a finished run again and compares what it left, line by line and bit by bit.

    Raises E721 and E722 for what is no run, and what the run itself raises.
    """
    out = Path(out)
    kind = "evaluate" if read_facts(out).get("kind") == "evaluate" else "search"
    facts = facts_of(out, kind)
    with tempfile.TemporaryDirectory() as parent:
        again = Path(parent) / "run"
        _run(out, facts, again, display)
        epochs = len(read_rows(out / "metrics.jsonl"))
        return Replay(epochs, _difference(out, again, FILES[kind]))


def _run(out: Path, facts: Mapping[str, Any], folder: Path, display: Display | None) -> None:
    experiment = experiment_in(out, facts)
    if experiment.search is not None:
        from runners.experiment.search import search

        search(experiment, folder, display)
        return
    from runners.experiment.train import evaluate

    evaluate(experiment, folder, display)


def _difference(one: Path, other: Path, names: Sequence[str]) -> str:
    """The first place where these files of two runs differ; "" where they are equal."""
    for name in names:
        before, after = _lines(one / name), _lines(other / name)
        for number, (a, b) in enumerate(zip(before, after, strict=False), start=1):
            if a != b:
                return f"{name}, line {number}: {_apart(a, b)}"
        if len(before) != len(after):
            return f"{name} has {len(before)} lines, then {len(after)}"
    return ""


def _lines(path: Path) -> list[str]:
    """The lines of a text, or what a file of tensors is."""
    if not path.exists():
        return []
    if path.suffix == ".safetensors":
        from hashlib import sha256

        return [sha256(path.read_bytes()).hexdigest()]
    return path.read_text(encoding="utf-8").splitlines()


def _apart(one: str, other: str) -> str:
    """The place where two lines part, some characters of each."""
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    start = max(0, at - 30)
    return f"…{one[start : at + 20]}… became …{other[start : at + 20]}…"

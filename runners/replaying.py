"""Whether a finished run repeats: it is run again beside it and compared."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir import NasirError, Where
from runners import conduct
from runners.live import Display
from runners.state import read_facts

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


def replay(out: Path, display: Display | None = None) -> Replay:
    """Runs a finished run again and compares what it left, line by line and bit by bit.

    Raises E721 and E722 for what is no run, and what the run itself raises.
    """
    facts: dict[str, Any] = read_facts(out)
    kind = str(facts.get("kind"))
    if kind not in FILES:
        raise NasirError("E721", f"the folder is the run of: {kind}", Where(str(out)))
    with tempfile.TemporaryDirectory() as parent:
        again = Path(parent) / "run"
        _run(kind, facts["request"], again, display)
        epochs = len((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        return Replay(epochs, conduct.difference(out, again, FILES[kind]))


def _run(kind: str, request: Any, folder: Path, display: Display | None) -> None:
    if kind == "search":
        from runners.loop import search
        from runners.loop.request import request_of

        search(request_of(request), folder, display)
        return
    from runners.training import evaluate
    from runners.training.request import training_of

    evaluate(training_of(request), folder, display)

"""Small searches for tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from runners.experiment.loop import Request, Result, search
from runners.folder.live import SilentDisplay

TEXTS = ("train", "valid", "test")


def tiny(space: str = "nasbench201", method: str = "darts", **changes: Any) -> Request:
    """Two epochs of two steps on digits; selection measures little."""
    trains = method != "random"
    layers = 1 if space.startswith("nasbench201") else 3
    given: dict[str, Any] = {
        "epochs": 2 if trains else None,
        "sizes": {"channels": 12 if method == "drnas-progressive" else 4, "layers": layers},
        "limit": 64,
        "batch": 32,
        "steps": 2,
        "candidates": 2,
        "batches": 1,
    }
    return replace(Request(space, method), **(given | changes))


def run(request: Request, folder: Path) -> Result:
    """The search, without a word."""
    return search(request, folder, SilentDisplay())


def write_text(folder: Path, words: int = 400) -> str:
    """A folder with three small texts; the data argument that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, split in enumerate(TEXTS):
        line = " ".join(f"w{(i * (number + 3)) % 23}" for i in range(20))
        (folder / f"{split}.txt").write_text(f"{line}\n" * (words // 20), encoding="utf-8")
    return f"text:{folder}"

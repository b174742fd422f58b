"""Small searches for tests."""

from pathlib import Path
from typing import Any

from runners.experiment.experiment import Experiment, RunOptions, Search
from runners.experiment.search import Result, search
from runners.folder.display import Display

ENAS = """\
method: enas
like: enas
architect: {part: reinforce, steps: 2, together: 2}
"""
"""The method as it is would draw 1,000 genotypes in each epoch."""

TEXTS = ("train", "valid", "test")

SHORT = {
    "epochs": "train.epochs",
    "batch": "train.batch",
    "drop_path": "train.drop_path",
    "cutout": "images.cutout",
}

_SCORED: dict[str, Any] = {"parts": {"value": "proxy:params"}, "queries": 12, "epochs": None}

ASKED: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("evolution", "local-search", "bananas", "nsga2"), _SCORED),
    "successive-halving": {"parts": {"value": "recipe:digits"}, "queries": 3, "drop_path": 0},
}
"""What the methods without a supernet ask for."""


def spread(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of an experiment, from names of all its models, `sizes`, `parts` and `SHORT`."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in Search.model_fields:
            found.setdefault("search", {})[name] = value
        elif name in RunOptions.model_fields:
            found.setdefault("run", {})[name] = value
        elif name == "parts":
            found.setdefault("search", {}).update(value)
        elif name in ("sizes", "values"):
            prefix = "network." if name == "sizes" else ""
            named = {f"{prefix}{key}": each for key, each in value.items()}
            found.setdefault("values", {}).update(named)
        elif name in SHORT:
            if value is not None:
                found.setdefault("values", {})[SHORT[name]] = value
        else:
            found[name] = value
    return found


def changed(experiment: Experiment, **changes: Any) -> Experiment:
    """The experiment with other values, by the names of `spread`."""
    return experiment.having(**spread(changes))


def tiny(space: str = "nasbench201", method: str = "darts", **changes: Any) -> Experiment:
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
        "method": method,
        **ASKED.get(method, {}),
    }
    return Experiment(of=space, **spread(given | changes))


def run(experiment: Experiment, folder: Path) -> Result:
    """The search, without a word."""
    return search(experiment, folder, Display())


def write_text(folder: Path, words: int = 400) -> str:
    """A folder with three small texts; the data argument that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, split in enumerate(TEXTS):
        line = " ".join(f"w{(i * (number + 3)) % 23}" for i in range(20))
        (folder / f"{split}.txt").write_text(f"{line}\n" * (words // 20), encoding="utf-8")
    return f"text:{folder}"

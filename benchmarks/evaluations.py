"""Real trainings for RESULTS.md: published, random and searched networks at a reduced size.

    python -m benchmarks.evaluations images FOLDER --data cifar10:PATH
    python -m benchmarks.evaluations searched FOLDER --data cifar10:PATH --searches FOLDER
    python -m benchmarks.evaluations text FOLDER --data wikitext-2:PATH,… [--searches FOLDER]
    python -m benchmarks.evaluations write FOLDER

Each network is a run directory in FOLDER/KIND, which goes on where it was stopped; `write` prints
the tables.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IMAGES = ("darts_v2", "drnas_cifar10", "pc_darts_cifar", "random")
SEARCHED = ("darts", "pc-darts", "drnas", "darts-pt", "gdas", "random")
TEXT = ("DARTS_V2@darts_rnn", "random_rnn")

OPTIONS = {
    "images": ("--recipe", "cifar10-short"),
    "searched": ("--recipe", "nasbench201-12", "--channels", "8", "--layers", "1", "--epochs", "4"),
    "text": ("--recipe", "wikitext2", "--hidden", "128", "--epochs", "12", "--limit", "64000",
             "--set", "train.batch=32"),
}  # fmt: skip
"""How each kind is trained, smaller than published."""


def run(kind: str, name: str, genotype: str, folder: Path, data: str) -> None:
    """Trains one network, or goes on with it; its seconds are in times.jsonl."""
    out = folder / kind / name
    if (out / "summary.json").exists():
        return
    program = [sys.executable, "-m", "nasir", "evaluate"]
    if (out / "run.json").exists():
        arguments = ["--resume", str(out)]
    else:
        arguments = [genotype, *OPTIONS[kind], "--data", data, "-o", str(out)]
    print(kind, name, flush=True)
    subprocess.run([*program, *arguments], check=True)


def random_genotype(space: str, folder: Path) -> str:
    """A file with the space's cell of seed 0."""
    import nasir

    path = folder / f"random-{space}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nasir.dump_genotype(nasir.sample(nasir.load_space(space), 0)), encoding="utf-8")
    return str(path)


def run_kind(kind: str, folder: Path, data: str, searches: Path | None) -> None:
    """All networks of a kind."""
    if kind == "searched":
        if searches is None:
            raise SystemExit(
                "--searches FOLDER: where `python -m benchmarks.results run` left runs"
            )
        for method in SEARCHED:
            run(kind, method, str(searches / f"{method}-0" / "genotype.json"), folder, data)
        return
    names = IMAGES if kind == "images" else TEXT
    space = "darts" if kind == "images" else "darts_rnn"
    for name in names:
        genotype = random_genotype(space, folder) if name.startswith("random") else name
        run(kind, name.partition("@")[0], genotype, folder, data)
    for found in sorted(searches.iterdir()) if searches else ():
        run(kind, f"searched-{found.name}", str(found / "genotype.json"), folder, data)


def table(kind: str, folder: Path) -> str:
    """The networks of a kind in Markdown, the best first."""
    metric = "perplexity" if kind == "text" else "accuracy"
    split = "valid" if kind == "text" else "test"
    found = [_row(path.parent, split) for path in (folder / kind).glob("*/summary.json")]
    found.sort(key=lambda row: row["measure"][metric], reverse=metric == "accuracy")
    head = f"| network | parameters | multiply-adds | {split} {metric} | loss | minutes |"
    lines = [head, "|---|---|---|---|---|---|"]
    for row in found:
        value = row["measure"][metric]
        shown = f"{value:.2f} %" if metric == "accuracy" else f"{value:.1f}"
        lines.append(
            f"| {row['name']} | {row['params']:,} | {row['macs']:,} | {shown} | "
            f"{row['measure']['loss']:.3f} | {row['seconds'] / 60:.0f} |"
        )
    return "\n".join(lines)


def _row(run: Path, split: str) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    times = (run / "times.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        "name": run.name,
        "params": summary["params"],
        "macs": summary["macs"],
        "measure": summary[split],
        "seconds": sum(json.loads(line)["seconds"] for line in times),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, or writes the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluations", description=__doc__)
    parser.add_argument("what", choices=(*OPTIONS, "write"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="")
    parser.add_argument("--searches", type=Path)
    given = parser.parse_args(arguments)
    if given.what != "write":
        run_kind(given.what, given.folder, given.data, given.searches)
        return
    for kind in OPTIONS:
        if (given.folder / kind).is_dir():
            print(f"\n{kind}\n\n{table(kind, given.folder)}")


if __name__ == "__main__":
    main()

"""Digests of small searches and trainings of every family, to compare before and after a change.

`python -m tests.golden write FILE` runs the cases of the table below and writes their digests;
`python -m tests.golden compare FILE` runs them again, prints for each whether it is the same or
what differs first, and ends with 1 where something differs. Digests hold on one machine and one
torch. What must stay is the genotype, the rows, the measures and the network's weights; other
tensors of the state may come and go, and everything may change its name.
"""

import argparse
import hashlib
import json
import os
import re
import resource
import shlex
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

# The table: what has to follow when options, keys of files or names of state are renamed.
_FEW = "--epochs 2 --steps 2 --batch 16 --limit 64 --batches 1 --candidates 2 --seed 7"
_DIGITS = f"--data digits --channels 4 {_FEW}"
_TABULAR = f"search nasbench201 --layers 1 {_DIGITS} --method"
_CELLS = f"search darts --layers 3 {_DIGITS} --method"
_TRAIN = "--layers 3 --channels 4 --epochs 3 --steps 3 --batch 8 --seed 7"
_TEXT = "--data text:text --hidden 8 --batch 4 --seed 7"
_CIFAR = "--data cifar10:{data}/cifar10-jpeg.tar.gz --seed 7 --epochs 2 --steps 3 --batch 8"
_WIKI = "--data text:wiki --hidden 8 --seed 7 --epochs 2 --steps 4 --batch 8"
_TREE = "'|nor_conv_3x3~0|+|avg_pool_3x3~0|skip_connect~1|+|none~0|nor_conv_1x1~1|skip_connect~2|'"

CASES = {
    "darts": f"{_TABULAR} darts",
    "darts-2nd": f"{_TABULAR} darts-2nd",
    "pc-darts": f"{_TABULAR} pc-darts --edges none",
    "drnas": f"{_TABULAR} drnas",
    "drnas-progressive": f"{_TABULAR} drnas-progressive --channels 12 --epochs 4",
    "sdarts-rs": f"{_TABULAR} sdarts-rs",
    "sdarts-adv": f"{_TABULAR} sdarts-adv",
    "darts-pt": f"{_TABULAR} darts-pt --interval 1 --epochs 7",
    "sdarts-rs-pt": f"{_TABULAR} sdarts-rs-pt --interval 1 --epochs 7",
    "blank-pt": f"{_TABULAR} blank-pt --interval 1 --epochs 7",
    "gdas": f"{_TABULAR} gdas",
    "snas": f"{_TABULAR} snas",
    "enas": f"{_TABULAR} enas.yaml",
    "random-ws": f"{_TABULAR} random-ws",
    "random": "search nasbench201 --data digits --method random --limit 64 --seed 7",
    "darts space, second order": f"{_CELLS} darts-2nd",
    "darts space, pc-darts": f"{_CELLS} pc-darts --cutout 2 --shuffled",
    "darts space, progressive": f"{_CELLS} drnas-progressive --channels 12 --as-published",
    "darts space, drop path": f"{_CELLS} darts --drop-path 0.3 --measure last --memory cells",
    "eigenvalue stop": f"{_TABULAR} stop.yaml --epochs 4",
    "nasbench1shot1": f"search nasbench1shot1_1 --layers 3 {_DIGITS} --regularise kl"
    " --method drnas",
    "recurrent search": f"search darts_rnn --epochs 2 --steps 2 {_TEXT}",
    "cifar10 search": f"search nasbench201 --layers 1 --channels 4 --limit 96 {_CIFAR} --cutout 8",
    "wikitext-2 search": f"search darts_rnn {_WIKI}",
    "train darts": f"evaluate darts_v2 --data images.npz {_TRAIN} --set train.ema=0.9"
    " --set train.smoothing=0.1 --set train.drop_path=0.4 --set train.auxiliary=0.4"
    " --set images.cutout=8",
    "train the best": f"evaluate pc_darts_cifar --recipe digits {_TRAIN} --limit 64"
    " --validation 0.25 --set train.keep=best --set train.accumulate=2 --set schedule.warm_up=1"
    " --set schedule.by=batch",
    "train inherited": "evaluate 'runs/darts space, drop path' --recipe digits --epochs 2 --steps 2"
    " --limit 64 --seed 7 --inherit 'runs/darts space, drop path'",
    "train nasbench201": f"evaluate {_TREE} --recipe nasbench201 --data digits --layers 1"
    " --channels 4 --epochs 2 --steps 3 --batch 16 --limit 64 --seed 7",
    "train nasbench101": "evaluate node_cell.json --recipe digits --layers 1 --channels 8"
    " --set train.drop_path=0 --epochs 2 --steps 3 --batch 16 --limit 64 --seed 7",
    "train nnabla": f"evaluate darts_v2 --recipe nnabla --data images.npz {_TRAIN}",
    "train recurrent": f"evaluate penn_pgd --recipe ptb {_TEXT} --epochs 5"
    " --set optimizer.average_after=1",
    "train photos": f"evaluate darts_v2 --data imagefolder:photos@32 {_TRAIN}",
    "cifar10 training": f"evaluate darts_v2 --channels 4 --layers 3 --limit 96 {_CIFAR}",
    "wikitext-2 training": f"evaluate penn_pgd --recipe wikitext2 {_WIKI}",
}  # fmt: skip
"""Command lines, without `-o`. Later ones may read `runs/NAME` of earlier ones."""

KILLED = {"darts-pt": 4, "drnas-progressive": 2, "train darts": 2, "train recurrent": 3}
"""Cases that are run once more, killed in the epoch after so many rows, and gone on with."""

RESUME = "{command} --resume"

FILES = {
    "enas.yaml": "method: enas\nlike: enas\narchitect: {part: reinforce, steps: 2, together: 2}\n",
    "stop.yaml": "method: stop\nlike: darts\nstop: {part: eigenvalue, every: 1, window: 1,"
    " apart: 1, factor: 0.1, earliest: 0}\n",
    "node_cell.json": json.dumps({"nasir": 1, "genotype": {"space": "nasbench101", "cells": {
        "cell": {"inputs": 1, "output": [0, 2, 3], "nodes": [
            {"op": "conv3x3-bn-relu", "from": [0]}, {"op": "conv1x1-bn-relu", "from": [0, 1]},
            {"op": "maxpool3x3", "from": [1, 2]}]}}}}),
}  # fmt: skip

NETWORK = "state weights "
"""How the names of the network's tensors begin in a checkpoint."""

UNSTABLE = ("name", "latency")
"""Keys of files that are left out."""

MUST_STAY = ("genotype", "weights", "metrics", "architecture", "summary")
"""The parts of a digest in the order of comparison; `state` comes after them."""

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
"""Where real data may be; its cases are left out where it is not."""

Digest = dict[str, dict[str, str]]
"""By part: what was found, by its name in the files."""


def digest(run: Path) -> Digest:
    """What a run's folder holds, without times, dates and paths."""
    genotypes = [run / "genotype.json", *sorted((run / "genotypes").glob("*.json"))]
    summary = [run / name for name in ("summary.json", "confusion.json")]
    checkpoint = _tensors(sorted((run / "checkpoints").glob("*"))[-1:])
    final = _tensors(sorted(run.glob("weights.*")))
    weights = {name: value for name, value in checkpoint.items() if name.startswith(NETWORK)}
    return {
        "genotype": _files(genotypes),
        "weights": weights | {f"final {name}": value for name, value in final.items()},
        "metrics": _rows(run / "metrics.jsonl"),
        "architecture": _rows(run / "architecture.jsonl"),
        "summary": _files(path for path in summary if path.exists()),
        "state": {name: value for name, value in checkpoint.items() if name not in weights},
    }


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """What differs first; "" where the values are the same, whatever their names."""
    if sorted(old.values()) == sorted(new.values()):
        return ""
    name = next(name for name in (*old, *new) if old.get(name) != new.get(name))
    return f"{name}: {old.get(name, 'nothing')} became {new.get(name, 'nothing')}"


def verdict(old: Digest, new: Digest) -> tuple[bool, str]:
    """Whether a case still gives the same, and what to say of it."""
    for part in ("failed", *MUST_STAY):
        found = difference(old.get(part, {}), new.get(part, {}))
        if found:
            return False, f"DIFFERS in {part}, {found}"
    found = difference(old.get("state", {}), new.get("state", {}))
    renamed = [part for part in old if old[part] != new.get(part)]
    if found:
        return True, f"same, with another state: {found}"
    return True, f"same, with other names in {', '.join(renamed)}" if renamed else "same"


def run_case(name: str, command: str, killed_after: int = 0) -> Digest:
    """The digest of a command's run in this folder. Raises RuntimeError where it fails."""
    out = Path("runs") / name
    words = shlex.split(command.format(data=DATA))
    process = _start([*words, "-o", str(out)], out)
    if killed_after:
        while process.is_alive() and _lines(out / "metrics.jsonl") < killed_after:
            time.sleep(0.001)
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError("it ended before it was killed")
        process = _start([*shlex.split(RESUME.format(command=words[0])), str(out)], out)
    process.join()
    if process.exitcode:
        raise RuntimeError(Path(f"{out}.log").read_text(encoding="utf-8")[-2000:])
    return digest(out)


def run_all(names: list[str]) -> Iterator[tuple[str, Digest, float]]:
    """Digests of the cases of these names, or all, and the seconds of processor time they took."""
    cases = {name: (command, 0) for name, command in CASES.items()}
    cases |= {f"{name}, killed": (CASES[name], rows) for name, rows in KILLED.items()}
    for name, (command, killed_after) in cases.items():
        read = any(f"runs/{name}'" in cases[other][0] for other in names)
        there = DATA.exists() or not re.search("{data}|text:wiki", command)
        if there and (not names or name in names or read):
            before = _processor_time()
            try:
                found = run_case(name, command, killed_after)
            except RuntimeError as error:
                found = {"failed": {"because": str(error)}}
            yield name, found, _processor_time() - before


def make_inputs() -> None:
    """Files, images and a text in this folder, the same every time."""
    import numpy as np
    from PIL import Image

    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    labels = np.arange(48) % 4
    noise = np.random.default_rng(0).integers(0, 64, (48, 32, 32, 3))
    images = (noise + 60 * labels[:, None, None, None]).clip(0, 255).astype(np.uint8)
    parts = {"train": slice(0, 32), "test": slice(32, 48)}
    arrays: dict[str, Any] = {f"x_{part}": images[rows] for part, rows in parts.items()}
    arrays |= {f"y_{part}": labels[rows] for part, rows in parts.items()}
    np.savez("images.npz", **arrays)
    for part, rows in parts.items():
        for number, image in enumerate(images[rows]):
            path = Path("photos", part, f"class{number % 4}", f"{number:02d}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).resize((40 + number % 3, 36)).save(path)
    words = Random(0).choices([f"w{i}" for i in range(23)], range(1, 24), k=1800)
    made = [f"{' '.join(words[i : i + 20])}\n" for i in range(0, 1800, 20)]
    texts = {"text": (made[:30], made[30:60], made[60:])}
    if DATA.exists():
        read = (DATA / "wikitext-2" / "valid.txt").read_text(encoding="utf-8").splitlines(True)
        texts["wiki"] = (read[:80], read[80:120], read[120:160])
    for folder, parts_of_text in texts.items():
        Path(folder).mkdir()
        for part, lines in zip(("train", "valid", "test"), parts_of_text, strict=True):
            Path(folder, f"{part}.txt").write_text("".join(lines), encoding="utf-8")


def main() -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("action", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("cases", nargs="*", help="only these; all by default")
    options = parser.parse_args()
    file = options.file.resolve()
    golden: dict[str, Digest] = {}
    if options.action == "compare":
        golden = json.loads(file.read_text(encoding="utf-8"))
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    failures, found = 0, dict[str, Digest]()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = folder
        Path("runs").mkdir()
        make_inputs()
        for name, new, seconds in run_all(options.cases):
            # A killed run is held against the whole one where it has no digest of its own yet.
            old = golden.get(name) or found.get(name.removesuffix(", killed"))
            good, said = verdict(old, new) if old else ("failed" not in new, "new")
            failures += not good
            found[name] = new
            said = f"FAILED: {new['failed']['because']}" if "failed" in new else said
            sys.stdout.write(f"{name:28} {seconds:5.1f} s  {said}\n")
            sys.stdout.flush()
        os.chdir(ROOT)
    for name in () if options.cases else golden.keys() - found.keys():
        failures += 1
        sys.stdout.write(f"{name:28}          DIFFERS: it was not run\n")
    if options.action == "write":
        file.write_text(json.dumps(found, indent=1), encoding="utf-8")
    sys.stdout.write(f"{len(found)} cases, {failures} differ; {_processor_time():.0f} s\n")
    return int(failures > 0)


def _start(words: list[str], out: Path) -> BaseProcess:
    """The command `nasir` in a forked process, which has imported torch already."""
    import torch

    import runners

    _ = runners.evaluate, runners.search  # imports what they need, once for all cases
    torch.set_num_threads(1)
    process = get_context("fork").Process(target=_work, args=(words, Path(f"{out}.log")))
    process.start()
    return process


def _work(words: list[str], log: Path) -> None:
    import runners.cli

    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.argv = ["nasir", *words]
    runners.cli.main()


def _tensors(paths: list[Path]) -> dict[str, str]:
    """Digests over type, shape and bytes of each tensor, whatever the files' layout."""
    import torch
    from safetensors.torch import load_file

    found: dict[str, str] = {}
    for path in paths:
        plain: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path)
        for name, value in _leaves(plain):
            if isinstance(value, torch.Tensor):
                content = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
                found[name] = _hash(f"{value.dtype} {list(value.shape)} ".encode() + content)
    return dict(sorted(found.items()))


def _values(documents: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The values of JSON texts, by name and key. Floats are written with all their bits."""
    leaves = _leaves({name: json.loads(text) for name, text in documents})
    texts = ((name, json.dumps(value)) for name, value in leaves)
    return {name: text if len(text) <= 40 else _hash(text.encode()) for name, text in texts}


def _files(paths: Iterable[Path]) -> dict[str, str]:
    return _values((path.name, path.read_text(encoding="utf-8")) for path in paths)


def _rows(path: Path) -> dict[str, str]:
    rows = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return _values((str(number), row) for number, row in enumerate(rows))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """What nested mappings hold, by the way to it."""
    if isinstance(value, Mapping):
        for key in (key for key in value if key not in UNSTABLE):
            yield from _leaves(value[key], f"{name} {key}".lstrip())
    else:
        yield name, value


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())

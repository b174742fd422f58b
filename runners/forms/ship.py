"""A folder with the network in the form that was picked, and a program that runs it."""

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import lowering
from lowering.onnx.session import PART
from nasir import NasirError
from nasir.files import write_atomically
from nasir.quoting import json_text
from runners.forms import exports
from runners.forms.targets import Source, Target
from runners.task import measure

HEAD = '''\
"""Runs the network in this folder, which nasir wrote: python run.py PICTURES.npy

PICTURES.npy holds float32 (N, {shape}), normalised as the network was trained.
Prints the likeliest class of each picture.
"""

import sys
from pathlib import Path

import numpy as np
'''

ONNX = '''\
import onnxruntime

HERE = Path(__file__).resolve().parent
options = onnxruntime.SessionOptions()
session = onnxruntime.InferenceSession(
    HERE / "network.onnx", options, providers=["CPUExecutionProvider"]
)


def run(pictures):
    """Logits (N, classes)."""
    return session.run(None, {"image": pictures})[0]
'''

ONNX_WORKERS = '''\
from concurrent.futures import ThreadPoolExecutor

import onnxruntime

HERE = Path(__file__).resolve().parent
WORKERS, PART = {workers}, {part}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # each worker has pictures of its own, which stay in its cache
session = onnxruntime.InferenceSession(
    HERE / "network.onnx", options, providers=["CPUExecutionProvider"]
)
pool = ThreadPoolExecutor(WORKERS)


def run(pictures):
    """Logits (N, classes)."""
    parts = [pictures[at : at + PART] for at in range(0, len(pictures), PART)]
    return np.concatenate(list(pool.map(one, parts)))


def one(part):
    """The logits of one part."""
    return session.run(None, {{"image": part}})[0]
'''

PROGRAM = '''\
import torch

HERE = Path(__file__).resolve().parent
network = torch.export.load(HERE / "network.pt2").module()


def run(pictures):
    """Logits (N, classes)."""
    with torch.no_grad():
        return network(torch.from_numpy(pictures){layout}).numpy()
'''

PACKAGE = '''\
import torch

HERE = Path(__file__).resolve().parent
network = torch._inductor.aoti_load_package(str(HERE / "network.pt2"))
BATCH = {batch}  # what the network was compiled for


def run(pictures):
    """Logits (N, classes); the last call is filled up with zeros."""
    found = []
    with torch.no_grad():
        for at in range(0, len(pictures), BATCH):
            part = pictures[at : at + BATCH]
            full = np.zeros((BATCH, *part.shape[1:]), np.float32)
            full[: len(part)] = part
            found.append(network(torch.from_numpy(full)).numpy()[: len(part)])
    return np.concatenate(found)
'''

TAIL = """

if __name__ == "__main__":
    for label in run(np.load(sys.argv[1]).astype(np.float32)).argmax(1):
        print(label)
"""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What `ship.json` says: the target, and what was measured."""

    target: Target
    facts: Mapping[str, Any]


def ship(source: Source, shipped: Shipped, folder: Path) -> tuple[Path, ...]:
    """Writes the network as the target runs it, `run.py` and `ship.json`; the files.

    `run.py` needs numpy and torch, or numpy and onnxruntime, and not nasir. Raises E112, E504, and
    E766 for a language model, whose programs are not written.
    """
    if source.graph.about.get("skeleton") == "rnn":
        message = "a language model has no program of its own to ship"
        raise NasirError("E766", message, hint="--onnx and --python write its files")
    name, text, content = _network(source, shipped.target.name)
    shape = ", ".join(str(size) for size in measure.example(source.graph, 1)[0].shape[1:])
    head = HEAD.format(shape=shape)
    facts = json_text(shipped.facts, indent=2)
    return (
        write_atomically(folder / name, content),
        write_atomically(folder / "run.py", f"{head}{text}{TAIL}".encode()),
        write_atomically(folder / "ship.json", f"{facts}\n".encode()),
    )


def _network(source: Source, target: str) -> tuple[str, str, bytes]:
    """The network's file name, the middle of `run.py`, and the file's content."""
    if target == "onnxruntime":
        path = source.folder / "network.onnx"
        if not path.exists():
            lowering.to_onnx(source.graph, source.module, path)
        workers = torch.get_num_threads()
        many = source.batch >= 2 * workers > 2
        text = ONNX_WORKERS.format(workers=workers, part=PART) if many else ONNX
        return "network.onnx", text, path.read_bytes()
    if target == "compiled":
        return "network.pt2", PACKAGE.format(batch=source.batch), _package(source)
    folded = lowering.to_inference(source.graph, source.module)
    module = folded if target.startswith("folded") else source.module
    last = target in ("channels_last", "folded_last")
    text = PROGRAM.format(layout=".to(memory_format=torch.channels_last)" if last else "")
    with tempfile.TemporaryDirectory() as folder:
        path = exports.export_program(source.graph, module, Path(folder) / "network.pt2")
        return "network.pt2", text, path.read_bytes()


def _package(source: Source) -> bytes:
    """The folded network compiled ahead of time for the batch. Raises E504."""
    inductor: Any = torch._inductor  # pyright: ignore[reportPrivateUsage] - has no public name
    folded = lowering.to_inference(source.graph, source.module)
    inputs = measure.example(source.graph, source.batch)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.pt2"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch about itself
                program = torch.export.export(folded, inputs)
                inductor.aoti_compile_and_package(program, package_path=str(path))
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            message = f"the network cannot be compiled ahead of time: {reason}"
            raise NasirError("E504", message) from error
        return path.read_bytes()

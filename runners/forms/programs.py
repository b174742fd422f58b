"""The programs that are shipped with a network's file: they need numpy and one runtime."""

from collections.abc import Sequence
from string import Template


def program(middle: str, shape: Sequence[int], **values: object) -> str:
    """The text of `run.py` for images of that shape; `values` replace the names after a `$`."""
    shown = ", ".join(map(str, shape))
    return Template(_HEAD + middle + _TAIL).substitute(values, shape=shown)


_HEAD = '''\
"""Runs the network in this folder, which nasir wrote: python run.py IMAGES.npy

IMAGES.npy holds float32 (N, $shape), normalised as the network was trained.
Prints the likeliest class of each image.
"""

import sys
from pathlib import Path

import numpy as np
'''

_TAIL = """

if __name__ == "__main__":
    for label in run(np.load(sys.argv[1]).astype(np.float32)).argmax(1):
        print(label)
"""

ONNX = '''\
from concurrent.futures import ThreadPoolExecutor

import onnxruntime

FILE = Path(__file__).resolve().parent / "$file"
WORKERS, PART = $workers, $part
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = $threads  # several workers: each has images of its own
session = onnxruntime.InferenceSession(FILE, options, providers=["CPUExecutionProvider"])
pool = ThreadPoolExecutor(WORKERS)


def run(images):
    """Logits (N, classes)."""
    parts = [images[at : at + PART] for at in range(0, len(images), PART)]
    return np.concatenate(list(pool.map(one, parts)))


def one(part):
    """The logits of one part."""
    return session.run(None, {session.get_inputs()[0].name: part})[0]
'''

EXPORTED = '''\
import torch

network = torch.export.load(Path(__file__).resolve().parent / "$file").module()


def run(images):
    """Logits (N, classes)."""
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()
'''

PACKAGE = '''\
import torch

FILE = Path(__file__).resolve().parent / "$file"
network = torch._inductor.aoti_load_package(str(FILE))
BATCH = $batch  # what the network was compiled for


def run(images):
    """Logits (N, classes); the last call is filled up with zeros."""
    found = []
    with torch.no_grad():
        for at in range(0, len(images), BATCH):
            part = images[at : at + BATCH]
            full = np.zeros((BATCH, *part.shape[1:]), np.float32)
            full[: len(part)] = part
            found.append(network(torch.from_numpy(full)).numpy()[: len(part)])
    return np.concatenate(found)
'''

PYTHON = '''\
from importlib.util import module_from_spec, spec_from_file_location

import torch

spec = spec_from_file_location("network", Path(__file__).resolve().parent / "$file")
module = module_from_spec(spec)
spec.loader.exec_module(module)
network = module.load()


def run(images):
    """Logits (N, classes)."""
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()
'''

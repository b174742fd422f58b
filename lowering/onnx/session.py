"""ONNX Runtime: sessions of models, and a model that is called as a module is."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasir import NasirError, Where

PART = 4
"""Pictures that a worker works on at a time: what it makes of them stays in its cache."""


class Session(Protocol):
    """What is used of onnxruntime's session, which is only partly typed."""

    def run(self, names: None, inputs: Mapping[str, Any], /) -> list[NDArray[np.float32]]: ...

    def get_inputs(self) -> list[Any]: ...


def open_session(content: bytes, threads: int = 0) -> Session:
    """A session on the CPU with all of the runtime's optimisations. Raises E501.

    `threads` work on each op; 0 leaves that to the runtime.
    """
    try:
        runtime: Any = import_module("onnxruntime")
    except ImportError:
        raise NasirError(
            "E501", "onnxruntime is not installed", hint="pip install nasir[runtime]"
        ) from None
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Threads that wait busily would take the cores from torch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class OnnxNetwork:
    """A model's file in ONNX Runtime, on the CPU: tensors in, tensors out, in the file's order.

    With several `workers` each works on pictures of its own, PART at a time, which stay in its
    cache; otherwise `threads` work on each op (0: as many as the runtime likes). Raises E101 where
    the file is not there, E501 without the runtime, E104 for what is no model.
    """

    def __init__(self, path: str | Path, workers: int = 1, threads: int = 0) -> None:
        path = Path(path)
        where = Where(str(path))
        if not path.is_file():
            raise NasirError("E101", f"there is no file '{path}'", where)
        try:
            self._session = open_session(path.read_bytes(), 1 if workers > 1 else threads)
        except NasirError:
            raise
        except Exception as error:  # the runtime's own exceptions share no class
            raise NasirError("E104", f"ONNX Runtime refuses the file: {error}", where) from None
        self._names = [str(each.name) for each in self._session.get_inputs()]
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def __call__(self, *inputs: Tensor) -> Any:
        """One tensor, or a tuple of all."""
        arrays = [value.detach().cpu().numpy() for value in inputs]
        if self._pool is None:
            found = self._run(arrays)
        else:
            places = range(0, len(arrays[0]), PART)
            parts = [[array[place : place + PART] for array in arrays] for place in places]
            rows = list(self._pool.map(self._run, parts))
            found = [np.concatenate(column) for column in zip(*rows, strict=True)]
        results = tuple(torch.as_tensor(cast("Any", each)) for each in found)
        return results[0] if len(results) == 1 else results

    def _run(self, arrays: list[Any]) -> list[Any]:
        return self._session.run(None, dict(zip(self._names, arrays, strict=True)))

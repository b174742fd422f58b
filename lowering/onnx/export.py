"""Writes ONNX files, opens them in ONNX Runtime, and compares their results with the network."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Event, Timer
from typing import Any, Protocol, cast

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lowering.agreement import (
    HALF_TOLERANCE,
    TOLERANCE,
    Arrays,
    Comparison,
    compared,
    draw,
    evaluate,
)
from lowering.onnx.model import DOMAIN, make_model
from lowering.onnx.rule import OPSET, Dialect
from lowering.plan import functions_of
from lowering.torch import to_torch
from nasir import Graph, ImageType, NasirError, Type, Where, run_passes
from nasir.arguments import checked
from nasir.errors import quoted
from nasir.files import is_file, write_atomically
from nasir.formats.own import seal
from nasir.passes import DISCRETE, EVALUATION, PASSES, PLAIN
from nasir.passes.memory import called, cells_of
from nasir.passes.rewriting import given_inputs

_PLAIN = Dialect()


@checked
def to_onnx(
    graph: Graph,
    module: nn.Module,
    path: str | Path,
    *,
    inline: bool = False,
    dynamic: bool = False,
    half: bool = False,
    opset: int = OPSET,
) -> Path:
    """Write the network with the module's weights to `path`, which is returned.

    Input `image` (batch, C, H, W) and output `logits` (batch, classes) in float32, the batch
    symbolic; in inference, without the auxiliary head; opset `OPSET`, IR version `IR_VERSION`. A
    language model reads `tokens` (time, batch) in int64 and `hidden` (batch, units), and gives
    `log_probabilities` and `next_hidden`; its cell is called from a `Scan`, for any time. Each kind
    of cell is one function in the domain `nasir`, called with the weights of each instance under
    their stable keys; `inline` writes the same nodes without functions.

    `dynamic` leaves the height and width of images open, to those that differ from the graph's by
    multiples of the network's stride; an error names the op that ties it to one size. With `half`
    weights and values are float16, inputs and outputs float32. `opset` is 17 to `OPSET`. The
    model's metadata holds the genotype. Equal calls write equal bytes. Nothing is written unless
    the model passes ONNX's full checker.
    """
    dialect = Dialect(opset, dynamic, half)
    content = encode(graph, module.state_dict(), dialect, inline=inline)
    return write_atomically(Path(path), content)


def encode(
    graph: Graph,
    weights: Mapping[str, Tensor],
    dialect: Dialect = _PLAIN,
    *,
    inline: bool = False,
) -> bytes:
    """The checked model as a file's content."""
    lowered, _ = run_passes(replace(graph, auxiliary=()), (*DISCRETE, *EVALUATION))
    lowered = replace(lowered, inputs=given_inputs(lowered))  # nothing reads the other any more
    if dialect.dynamic:
        _check_any_size(lowered)
    if inline:
        model = make_model(lowered, weights, dialect)
    else:
        lowered = called(lowered, cells_of(lowered))
        model = make_model(lowered, weights, dialect, functions_of(lowered))
    proto = check_model(ir.to_proto(model))
    seal(proto)
    return proto.SerializeToString(deterministic=True)


def _check_any_size(graph: Graph) -> None:
    """Raises an error for an op that ties a network to the height and width of its images.

    Types and weights must fit images that are larger by a power of two, any network's stride.
    """
    if not any(isinstance(type_, ImageType) for _, type_ in graph.inputs):
        message = "the network reads no images of any height and width"
        raise NasirError("E505", message, hint="leave 'dynamic' out")
    try:
        replace(graph, inputs=tuple((name, _larger(type_)) for name, type_ in graph.inputs))
    except NasirError as error:
        node = next((node for node in graph if node.place == error.where), None)
        op = f"the op '{node.op.name}'" if node else "an op"
        message = f"{op} ties the network to images of one size: {error.message}"
        hint = "leave 'dynamic' out, or choose a skeleton with a global mean, or features"
        raise NasirError("E505", message, error.where, hint) from None


def _larger(type_: Type) -> Type:
    if not isinstance(type_, ImageType):
        return type_
    step = 1 << (max(type_.h, type_.w) - 1).bit_length()
    return replace(type_, h=type_.h + step, w=type_.w + 2 * step)


def check_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes that ONNX infers, if its full checker takes it.

    Strict shape inference goes through the functions and must confirm the shapes that the graph's
    types gave to the values of the main graph.
    """
    try:
        # Its annotations are incomplete.
        onnx.checker.check_model(model, full_check=True)  # pyright: ignore[reportUnknownMemberType]
        return onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        )
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())
        raise NasirError("E504", f"ONNX's checker rejects the export: {reason}") from error


PART = 4
"""Images that a worker works on at a time: what it makes of them stays in its cache."""


class Session(Protocol):
    """The used part of onnxruntime's session, which is only partly typed."""

    def run(
        self, names: None, inputs: Mapping[str, Any], options: Any = None, /
    ) -> list[NDArray[np.float32]]: ...

    def get_inputs(self) -> list[Any]: ...


def open_session(content: bytes, threads: int = 0) -> Session:
    """A session on the CPU with all of the runtime's optimisations.

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
    # Threads that sleep wake up later than an op of one image ends: two take longer than one. They
    # spin within a call only, since between calls they would take the cores from torch.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class OnnxNetwork:
    """A model's file in ONNX Runtime, on the CPU: tensors in, tensors out, in the file's order.

    With several `workers` each works on images of its own, PART at a time, which stay in its cache;
    otherwise `threads` work on each op (0: as many as the runtime likes). A call that takes more
    than `seconds` is stopped, for a file may have a loop without end. Raises an error where the
    file is not there, or without the runtime, or for what is no model, and calls
    where the file fails.
    """

    def __init__(
        self, path: str | Path, workers: int = 1, threads: int = 0, seconds: float | None = None
    ) -> None:
        path = Path(path)
        self._where = where = Where(str(path))
        self._seconds = seconds
        if not is_file(path):
            raise NasirError("E101", f"there is no file {quoted(str(path))}", where)
        try:
            self._session = open_session(path.read_bytes(), 1 if workers > 1 else threads)
        except NasirError:
            raise
        except Exception as error:  # the runtime's own exceptions share no class
            raise NasirError(
                "E104", f"ONNX Runtime refuses the file: {quoted(str(error), 200)}", where
            ) from None
        self._names = [str(each.name) for each in self._session.get_inputs()]
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def __call__(self, *inputs: Tensor) -> Any:
        """A tensor, or a tuple of several. Raises an error if the file has no inputs or outputs."""
        arrays = [value.detach().cpu().numpy() for value in inputs]
        try:
            if self._pool is None:
                found = self._run(arrays)
            else:
                places = range(0, len(arrays[0]), PART)
                parts = [[array[place : place + PART] for array in arrays] for place in places]
                rows = list(self._pool.map(self._run, parts))
                found = [np.concatenate(column) for column in zip(*rows, strict=True)]
            results = tuple(torch.as_tensor(cast("Any", each)) for each in found)
        except NasirError:
            raise
        except Exception as error:  # the runtime's own exceptions share no class
            message = f"ONNX Runtime cannot run the file: {quoted(str(error), 200)}"
            raise NasirError("E504", message, self._where) from None
        return results[0] if len(results) == 1 else results

    def _run(self, arrays: list[Any]) -> list[Any]:
        inputs = dict(zip(self._names, arrays, strict=True))
        if self._seconds is None:
            return self._session.run(None, inputs)
        runtime: Any = import_module("onnxruntime")
        options, stopped = runtime.RunOptions(), Event()
        ended = Timer(self._seconds, lambda: (stopped.set(), setattr(options, "terminate", True)))
        ended.daemon = True
        ended.start()
        try:
            return self._session.run(None, inputs, options)
        except Exception as error:
            if not stopped.is_set():
                raise
            message = f"the file's answer to {len(arrays[0])} inputs takes more than "
            message += f"{self._seconds:.3g} s"
            hint = "the network that its genotype builds has no loop: is the file nasir's?"
            raise NasirError("E504", message, self._where, hint) from error
        finally:
            ended.cancel()


@checked
def compare(
    graph: Graph, module: nn.Module, path: str | Path, *, batch: int = 2, seed: int = 0
) -> Comparison:
    """The largest difference of the file in onnxruntime from the module in evaluation mode.

    `graph` and `module` are what was exported; the module is left unchanged. The input is drawn
    from N(0, 1) with that seed. Raises an error where outputs cannot be compared.
    """
    content = _read(Path(path))
    inputs = draw(graph, batch, seed)
    actual = _run(content, inputs)
    plain, _ = run_passes(graph, (*PLAIN, *EVALUATION))
    random, dialect = plain.has("random"), _dialect(content)
    if random:
        module, content = _twins(plain, module, content, dialect)
        actual = _run(content, inputs)
    found = compared(evaluate(graph, module, inputs), actual, batch)
    tolerance = HALF_TOLERANCE if dialect.half else TOLERANCE
    return replace(found, frozen=random, tolerance=tolerance)


def _dialect(content: bytes) -> Dialect:
    """How nasir wrote a model, by its metadata."""
    facts = {each.key: each.value for each in onnx.load_model_from_string(content).metadata_props}
    dynamic, half = (facts.get(f"{DOMAIN}.{name}") == "yes" for name in ("dynamic", "half"))
    opset = facts.get(f"{DOMAIN}.opset", "")
    return Dialect(int(opset) if opset.isdecimal() else OPSET, dynamic, half)


def _read(path: Path) -> bytes:
    if not is_file(path):
        raise NasirError("E101", f"there is no file {quoted(str(path))}", Where(str(path)))
    return path.read_bytes()


def _twins(
    graph: Graph, module: nn.Module, content: bytes, dialect: Dialect
) -> tuple[nn.Module, bytes]:
    """The module and its file with fixed noise, once the file is known to be the module's."""
    weights = module.state_dict()
    inline = not onnx.load_model_from_string(content).functions
    if content != encode(graph, weights, dialect, inline=inline):
        raise NasirError(
            "E504", "the file is not what this network exports to", hint="export it again"
        )
    frozen, _ = run_passes(graph, (PASSES["freeze-noise"],))
    twin = to_torch(frozen)
    twin.load_state_dict(weights, strict=False)
    return twin, encode(frozen, twin.state_dict(), dialect, inline=inline)


def _run(content: bytes, inputs: Mapping[str, Tensor]) -> Arrays:
    session = open_session(content)
    names = [each.name for each in session.get_inputs()]
    feed = {name: x.numpy() for name, x in zip(names, inputs.values(), strict=True)}
    return tuple(session.run(None, feed))

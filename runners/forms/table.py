"""The forms of a network; each row defines how one is made, written and shipped."""

import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from string import Template
from types import SimpleNamespace
from typing import Any, Literal

import onnx
import torch
from torch import Tensor

import lowering
from lowering.onnx.export import PART
from nasir import Graph, NasirError
from nasir.files import write_atomically
from nasir.formats.own import seal
from nasir.lazy import import_optional
from nasir.table import Table
from nasir.types import TokenType
from runners.forms.compile import AUTO, TARGETS, find_target
from runners.task.images import Images
from runners.task.score import evaluate, example
from runners.task.task import Task

CALIBRATION = 8
"""Batches of training images for the value ranges of static quantisation."""

AT_ONCE = 4
"""Images per run of the quantisation tools, which keep all activations in memory."""

Run = Callable[..., Any]
"""A network as a function of tensors."""


@dataclass(frozen=True, slots=True)
class FormSource:
    """A network on the CPU in evaluation mode, and the options of its forms.

    Calls have `batch` images on `device`. `onnx` are the options of `lowering.to_onnx`. `task` has
    the images for 8-bit forms; a call of a file from elsewhere may take `seconds`.
    """

    graph: Graph
    module: lowering.Network
    batch: int = 1
    device: str = "cpu"
    onnx: Mapping[str, Any] = field(default_factory=dict[str, Any])
    task: Task | None = None
    seconds: float | None = None

    @property
    def recurrent(self) -> bool:
        """Whether this is a language model."""
        return self.graph.about.get("skeleton") == "rnn"


@dataclass(frozen=True, slots=True)
class Form:
    """A form: `write` writes its files and returns their paths, `load` returns the network.

    `memory`: `load` makes the network from the source without a file, on the source's device; all
    others run on the CPU. `program` is the middle part of the shipped program. `fixed`: made for
    one batch size, or for sequences of STEPS tokens. `exact`: differs from the network by rounding
    only.
    """

    name: str
    suffix: str
    write: Callable[[FormSource, Path], Sequence[Path]]
    load: Callable[[FormSource, Path], Run]
    program: str
    memory: bool = False
    needs: Literal["", "onnxruntime", "compiler"] = ""
    fixed: Literal["", "batch", "steps"] = ""
    exact: bool = True
    compare: Callable[[FormSource, Path], lowering.Comparison] | None = None

    def missing(self, device: str) -> str:
        """Returns why the form cannot run on this machine; "" if it can."""
        if self.needs == "onnxruntime":
            return "" if find_spec("onnxruntime") else "onnxruntime is not installed"
        if self.needs == "compiler":
            return lowering.compiler_missing(device.partition(":")[0] if self.memory else "cpu")
        return ""


def find_forms(target: str, device: str, compiles: bool = True) -> tuple[Form, ...]:
    """Returns the form of that name; for `auto`, all exact ones that run here on the device.

    `compiles`: whether `auto` includes compilation, which can take minutes. Raises an error for an
    unknown name, or for a form that cannot run here.
    """
    asked = FORMS.values() if target == AUTO else (FORMS[find_target(target)],)
    missing = {
        form.name: form.missing(device)
        if form.memory or device == "cpu"
        else f"'{form.name}' runs on the CPU only"
        for form in asked
    }
    if target != AUTO and missing[target]:
        raise NasirError("E502", f"the target '{target}' is not available here: {missing[target]}")
    return tuple(
        form
        for form in asked
        if target != AUTO
        or (form.exact and not missing[form.name] and (compiles or form.needs != "compiler"))
    )


def export(source: FormSource, path: Path, make: Callable[[FormSource], Any]) -> tuple[Path]:
    """Writes the torch.export program for any number of images.

    For a language model: STEPS tokens of any number of sequences, since the loop over time is
    unrolled.
    """

    batch = torch.export.Dim("batch")
    axes = [1 if isinstance(type_, TokenType) else 0 for _, type_ in source.graph.inputs]
    content = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that weights in channels_last are slices
            program = torch.export.export(
                make(replace(source, device="cpu")),
                example(source.graph, 2),
                dynamic_shapes=tuple({axis: batch} for axis in axes),
            )
            torch.export.save(program, content)
    except (RuntimeError, ValueError, TypeError) as error:
        raise refused("torch.export refuses the network", error) from error
    return (write_atomically(path, content.getvalue()),)


def refused(message: str, error: Exception) -> NasirError:
    """Returns an error with the first line of a tool's exception."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return NasirError("E504", f"{message}: {reason}")


def _eager(source: FormSource) -> Any:
    return source.module if source.device == "cpu" else _copy(source)


def _copy(source: FormSource, optimise: bool = True) -> Any:

    module = lowering.to_torch(source.graph, optimise=optimise)
    module.load_state_dict(source.module.state_dict())
    return module.eval().to(source.device)


def _folded(source: FormSource) -> Any:

    return lowering.to_inference(source.graph, source.module).to(source.device)


def _folded_last(source: FormSource) -> Any:
    return _folded(source).lie_channels_last()


def _compiled(source: FormSource, _: Path) -> Run:
    """Compiles by calling it once. Raises CompileWarning if it would run without torch.compile.

    Uses channels_last on a CPU: the gains of kernels and compiler add up.
    """

    module = _folded_last(source) if source.device == "cpu" else _folded(source)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = lowering.compile(module)
        inputs = example(source.graph, source.batch)
        evaluate(compiled, tuple(x.to(source.device) for x in inputs))
    for each in caught:
        if isinstance(each.message, lowering.CompileWarning):
            raise each.message
    return compiled


def _write_package(source: FormSource, path: Path) -> tuple[Path]:
    """Compiles the folded network ahead of time for the batch."""

    inductor: Any = torch._inductor  # pyright: ignore[reportPrivateUsage] - has no public name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's warnings about itself
            module = _folded_last(replace(source, device="cpu"))
            program = torch.export.export(module, example(source.graph, source.batch))
            inductor.aoti_compile_and_package(program, package_path=str(path))
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise refused("the network cannot be compiled ahead of time", error) from error
    return (path,)


def _load_package(source: FormSource, path: Path) -> Run:
    """Loads a network for any number of images; pads the last call with zeros."""

    inductor: Any = torch._inductor  # pyright: ignore[reportPrivateUsage] - has no public name
    network: Any = inductor.aoti_load_package(str(path))

    def run(*inputs: Tensor) -> Any:
        count, found, single = len(inputs[0]), list[tuple[Tensor, ...]](), False
        if source.recurrent or count == source.batch:
            return network(*inputs)
        for at in range(0, count, source.batch):
            part = inputs[0][at : at + source.batch]
            full = torch.zeros((source.batch, *part.shape[1:]))
            full[: len(part)] = part
            result = network(full)
            single = isinstance(result, Tensor)
            values = (result,) if single else result
            found.append(tuple(value[: len(part)] for value in values))
        joined = tuple(map(torch.cat, zip(*found, strict=True)))
        return joined[0] if single else joined

    return run


def _write_onnx(source: FormSource, path: Path) -> tuple[Path]:

    return (lowering.to_onnx(source.graph, source.module, path, **source.onnx),)


def _load_onnx(source: FormSource, path: Path) -> Run:
    """Loads a session with torch's number of threads, for a fair comparison."""
    return lowering.OnnxNetwork(path, _workers(source), torch.get_num_threads(), source.seconds)


def _workers(source: FormSource) -> int:
    """Returns the number of threads with separate images; 1 if a call has too few images."""

    threads = torch.get_num_threads()
    return threads if not source.recurrent and source.batch >= 2 * threads > 2 else 1


def _compare_onnx(source: FormSource, path: Path) -> lowering.Comparison:

    return lowering.compare(source.graph, source.module, path)


def _write_python(source: FormSource, path: Path) -> Sequence[Path]:

    return lowering.to_python(source.graph, source.module, path)


def _load_python(_: FormSource, path: Path) -> Run:

    return lowering.load_python(path)


def _load_program(_: FormSource, path: Path) -> Run:

    return torch.export.load(path).module()


def _write_int8(source: FormSource, path: Path, kind: Literal["dynamic", "static"]) -> tuple[Path]:
    """Writes an ONNX file with 8-bit weights and matrix products.

    Value ranges are computed at run time (`dynamic`), or from images beforehand (`static`). The
    file has no functions, which the tools do not support. Weight ranges are per channel. Raises an
    error without onnxruntime, if its tools refuse the network, or for static quantisation of text.
    """
    if kind == "static" and not isinstance(source.task, Images):
        message = "static quantisation needs images to find ranges on"
        raise NasirError("E505", message, hint="--quantise dynamic")
    with tempfile.TemporaryDirectory() as folder:
        plain, made = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        options: dict[str, Any] = {**source.onnx, "inline": True, "half": False}
        lowering.to_onnx(source.graph, source.module, plain, **options)
        before = _model(plain)
        try:
            _tools(plain, made, source.task if kind == "static" else None)
            after = _model(made)
        except NasirError:
            raise
        except Exception as error:  # the tools' exceptions share no class
            message = "ONNX Runtime's tools refuse to quantise the network"
            raise refused(message, error) from error
    known = {entry.key for entry in after.metadata_props}
    after.metadata_props.extend(e for e in before.metadata_props if e.key not in known)
    seal(after)
    return (write_atomically(path, after.SerializeToString()),)


def _model(path: Path) -> onnx.ModelProto:
    return onnx.load_model_from_string(path.read_bytes())


def _tools(plain: Path, made: Path, images: Task | None) -> None:
    """Quantises with ranges from the images, or at run time."""
    tools = import_optional("onnxruntime.quantization")
    shapes = import_optional("onnxruntime.quantization.shape_inference")
    ready = plain.with_name("ready.onnx")
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # its tools recommend the step just done
    try:
        shapes.quant_pre_process(plain, ready)
        if not isinstance(images, Images):
            # CPUs have integer products with unsigned weights only.
            tools.quantize_dynamic(ready, made, weight_type=tools.QuantType.QUInt8)
            return
        given = calibration(_model(ready).graph.input[0].name, images)
        tools.quantize_static(
            ready,
            made,
            SimpleNamespace(get_next=lambda: next(given, None)),
            quant_format=tools.QuantFormat.QDQ,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            per_channel=True,
        )
    finally:
        logging.root.setLevel(level)


def calibration(name: str, task: Images) -> Iterator[dict[str, Any]]:
    """Yields training images in small batches, as the quantisation tools read them."""
    for batch in islice(task.plain(), CALIBRATION):
        images = batch.inputs[0].cpu().numpy()
        for start in range(0, len(images), AT_ONCE):
            yield {name: images[start : start + AT_ONCE]}


_HEAD = '''\
"""Runs the network in this folder, which nasir wrote: python run.py IMAGES.npy

IMAGES.npy holds float32 (N, $shape), normalised as the network was trained.
Prints the likeliest class of each image.
"""

import sys
from pathlib import Path

import numpy as np
'''

_FILE = """
FILE = Path(__file__).resolve().parent / "$file"
"""

_TAIL = """

if __name__ == "__main__":
    for label in run(np.load(sys.argv[1]).astype(np.float32)).argmax(1):
        print(label)
"""

_TORCH = f'''\
import torch
{_FILE}network = NETWORK
BATCH = $batch


def run(images):
    """Logits (N, classes), from calls of BATCH images; the last is filled up with zeros."""
    found = []
    with torch.no_grad():
        for at in range(0, len(images), BATCH):
            part = images[at : at + BATCH]
            full = np.zeros((BATCH, *part.shape[1:]), np.float32)
            full[: len(part)] = part
            found.append(network(torch.from_numpy(full)).numpy()[: len(part)])
    return np.concatenate(found)
'''

_EXPORTED = _TORCH.replace("NETWORK", "torch.export.load(FILE).module()")
_PYTHON = _TORCH.replace("import torch\n", "from runpy import run_path\n\nimport torch\n").replace(
    "NETWORK", 'run_path(str(FILE))["load"]()'
)
_PACKAGE = _TORCH.replace("NETWORK", "torch._inductor.aoti_load_package(str(FILE))")

_ONNX = f'''\
from concurrent.futures import ThreadPoolExecutor

import onnxruntime
{_FILE}WORKERS, PART = $workers, $part
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = $threads  # several workers: each has images of its own
options.add_session_config_entry("session.force_spinning_stop", "1")  # spins within calls only
session = onnxruntime.InferenceSession(FILE, options, providers=["CPUExecutionProvider"])
pool = ThreadPoolExecutor(WORKERS)


def run(images):
    """Logits (N, classes)."""
    parts = [images[at : at + PART] for at in range(0, len(images), PART)]
    return np.concatenate(list(pool.map(one, parts)))


def one(part):
    """The logits of one part."""
    return session.run(None, {{session.get_inputs()[0].name: part}})[0]
'''


def _in_torch(name: str, make: Callable[[FormSource], Any]) -> Form:
    """Returns the form of a module, shipped as a torch.export program."""
    write = partial(export, make=make)
    return Form(name, ".pt2", write, lambda source, _: make(source), _EXPORTED, memory=True)


_PACKAGED = partial(
    Form, suffix=".pt2", write=_write_package, program=_PACKAGE, needs="compiler", fixed="batch"
)
_IN_ONNX = partial(Form, load=_load_onnx, program=_ONNX, needs="onnxruntime")
_INT8 = partial(_IN_ONNX, suffix=".int8.onnx", exact=False)
"""Forms that share a file type and program."""

FORMS = Table(
    _in_torch("eager", _eager),
    _in_torch("published", partial(_copy, optimise=False)),  # the papers' ops
    _in_torch("channels_last", lambda source: _copy(source).lie_channels_last()),
    _in_torch("folded", _folded),  # batch norms folded into convolutions
    _in_torch("folded_last", _folded_last),
    _PACKAGED("compiled", load=_compiled, memory=True),  # by torch.compile
    _PACKAGED("package", load=_load_package),  # ahead of time, by AOTInductor
    _IN_ONNX("onnxruntime", ".onnx", write=_write_onnx, compare=_compare_onnx),
    Form("python", ".py", _write_python, _load_python, _PYTHON),
    Form("export", ".pt2", partial(export, make=_eager), _load_program, _EXPORTED, fixed="steps"),
    _INT8("int8_dynamic", write=partial(_write_int8, kind="dynamic")),
    _INT8("int8_static", write=partial(_write_int8, kind="static")),
)
assert tuple(FORMS) == TARGETS
"""The first is the reference of the others."""


def ship(
    form: Form, source: FormSource, made: Sequence[Path], facts: str, folder: Path
) -> tuple[Path, ...]:
    """Copies the files `made` of a form, with `run.py`, which runs them, and the facts.

    `run.py` requires numpy and torch, or numpy and onnxruntime, but not nasir. Raises an error for
    a language model, which has no program.
    """

    if source.recurrent:
        message = "a language model has no program to ship"
        raise NasirError("E502", message, hint="--onnx and --python write its files")
    workers = _workers(source)
    text = Template(_HEAD + form.program + _TAIL).substitute(
        shape=", ".join(map(str, example(source.graph, 1)[0].shape[1:])),
        file=made[0].name,
        batch=source.batch,
        workers=workers,
        part=PART if workers > 1 else source.batch,
        threads=1 if workers > 1 else 0,
    )
    contents = {each.name: each.read_bytes() for each in made}
    contents |= {"run.py": text.encode(), "ship.json": facts.encode()}
    return tuple(write_atomically(folder / name, content) for name, content in contents.items())

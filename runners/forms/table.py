"""The forms that a network can take: a row says how one is made, written and shipped."""

import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
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
from lowering.onnx.session import PART
from nasir import Graph, NasirError
from nasir.files import write_atomically
from nasir.formats.onnx_model import seal
from nasir.table import Table
from nasir.types import TokenType
from runners.forms.compile import AUTO, TARGETS, find_target
from runners.task.images import Images
from runners.task.score import evaluate, example
from runners.task.task import Task

CALIBRATION = 8
"""Batches of training images that a static file's ranges come from."""

AT_ONCE = 4
"""Images in one run of the tools, which keep all values of a network at a time."""

Run = Callable[..., Any]
"""A network as a function of tensors."""


@dataclass(frozen=True, slots=True)
class FormSource:
    """A network on the CPU in evaluation mode, and what its forms are made for.

    `batch` images are in a call on `device`. `task` has the images for 8-bit forms; a call of a
    file that was not written here takes at most `seconds`.
    """

    graph: Graph
    module: lowering.Network
    batch: int = 1
    device: str = "cpu"
    inline: bool = False
    task: Task | None = None
    seconds: float | None = None

    @property
    def recurrent(self) -> bool:
        """Whether it is a language model."""
        return self.graph.about.get("skeleton") == "rnn"


@dataclass(frozen=True, slots=True)
class Form:
    """A row. `write` writes the form's files and returns their paths, `load` returns the network.

    `memory`: `load` makes the network from the source without a file, on the source's device; all
    others run on the CPU. `program` is the middle of the program that is shipped with the file.
    `fixed`: it is made for one batch, or for sequences of STEPS tokens. `exact`: it differs from
    the network by rounding alone.
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
        """Why it cannot run on this machine; "" where it can."""
        if self.needs == "onnxruntime":
            return "" if find_spec("onnxruntime") else "onnxruntime is not installed"
        if self.needs == "compiler":
            return lowering.compiler_missing(device.partition(":")[0] if self.memory else "cpu")
        return ""


def find_forms(target: str, device: str, compiles: bool = True) -> tuple[Form, ...]:
    """The form of that name; of `auto` all exact ones that can run here on the device.

    `compiles`: whether `auto` may compile, which can take minutes. Raises an error for an unknown
    name, or for a form that cannot run here.
    """
    asked = FORMS.values() if target == AUTO else (FORMS[find_target(target)],)
    missing = {
        form.name: form.missing(device)
        if form.memory or device == "cpu"
        else f"'{form.name}' runs on the CPU alone"
        for form in asked
    }
    if target != AUTO and missing[target]:
        raise NasirError("E502", f"the target '{target}' cannot be here: {missing[target]}")
    return tuple(
        form
        for form in asked
        if target != AUTO
        or (form.exact and not missing[form.name] and (compiles or form.needs != "compiler"))
    )


def export(source: FormSource, path: Path, make: Callable[[FormSource], Any]) -> tuple[Path]:
    """Writes the program of torch.export, for any number of images.

    Of a language model it is one for STEPS tokens of any number of sequences, as the loop over time
    is written out.
    """

    batch = torch.export.Dim("batch")
    axes = [1 if isinstance(type_, TokenType) else 0 for _, type_ in source.graph.inputs]
    content = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, that weights in channels_last are slices
            program = torch.export.export(
                make(replace(source, device="cpu")),
                example(source.graph, 2),
                dynamic_shapes=(tuple({axis: batch} for axis in axes),),
            )
            torch.export.save(program, content)
    except (RuntimeError, ValueError, TypeError) as error:
        raise refused("torch.export refuses the network", error) from error
    return (write_atomically(path, content.getvalue()),)


def refused(message: str, error: Exception) -> NasirError:
    """an error with the first line of a tool's error."""
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
    """After its first call. Raises CompileWarning where it would run without torch.compile.

    In channels_last, too, on a CPU: the gains of the kernels and of the compiler add up.
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
            warnings.simplefilter("ignore")  # of torch about itself
            module = _folded_last(replace(source, device="cpu"))
            program = torch.export.export(module, example(source.graph, source.batch))
            inductor.aoti_compile_and_package(program, package_path=str(path))
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise refused("the network cannot be compiled ahead of time", error) from error
    return (path,)


def _load_package(source: FormSource, path: Path) -> Run:
    """Any number of images; the last call is filled up with zeros."""

    inductor: Any = torch._inductor  # pyright: ignore[reportPrivateUsage] - has no public name
    network: Any = inductor.aoti_load_package(str(path))

    def run(*inputs: Tensor) -> Any:
        count, found = len(inputs[0]), list[Tensor]()
        if source.recurrent or count == source.batch:
            return network(*inputs)
        for at in range(0, count, source.batch):
            part = inputs[0][at : at + source.batch]
            full = torch.zeros((source.batch, *part.shape[1:]))
            full[: len(part)] = part
            found.append(network(full)[: len(part)])
        return torch.cat(found)

    return run


def _write_onnx(source: FormSource, path: Path) -> tuple[Path]:

    return (lowering.to_onnx(source.graph, source.module, path, inline=source.inline),)


def _load_onnx(source: FormSource, path: Path) -> Run:
    """With as many threads as torch has, to be fair."""

    threads = torch.get_num_threads()
    return lowering.OnnxNetwork(path, _workers(source), threads, source.seconds)


def _workers(source: FormSource) -> int:
    """How many threads work on images of their own; 1 where a call has too few images for that."""

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
    """Writes the network with 8-bit weights, and products of 8-bit numbers, to an ONNX file.

    Ranges of values are found as the network runs (`dynamic`), or on images beforehand (`static`).
    The file has no functions, which the tools do not know. Weights get a range for each channel.
    Raises an error without onnxruntime, or where its tools refuse the network, or for static text.
    """
    if kind == "static" and not isinstance(source.task, Images):
        message = "static quantisation needs images to find ranges on"
        raise NasirError("E505", message, hint="--quantise dynamic")
    with tempfile.TemporaryDirectory() as folder:
        plain, made = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        lowering.to_onnx(source.graph, source.module, plain, inline=True)
        before = _model(plain)
        try:
            _tools(plain, made, source.task if kind == "static" else None)
            after = _model(made)
        except NasirError:
            raise
        except Exception as error:  # the tools' own exceptions share no class
            message = "ONNX Runtime's tools refuse to quantise the network"
            raise refused(message, error) from error
    known = {entry.key for entry in after.metadata_props}
    after.metadata_props.extend(e for e in before.metadata_props if e.key not in known)
    seal(after)
    return (write_atomically(path, after.SerializeToString()),)


def _model(path: Path) -> onnx.ModelProto:
    return onnx.load_model_from_string(path.read_bytes())


def _tools(plain: Path, made: Path, images: Task | None) -> None:
    """Quantises with ranges found on the images, or as the network runs."""
    try:
        tools: Any = import_module("onnxruntime.quantization")
        shapes: Any = import_module("onnxruntime.quantization.shape_inference")
    except ImportError:
        raise NasirError(
            "E501", "onnxruntime is not installed", hint="pip install nasir[runtime]"
        ) from None
    ready = plain.with_name("ready.onnx")
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # its tools advise on what was just done
    try:
        shapes.quant_pre_process(plain, ready)
        if not isinstance(images, Images):
            # Of products with whole numbers, the CPU has those of unsigned weights.
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
    """Training images, few at a time, as the tools take them."""
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
    """A module, shipped as a program of torch.export."""
    write = partial(export, make=make)
    return Form(name, ".pt2", write, lambda source, _: make(source), _EXPORTED, memory=True)


_PACKAGED = partial(
    Form, suffix=".pt2", write=_write_package, program=_PACKAGE, needs="compiler", fixed="batch"
)
_IN_ONNX = partial(Form, load=_load_onnx, program=_ONNX, needs="onnxruntime")
_INT8 = partial(_IN_ONNX, suffix=".int8.onnx", exact=False)
"""Rows that share a file and its program."""

FORMS = Table(
    _in_torch("eager", _eager),
    _in_torch("published", partial(_copy, optimise=False)),  # the papers' operations
    _in_torch("channels_last", lambda source: _copy(source).lie_channels_last()),
    _in_torch("folded", _folded),  # batch norms in convolutions
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
"""The first is what the others are compared with."""


def ship(
    form: Form, source: FormSource, made: Sequence[Path], facts: str, folder: Path
) -> tuple[Path, ...]:
    """Copies the files `made` of a form with `run.py`, which runs them, and the facts; the files.

    `run.py` needs numpy and torch, or numpy and onnxruntime, and not nasir. Raises an error for a
    language model, whose programs are not written.
    """

    if source.recurrent:
        message = "a language model has no program of its own to ship"
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

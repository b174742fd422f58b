"""The forms that a network can take: a row says how one is made, written, shipped, and its needs.

Reading the table does not import torch.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Literal

from nasir import Graph, NasirError
from nasir.errors import nearest, quoted
from nasir.files import write_atomically
from nasir.table import Table
from nasir.types import TokenType

if TYPE_CHECKING:
    from torch import Tensor

    import lowering
    from runners.task.task import Task

Run = Callable[..., Any]
"""A network as a function of tensors."""

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class FormSource:
    """A network on the CPU in evaluation mode, and what its forms are made for.

    `batch` images are in a call on `device`. `task` has the images for 8-bit forms; a call of a
    file that was not written here takes at most `seconds`.
    """

    graph: Graph
    module: "lowering.Network"
    batch: int = 1
    device: str = "cpu"
    inline: bool = False
    task: "Task | None" = None
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
    the network by rounding alone. `data`: it is made with training images.
    """

    name: str
    summary: str
    suffix: str
    write: Callable[[FormSource, Path], Sequence[Path]]
    load: Callable[[FormSource, Path], Run]
    program: str
    memory: bool = False
    needs: Literal["", "onnxruntime", "compiler"] = ""
    fixed: Literal["", "batch", "steps"] = ""
    exact: bool = True
    data: bool = False
    compare: "Callable[[FormSource, Path], lowering.Comparison] | None" = None

    def missing(self, device: str) -> str:
        """Why it cannot run on this machine; "" where it can."""
        if self.needs == "onnxruntime":
            return "" if find_spec("onnxruntime") else "onnxruntime is not installed"
        if self.needs == "compiler":
            import lowering

            return lowering.compiler_missing(device.partition(":")[0] if self.memory else "cpu")
        return ""


def find_form(name: str) -> Form:
    """The form of that name. Raises E765."""
    if name not in FORMS:
        message = f"unknown target {quoted(name)}"
        raise NasirError("E765", message, hint=nearest(name, (AUTO, *FORMS)))
    return FORMS[name]


def find_forms(target: str, device: str, compiles: bool = True) -> tuple[Form, ...]:
    """The form of that name; of `auto` all exact ones that can run here on the device.

    `compiles`: whether `auto` may compile, which can take minutes. Raises E765 for an unknown
    name, E766 for a form that cannot run here.
    """
    asked = FORMS.values() if target == AUTO else (find_form(target),)
    missing = {
        form.name: form.missing(device)
        if form.memory or device == "cpu"
        else f"'{form.name}' runs on the CPU alone"
        for form in asked
    }
    if target != AUTO and missing[target]:
        raise NasirError("E766", f"the target '{target}' cannot be here: {missing[target]}")
    return tuple(
        form
        for form in asked
        if target != AUTO
        or (form.exact and not missing[form.name] and (compiles or form.needs != "compiler"))
    )


def export(source: FormSource, path: Path, make: Callable[[FormSource], Any]) -> tuple[Path]:
    """Writes the program of torch.export, for any number of images.

    Of a language model it is one for STEPS tokens of any number of sequences, as the loop over
    time is written out. Raises E112 and E504.
    """
    import torch

    from runners.task.score import example

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
    """E504 with the first line of a tool's error."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return NasirError("E504", f"{message}: {reason}")


def _eager(source: FormSource) -> Any:
    return source.module if source.device == "cpu" else _copy(source)


def _copy(source: FormSource, optimise: bool = True) -> Any:
    import lowering

    module = lowering.to_torch(source.graph, optimise=optimise)
    module.load_state_dict(source.module.state_dict())
    return module.eval().to(source.device)


def _folded(source: FormSource) -> Any:
    import lowering

    return lowering.to_inference(source.graph, source.module).to(source.device)


def _folded_last(source: FormSource) -> Any:
    return _folded(source).lie_channels_last()


def _compiled(source: FormSource, _: Path) -> Run:
    """After its first call. Raises CompileWarning where it would run without torch.compile.

    In channels_last, too, on a CPU: the gains of the kernels and of the compiler add up.
    """
    import lowering
    from runners.task.score import evaluate, example

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
    """Compiles the folded network ahead of time for the batch. Raises E504."""
    import torch

    from runners.task.score import example

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
    import torch

    inductor: Any = torch._inductor  # pyright: ignore[reportPrivateUsage] - has no public name
    network: Any = inductor.aoti_load_package(str(path))

    def run(*inputs: "Tensor") -> Any:
        count, found = len(inputs[0]), list["Tensor"]()
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
    import lowering

    return (lowering.to_onnx(source.graph, source.module, path, inline=source.inline),)


def _load_onnx(source: FormSource, path: Path) -> Run:
    """With as many threads as torch has, to be fair."""
    import torch

    import lowering

    threads = torch.get_num_threads()
    return lowering.OnnxNetwork(path, _workers(source), threads, source.seconds)


def _workers(source: FormSource) -> int:
    """How many threads work on images of their own; 1 where a call has too few images for that."""
    import torch

    threads = torch.get_num_threads()
    return threads if not source.recurrent and source.batch >= 2 * threads > 2 else 1


def _compare_onnx(source: FormSource, path: Path) -> "lowering.Comparison":
    import lowering

    return lowering.compare(source.graph, source.module, path)


def _write_python(source: FormSource, path: Path) -> Sequence[Path]:
    import lowering

    return lowering.to_python(source.graph, source.module, path)


def _load_python(_: FormSource, path: Path) -> Run:
    import lowering

    return lowering.load_python(path)


def _load_program(_: FormSource, path: Path) -> Run:
    import torch

    return torch.export.load(path).module()


def _write_int8(source: FormSource, path: Path, kind: Literal["dynamic", "static"]) -> tuple[Path]:
    from runners.forms.make import quantise

    return (quantise(source, path, kind),)


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

_RUN = '''

def run(images):
    """Logits (N, classes)."""
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()
'''

_EXPORTED = f"""\
import torch
{_FILE}network = torch.export.load(FILE).module()
{_RUN}"""

_PYTHON = f"""\
from runpy import run_path

import torch
{_FILE}network = run_path(str(FILE))["load"]()
{_RUN}"""

_PACKAGE = f'''\
import torch
{_FILE}network = torch._inductor.aoti_load_package(str(FILE))
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


def _in_torch(name: str, summary: str, make: Callable[[FormSource], Any]) -> Form:
    """A module, shipped as a program of torch.export."""
    return Form(
        name,
        summary,
        ".pt2",
        lambda source, path: export(source, path, make),
        lambda source, _: make(source),
        _EXPORTED,
        memory=True,
    )


_PACKAGED = partial(
    Form, suffix=".pt2", write=_write_package, program=_PACKAGE, needs="compiler", fixed="batch"
)
_IN_ONNX = partial(Form, load=_load_onnx, program=_ONNX, needs="onnxruntime")
_INT8 = partial(_IN_ONNX, suffix=".int8.onnx", exact=False, data=True)
"""Rows that share a file and its program."""

FORMS = Table(
    _in_torch("eager", "values shared, in torch", _eager),
    _in_torch("published", "the papers' operations, in torch", partial(_copy, optimise=False)),
    _in_torch("channels_last", "eager in channels_last", lambda s: _copy(s).lie_channels_last()),
    _in_torch("folded", "batch norms folded into convolutions", _folded),
    _in_torch("folded_last", "folded in channels_last", _folded_last),
    _PACKAGED("compiled", "folded, by torch.compile", load=_compiled, memory=True),
    _PACKAGED("package", "folded, compiled ahead of time by AOTInductor", load=_load_package),
    _IN_ONNX(
        "onnxruntime",
        "the ONNX file in ONNX Runtime",
        suffix=".onnx",
        write=_write_onnx,
        compare=_compare_onnx,
    ),
    Form("python", "the Python file", ".py", _write_python, _load_python, _PYTHON),
    Form(
        "export",
        "the program of torch.export",
        ".pt2",
        partial(export, make=_eager),
        _load_program,
        _EXPORTED,
        fixed="steps",
    ),
    _INT8(
        "int8_dynamic",
        "8-bit ONNX; ranges are found as the network runs",
        write=partial(_write_int8, kind="dynamic"),
    ),
    _INT8(
        "int8_static",
        "8-bit ONNX; ranges come from training images",
        write=partial(_write_int8, kind="static"),
    ),
)
"""The first is what the others are compared with."""


def ship(
    form: Form, source: FormSource, made: Sequence[Path], facts: str, folder: Path
) -> tuple[Path, ...]:
    """Copies the files `made` of a form with `run.py`, which runs them, and the facts; the files.

    `run.py` needs numpy and torch, or numpy and onnxruntime, and not nasir. Raises E112, and E766
    for a language model, whose programs are not written.
    """
    from lowering.onnx.session import PART
    from runners.task.score import example

    if source.recurrent:
        message = "a language model has no program of its own to ship"
        raise NasirError("E766", message, hint="--onnx and --python write its files")
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

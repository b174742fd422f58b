"""`nasir doctor`: what works on this machine."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import typer

import nasir
from runners.commands.options import JsonOption
from runners.forms.progress import display_for_stderr
from runners.machine.machine import WAITING
from runners.output import TextTable, print_json, print_table

FAILED = 1


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the machine: what was found, and what it is for."""

    name: str
    state: Literal["ok", "missing", "broken"]
    found: str
    meaning: str
    required: bool = False


def doctor(as_json: JsonOption = False) -> None:
    """Say what works on this machine, and what does not and why.

    The exit code is 1 when a part that nasir cannot do without is missing or broken.

    Example: nasir doctor
    """
    with display_for_stderr().stage("look around"):
        checks = examine()
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        rows = tuple((each.name, each.state, each.found, each.meaning) for each in checks)
        print_table(TextTable("", ("part", "state", "found", "what it is for"), rows))
    if any(check.required and check.state != "ok" for check in checks):
        raise typer.Exit(FAILED)


def examine() -> tuple[Check, ...]:
    """Every check, in order."""
    torch = _package("torch", "networks, training", required=True)
    return (
        Check("nasir", "ok", nasir.__version__, "this program"),
        _python(),
        torch,
        *((_threads(), _gpu(), _compiler(), _kernels()) if torch.state == "ok" else ()),
        *((_torchvision(),) if torch.state == "ok" else ()),
        _package("pillow", "decoding images", module="PIL"),
        _package("scikit-learn", "the data 'digits'", module="sklearn"),
        _package("onnx", "writing and reading ONNX models", required=True),
        _opset(),
        _package("onnxruntime", "comparing ONNX models with torch"),
        _package("safetensors", "weights files", required=True),
        _dot(),
        *(_supernets() if torch.state == "ok" else ()),
    )


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable})"
    state = "ok" if sys.version_info >= (3, 11) else "broken"
    return Check("python", state, found, "3.11 or newer", required=True)


def _package(name: str, meaning: str, *, required: bool = False, module: str = "") -> Check:
    """Whether a package is there and can be imported; a package may fail in any way."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "missing", "not installed", meaning, required)
    try:
        import_module(module or name)
    except Exception as error:
        reason = f"{found}, but its import fails: {_first_line(error)}"
        return Check(name, "broken", reason, meaning, required)
    return Check(name, "ok", found, meaning, required)


def _torchvision() -> Check:
    """Its build may not match that of torch: then its images work, and its ops do not."""
    from runners.data.vision import declared, import_torchvision

    meaning = "reading CIFAR-10, CIFAR-100 and SVHN"
    reason = _attempt(import_torchvision)
    check = _package("torchvision", meaning, required=True)
    if check.state == "broken":
        return replace(check, found=reason)
    if declared():
        return replace(check, found=f"{check.found}, a build for another torch: without its ops")
    return check


def _threads() -> Check:
    """`nasir` itself lets threads sleep; a variable of the user's stands."""
    import torch

    found = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    policy = ", ".join(f"{name}={os.environ[name]}" for name in WAITING if name in os.environ)
    active = os.environ.get("OMP_WAIT_POLICY", "").upper() == "ACTIVE"
    meaning = "how many, and how they wait for each other; OMP_NUM_THREADS changes it"
    return Check("threads", "broken" if active else "ok", f"{found}; {policy}", meaning)


def _gpu() -> Check:
    import torch

    meaning = "--device cuda"
    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"torch for CUDA {built} sees no GPU" if built else "this torch is for the CPU only"
        return Check("gpu", "missing", why, meaning)
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Check("gpu", "ok", ", ".join(names), meaning)


def _compiler() -> Check:
    import lowering

    meaning = "torch.compile; without it networks run eagerly"
    reason = _attempt(lowering.compiler_missing)
    if reason:
        return Check("c++ compiler", "missing", reason, meaning)
    from torch._inductor.cpp_builder import get_cpp_compiler

    return Check("c++ compiler", "ok", str(_attempt(get_cpp_compiler)), meaning)


def _kernels() -> Check:
    """Builds them where nobody has."""
    from lowering import kernels

    meaning = "supernets on the CPU, several times faster; without them the library's operations"
    reason = _attempt(kernels.reason)
    if reason:
        return Check("kernels", "missing", reason, meaning)
    return Check("kernels", "ok", str(kernels.library_path()), meaning)


def _supernets() -> tuple[Check, ...]:
    """What the policy chooses for supernets on the devices that are here."""
    import torch

    from lowering import policy

    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    return tuple(
        Check(f"on {device}: {each.name}", "ok", "used" if each.taken else "not used", each.reason)
        for device in devices
        for each in policy(device).decisions
    )


def _opset() -> Check:
    meaning = "what nasir writes"
    try:
        import lowering
    except Exception as error:
        return Check("onnx opset", "broken", _first_line(error), meaning)
    return Check(
        "onnx opset", "ok", f"opset {lowering.OPSET}, IR version {lowering.IR_VERSION}", meaning
    )


def _dot() -> Check:
    meaning = "PNG and PDF drawings; SVG and DOT need nothing"
    path = shutil.which("dot")
    if path is None:
        return Check("dot", "missing", "Graphviz is not installed", meaning)
    try:
        done = subprocess.run([path, "-V"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("dot", "broken", _first_line(error), meaning)
    return Check("dot", "ok", (done.stderr or done.stdout).strip(), meaning)


def _attempt(call: Callable[[], Any]) -> str:
    """What the call returns as text, or why it fails."""
    try:
        return str(call())
    except Exception as error:
        return _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

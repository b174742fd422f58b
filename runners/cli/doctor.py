"""`nasir doctor`: which parts of this machine work."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from typing import Any, Literal

import nasir
from runners.folder.display import display_for_stderr
from runners.machine.machine import WAITING
from runners.output import FAILED, Reply, TextTable

_REQUIREMENT = re.compile(r"([\w.-]+)([^;]*)(?:;.*extra == ['\"](\w+)['\"])?")
"""A package, its versions, and the extra that requires it."""

_DEVELOPMENT = "dev"


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the machine: what was found, and what it is for."""

    name: str
    state: Literal["ok", "missing", "broken"]
    found: str
    meaning: str
    required: bool = False


def doctor() -> Reply:
    """Report which parts of this machine work, and why others do not.

    The exit code is 1 when a part that nasir cannot do without is missing or broken.

    Example: nasir doctor
    """
    with display_for_stderr().stage("look around"):
        checks = examine()
    rows = tuple((each.name, each.state, each.found, each.meaning) for each in checks)
    table = TextTable("", ("part", "state", "found", "what it is for"), rows)
    failed = any(check.required and check.state != "ok" for check in checks)
    return Reply([asdict(check) for check in checks], (table,), FAILED if failed else 0)


def examine() -> tuple[Check, ...]:
    """Every check, in order."""
    packages = tuple(_packages())
    torch = any(each.name == "torch" and each.state == "ok" for each in packages)
    return (
        Check("nasir", "ok", nasir.__version__, "this program"),
        _python(),
        *((_threads(), _gpu(), _compiler(), _kernels()) if torch else ()),
        *packages,
        _opset(),
        _dot(),
        *(_supernets() if torch else ()),
    )


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable})"
    state = "ok" if sys.version_info >= (3, 11) else "broken"
    return Check("python", state, found, "3.11 or newer", required=True)


def _packages() -> Iterator[Check]:
    """The packages that the installed nasir requires, and those of its extras."""
    try:
        texts = requires("nasir") or []
    except PackageNotFoundError:
        yield Check("packages", "missing", "nasir is not installed", "its list of requirements")
        return
    modules: dict[str, list[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            modules.setdefault(_normal(name), []).append(module)
    found = [match.groups("") for text in texts if (match := _REQUIREMENT.match(text))]
    for name, versions, extra in {row[0]: row for row in found if row[2] != _DEVELOPMENT}.values():
        known = modules.get(_normal(name), [name])
        meaning = f"for nasir[{extra}]" if extra else "required"
        module = name if name in known else known[0]
        yield _package(name, module, f"{meaning}, {versions.strip()}", required=not extra)


def _normal(name: str) -> str:
    """The name of a package as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(name: str, module: str, meaning: str, *, required: bool) -> Check:
    """Whether a package is there and can be imported; a package may fail in any way."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "missing", "not installed", meaning, required)
    try:
        if name == "torchvision":
            return _torchvision(Check(name, "ok", found, meaning, required))
        import_module(module)
    except Exception as error:
        reason = f"{found}, but its import fails: {_first_line(error)}"
        return Check(name, "broken", reason, meaning, required)
    return Check(name, "ok", found, meaning, required)


def _torchvision(check: Check) -> Check:
    """A build that does not match that of torch decodes images, but has no ops."""
    from runners.data.official import declared, import_torchvision

    import_torchvision()
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

"""Commands that check: `nasir check` for files of every kind, `nasir doctor` for this machine."""

import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from typing import TYPE_CHECKING, Annotated, Any

import typer

import nasir
from nasir.document import parse_document
from nasir.errors import NasirError, Where, json_text, visible
from nasir.extension import in_use
from nasir.files import Source
from nasir.formats import Reading
from nasir.formats.load import find_entry
from nasir.lazy import import_optional
from nasir.space import home_of, parse_space, space_schema
from nasir.space.load import space_names
from runners.cli.options import SpaceOption
from runners.folder.display import display_for_stderr
from runners.inputs import is_graph, open_source, read, read_each, read_opened
from runners.machine.machine import OPENMP
from runners.output import FAILED, WRONG_CALL, FileText, Reply, joined, table_of

if TYPE_CHECKING:
    from runners.experiment.method import Method

_METHOD = {"method", "paper", "mixture", "perturb", "architect", "regularise", "select", "stop"}
_RECIPE = {"recipe", "train", "like", "about"}
_SPACE = {"space", "cells", "skeleton", "nasir"}
_LARGE = 2**20
"""Maximum size of other files than genotypes, in characters."""

Facts = dict[str, Any]


def check(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Files of any kind below; names too."),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of space files, for editors.")
    ] = False,
    space: SpaceOption = None,
) -> Reply:
    """Check genotype, space, graph, method, recipe and experiment files.

    Prints the content of each file. For a genotype: its format, what is outside its space (not an
    error), and its network's cost; for a file with several, those of each. Networks are built to
    check them. The first error of each file is reported, with exit code 2.

    Example: nasir check DARTS_arch.json my_space.yaml
    """
    if schema:
        facts = space_schema()
        return Reply(facts, (FileText(f"{json_text(facts, indent=2)}\n"),))
    if not files:
        raise typer.BadParameter("give at least one FILE, or --schema")
    found: list[Facts] = []
    errors: list[NasirError] = []
    for file in files:
        try:
            for facts in _check(file, space):
                if isinstance(facts, NasirError):
                    errors.append(facts)
                else:
                    found.append(facts)
        except NasirError as error:
            errors.append(error)
    lines = [line for facts in found for line in _sentence(facts).split("\n")]
    return Reply(found or None, lines, WRONG_CALL if errors else 0, tuple(errors))


def _check(argument: str, space: str | None) -> Iterable[Facts | NasirError]:
    """Returns the content of a file or name, with an entry per genotype.

    `space` overrides that of genotypes. Networks are built to check them. An entry is an error if
    one of several genotypes is invalid; a single one's error is raised.
    """
    opened = open_source(argument)
    if opened is None:
        if find_entry(argument) is None and argument.lower() in space_names():
            return [_space_facts(argument, nasir.load_space(argument))]
        return [_genotype_facts(argument, read(argument, space))]
    source, name = opened
    if is_graph(source):
        graph = nasir.parse_graph(source.text, source.name)
        return [{"file": source.name, "kind": "graph", "nodes": len(graph)}]
    kind = "" if name else _kind(source)
    if kind == "space":
        return [_space_facts(source.name, parse_space(source))]
    if kind:
        return [{"file": source.name, "kind": kind, "of": _subject(source.name, kind)}]
    if name:
        return [_genotype_facts(argument, read_opened(source, name, space))]
    return _each(source, space)


def _each(source: Source, space: str | None) -> Iterator[Facts | NasirError]:
    """Yields the facts of every genotype in a source; repeated cells are built once."""
    readings = list(read_each(source, space))
    known: dict[nasir.Genotype, Facts] = {}
    for name, reading in readings:
        file = source.name if len(readings) == 1 else f"{source.name}:{name}"
        try:
            if isinstance(reading, NasirError):
                raise reading
            if reading.genotype not in known:
                known[reading.genotype] = _genotype_facts(file, reading)
            yield known[reading.genotype] | {"file": file}
        except NasirError as error:
            yield error if len(readings) == 1 else error.at(Where(file))


def _kind(source: Source) -> str:
    """Returns the kind of a file by its fields; "" for a genotype. Raises errors of parsing."""
    from runners.experiment.fields import SUFFIXES

    if source.is_model or len(source.text) > _LARGE:
        return ""
    try:
        data = parse_document(source).data
    except NasirError:
        if source.name.endswith((".yaml", ".yml")):
            raise
        return ""
    found = {*data} if isinstance(data, dict) else set[str]()
    if found & {"genotype", "genotypes"}:
        return ""
    kinds = {
        "experiment": {"of"},
        "method": {"stages", *_METHOD},
        "recipe": _RECIPE,
        "space": _SPACE,
    }
    if found & {"space", "cells"} or not source.name.endswith(SUFFIXES):
        kinds = {"space": _SPACE}
    return next((kind for kind, names in kinds.items() if found & names), "")


def _subject(path: str, kind: str) -> str:
    """Returns the subject of an experiment, or the name of a method or recipe; reads all of it."""
    from runners.experiment.experiment import read_experiment
    from runners.experiment.recipe import read_recipe

    if kind == "experiment":
        asked = read_experiment(path)
        return asked.of if asked else ""
    if kind == "recipe":
        return read_recipe(path).name
    parts = import_optional("runners.experiment.method", path)  # parts of methods need torch
    method: Method = parts.read_method(path, "cifar")
    for skeleton in method.skeletons:
        parts.read_method(path, skeleton)
    return method.name


def _space_facts(file: str, space: nasir.Space) -> Facts:
    """Builds a network and a supernet with every op of the space; raises their errors."""
    with display_for_stderr(space.where).stage("look for a genotype that fulfils `where`"):
        nasir.cost(nasir.network(nasir.sample(space, 0)))
    try:
        nasir.supernet(space)
    except NasirError as error:
        if error.code not in ("E302", "E505"):  # it needs more layers than searches have; has none
            raise
    return {"file": file, "kind": "space", "space": space.name, "cells": list(space.kinds)}


def _genotype_facts(file: str, reading: Reading) -> Facts:
    """Returns a genotype's facts; builds its network if the space is known (raises its errors)."""
    genotype = reading.genotype
    home = home_of(genotype)
    outside = home.contains(genotype) if home else ()
    cost = nasir.cost(nasir.network(genotype)) if home else None
    return {
        "file": file,
        "kind": "genotype",
        "format": reading.format.name if reading.format else "published",
        "read_as": reading.described,
        "space": genotype.space,
        "space_known": home is not None,
        "cells": list(genotype.kinds),
        "outside": list(outside),
        "nasbench101": _nasbench101_name(genotype),
        "params": cost.params if cost else None,
        "macs": cost.macs if cost else None,
    }


def _nasbench101_name(genotype: nasir.Genotype) -> str | None:
    """Returns the genotype's name in NAS-Bench-101, if it is in it."""
    try:
        return nasir.nasbench101_hash(genotype)
    except NasirError:
        return None


def _sentence(facts: Facts) -> str:
    """Formats a line, and one for each deviation from the space."""
    file, kind = visible(facts["file"]), facts["kind"]
    if kind == "graph":
        return f"{file}: a graph of {facts['nodes']} nodes"
    if kind in ("experiment", "method", "recipe"):
        what = "an experiment on" if kind == "experiment" else f"the {kind}"
        return f"{file}: {what} {visible(facts['of'])}"
    cells = joined(facts["cells"], ", ")
    if kind == "space":
        return f"{file}: the space {facts['space']}, cells {cells}"
    line = f"{file}: a genotype ({facts['read_as']}), cells {cells}"
    if facts["params"] is not None:
        line += f"; {facts['params']:,} parameters, {facts['macs']:,} multiply-adds"
    if facts["nasbench101"]:
        line = f"{line}; NAS-Bench-101's {facts['nasbench101']}"
    if not facts["space_known"]:
        return f"{line}; its space {facts['space']} is not shipped with nasir"
    if not facts["outside"]:
        return f"{line}; in the space {facts['space']}"
    reasons = "".join(f"\n  {reason}" for reason in facts["outside"])
    return f"{line}; outside the space {facts['space']}:{reasons}"


class _FaultError(Exception):
    """A failed check: its state and reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """A part of the machine: its state, details, and purpose."""

    name: str
    state: str
    found: str
    meaning: str
    required: bool = False


def doctor() -> Reply:
    """Report which parts of this machine work, and why others do not.

    The exit code is 1 if a required part is missing or broken.

    Example: nasir doctor
    """
    with display_for_stderr().stage("check the machine"):
        checks = tuple(_checks())
    facts = [asdict(each) for each in checks]
    columns = {"part": "name", "state": "state", "found": "found", "what it is for": "meaning"}
    failed = any(each.required and each.state != "ok" for each in checks)
    return Reply(facts, (table_of(facts, columns),), FAILED if failed else 0)


def _checks() -> Iterator[Check]:
    packages = tuple(_packages())
    torch = any(each.name == "torch" and each.state == "ok" for each in packages)
    yield Check("nasir", "ok", nasir.__version__, "this program")
    for each in in_use():
        brings = ", ".join(kind for kind, rows in each.extension.rows().items() if rows)
        name, found = f"extension {each.extension.name}", each.extension.version or "no version"
        yield Check(name, "ok", f"{found} ({each.source})", f"brings: {brings}")
    python = f"{platform.python_version()} ({sys.executable})"
    yield Check("python", "ok", python, "3.11 or newer", required=True)
    if torch:
        meaning = "number and wait policy; OMP_NUM_THREADS changes the number"
        yield _tried("threads", meaning, _threads)
        yield _tried("gpu", "nasir search --device cuda", _gpu)
        yield _tried("c++ compiler", "torch.compile; without it networks run eagerly", _compiler)
        meaning = "supernets on the CPU, several times faster; else the library's operations"
        yield _tried("kernels", meaning, _kernels)
    yield from packages
    if torch:
        yield _tried("onnx opset", "the version of ONNX that nasir writes", _opset)
        yield from _supernets()


def _tried(name: str, meaning: str, find: Callable[[], str], *, required: bool = False) -> Check:
    """Runs a check; any exception is its result."""
    try:
        return Check(name, "ok", find(), meaning, required)
    except _FaultError as error:
        state, found = error.args
        return Check(name, state, found, meaning, required)
    except Exception as error:
        return Check(name, "broken", _first_line(error), meaning, required)


def _packages() -> Iterator[Check]:
    """Yields checks of required packages and those of extras."""
    try:
        texts = requires("nasir") or []
    except PackageNotFoundError:
        yield Check("packages", "missing", "nasir is not installed", "its list of requirements")
        return
    modules: dict[str, list[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            modules.setdefault(_normal(name), []).append(module)
    found = {row[0]: row for row in map(_requirement, texts) if row[2] not in ("dev", "all")}
    for name, versions, extra in found.values():
        known = modules.get(_normal(name), [name])
        meaning = f"{f'for nasir[{extra}]' if extra else 'required'}, {versions}"
        find = partial(_package, name, name if name in known else known[0])
        yield _tried(name, meaning, find, required=not extra)


def _requirement(text: str) -> tuple[str, str, str]:
    """Parses a requirement into package, versions and extra: `onnx>=1; extra == "runtime"`."""
    package, _, marker = text.partition(";")
    extra = marker.partition("extra ==")[2].strip(" '\"")
    end = next((at for at, letter in enumerate(package) if letter in "<>=!~ "), len(package))
    return package[:end], package[end:].strip(), extra


def _normal(name: str) -> str:
    """Normalises a package's name as package indexes do."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(name: str, module: str) -> str:
    """Returns the version of a package; imports it."""
    try:
        found = version(name)
    except PackageNotFoundError:
        raise _FaultError("missing", "not installed") from None
    try:
        if name == "torchvision":
            return f"{found}{_torchvision()}"
        import_module(module)
    except Exception as error:
        raise _FaultError(
            "broken", f"{found}, but its import fails: {_first_line(error)}"
        ) from error
    return found


def _torchvision() -> str:
    """Describes a build for another torch, which decodes images but has no ops."""
    from runners.data.load import declared, import_torchvision

    import_torchvision()
    return ", a build for another torch: without its ops" if declared() else ""


def _threads() -> str:
    """Describes threads; `nasir` sets a passive wait policy unless the user has set one."""
    import torch

    policy = ", ".join(f"{name}={os.environ[name]}" for name in OPENMP if name in os.environ)
    found = f"{torch.get_num_threads()} of {os.cpu_count()} cores; {policy}"
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "ACTIVE":
        raise _FaultError("broken", found)
    return found


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"torch for CUDA {built} sees no GPU" if built else "this torch is for the CPU only"
        raise _FaultError("missing", why)
    return ", ".join(map(torch.cuda.get_device_name, range(torch.cuda.device_count())))


def _compiler() -> str:
    import lowering

    if reason := lowering.compiler_missing():
        raise _FaultError("missing", reason)
    from torch._inductor.cpp_builder import get_cpp_compiler

    return get_cpp_compiler()


def _kernels() -> str:
    """Returns the kernels' library; builds it if required."""
    from lowering import kernels

    if reason := kernels.reason():
        raise _FaultError("missing", reason)
    return str(kernels.library_path())


def _supernets() -> Iterator[Check]:
    """Yields the policy's decisions for supernets on the available devices."""
    import torch

    from lowering import policy

    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for each in policy(device).decisions:
            used = "used" if each.taken else "not used"
            yield Check(f"on {device}: {each.name}", "ok", used, each.reason)


def _opset() -> str:
    import lowering

    return f"opset {lowering.OPSET}, IR version {lowering.IR_VERSION}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

"""Extensions: what others bring to nasir, handed over by the user of it."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from nasir.errors import NasirError, Where, nearest, quoted
from nasir.files import read_source
from nasir.formats.format import Format
from nasir.ops import Macro, OpSpec
from nasir.ops.spec import no_params
from nasir.space.load import SpaceLike, as_space
from nasir.space.skeletons import Skeleton
from nasir.table import bring, remove

GROUP = "nasir"
"""The group of entry points under which packages offer extensions."""

TARGETS = ("torch", "onnx", "python")

PARTS = ("mixture", "edges", "perturb", "architect", "regularise", "select", "stop", "ask", "value")
"""The kinds of parts of search methods, as in methods' files."""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """Rows for nasir's tables, of which `nasir.use` makes them rows like the shipped ones.

    `ops` are primitives, `macros` compositions of them (with `on_edge`, for cells). `torch` and
    `onnx` have a function `(emitter, attributes, *inputs, *weights)` by op, `python` one of a
    `Site` that returns code: of a layer if the op has parameters, else of its value. A target
    without a rule is an error only for networks with that op. `parts` are parts of search methods
    by kind and name (`{"regularise": {"entropy": Entropy()}}`), `methods` are files of them, or
    what would be in these, by name, as are `recipes`. `tasks` make a task of an argument such as
    `--data NAME:REST` (see `runners.task`). `hooks` make a hook of a run from its learner, for each
    search and evaluation while the extension is in use. `proxies` are functions of a
    `nasir.Probe` that score a network before training, by name. `trackers` make a
    `runners.folder.trackers.Tracker` of a run directory and its facts, for `--track NAME`.

    `name` and `version` stand in the facts of runs, which do not resume without them.
    """

    name: str
    version: str = ""
    ops: Sequence[OpSpec] = ()
    macros: Sequence[Macro] = ()
    torch: Mapping[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])
    onnx: Mapping[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])
    python: Mapping[str, Callable[..., str]] = field(default_factory=dict[str, Callable[..., str]])
    formats: Sequence[Format] = ()
    spaces: Sequence[SpaceLike] = ()
    skeletons: Sequence[Skeleton] = ()
    methods: Mapping[str, Any] = field(default_factory=dict[str, Any])
    recipes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    tasks: Mapping[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])
    hooks: Mapping[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])

    proxies: Mapping[str, Callable[..., float]] = field(
        default_factory=dict[str, Callable[..., float]]
    )
    trackers: Mapping[str, Callable[..., Any]] = field(
        default_factory=dict[str, Callable[..., Any]]
    )

    def rows(self) -> dict[str, dict[str, Any]]:
        """Its rows by the kind of table and by name. Raises an error if a space cannot be read."""
        layers = {op.name for op in self.ops if op.params is not no_params}
        return {
            "primitive": _named(self.ops),
            "activation": _named(op for op in self.ops if _is_activation(op)),
            "edge": _named(macro for macro in self.macros if macro.on_edge),
            "block": _named(macro for macro in self.macros if not macro.on_edge),
            "torch": dict(self.torch),
            "onnx": dict(self.onnx),
            "python layer": {k: v for k, v in self.python.items() if k in layers},
            "python code": {k: v for k, v in self.python.items() if k not in layers},
            "format": _named(self.formats),
            "space": _named(map(as_space, self.spaces)),
            "skeleton": _named(self.skeletons),
            "method": dict(self.methods),
            "recipe": dict(self.recipes),
            **{kind: dict(named) for kind, named in self.parts.items()},
            "task": dict(self.tasks),
            "hook": dict(self.hooks),
            "proxy": dict(self.proxies),
            "tracker": dict(self.trackers),
        }


@dataclass(frozen=True)
class Used:
    """An extension in use; `source` is the file or module that it was loaded from, if it was."""

    extension: Extension
    source: str = ""
    digest: str = ""


class InUse(AbstractContextManager["InUse"]):
    """The use of extensions, which ends at the end of a `with` block or by `close`."""

    def __init__(self, used: Sequence[Used]) -> None:
        self.used = used

    def close(self) -> None:
        """Removes the extensions' rows."""
        for each in self.used:
            if each in _in_use:
                _in_use.remove(each)
                remove(_rows.pop(each.extension.name))

    def __exit__(self, *_: object) -> None:
        self.close()


_in_use: list[Used] = []
_rows: dict[str, dict[str, dict[str, Any]]] = {}


def use(*given: Extension | str | Path) -> InUse:
    """Uses extensions from now on, or within `with nasir.use(...):`.

    A text is a Python file, a module, or the name of an entry point of the group `nasir`, and
    names all extensions that are variables of it. This runs their code: no file that nasir reads
    can ask for it. Raises an error if a name is taken or loading fails; nothing is used then.
    """
    done = InUse(())
    try:
        for each in given:
            for used in (Used(each),) if isinstance(each, Extension) else _load(str(each)):
                done.used = (*done.used, used)
                _start(used)
    except BaseException:
        done.close()
        raise
    return done


def in_use() -> tuple[Used, ...]:
    """The extensions in use, in order."""
    return tuple(_in_use)


def _start(used: Used) -> None:
    extension = used.extension
    _check(extension)
    if any(other.extension.name == extension.name for other in _in_use):
        message = f"an extension '{extension.name}' is in use already"
        raise NasirError("E505", message, hint="use one of them, or rename")
    rows = extension.rows()
    bring(rows)
    _rows[extension.name] = rows
    _in_use.append(used)


def _check(extension: Extension) -> None:
    """Raises an error for an unknown kind of part, and for rows that their table cannot hold."""
    name, ops = extension.name, [op.name for op in extension.ops if _is(OpSpec)(op)]
    for kind in extension.parts:
        if kind not in PARTS:
            message = f"'{name}' brings parts of the kind {quoted(kind)}, which no method has"
            raise NasirError("E505", message, hint=nearest(kind, PARTS))
    for column, (fits, wanted) in _FITTING.items():
        rows: Mapping[Any, Any] | Sequence[Any] = getattr(extension, column)
        for key, row in rows.items() if isinstance(rows, Mapping) else enumerate(rows):
            if not fits(row):
                message = f"'{name}' brings {quoted(row)} as {column}[{key!r}]"
                raise NasirError("E505", message, hint=f"{column} are {wanted}")
    for target in TARGETS:
        for op in getattr(extension, target):
            if op not in ops:
                message = f"the rule of {target} for '{op}' belongs to no op of '{name}'"
                raise NasirError("E505", message, hint=nearest(op, ops))


def _is(*types: type) -> Callable[[object], bool]:
    return lambda row: isinstance(row, types)


_FUNCTIONS = (callable, "functions by name")
_FILES = (_is(str, Path, Mapping, BaseModel), "paths of files, or their contents, by name")
_FITTING: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "ops": (_is(OpSpec), "OpSpec objects"),
    "macros": (_is(Macro), "Macro objects"),
    **dict.fromkeys((*TARGETS, "tasks", "hooks", "trackers"), _FUNCTIONS),
    "formats": (_is(Format), "Format objects"),
    "skeletons": (_is(Skeleton), "Skeleton objects"),
    "methods": _FILES,
    "recipes": _FILES,
    "parts": (
        lambda named: _is(Mapping)(named) and not any(map(_is(type), named.values())),
        'objects by name, for each kind: {"regularise": {"entropy": Entropy()}}',
    ),
}


def _load(text: str) -> list[Used]:
    """The extensions that are variables of a file, of a module, or of an entry point's."""
    path = Path(text)
    is_file = text.endswith(".py")
    try:
        module = _file_module(path) if is_file else _module(text)
    except NasirError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = Where(frames[-1].filename, frames[-1].lineno or 0) if frames else Where(text)
        message = f"the extension {quoted(text)} cannot be loaded: {type(error).__name__}: {error}"
        raise NasirError("E505", message, where) from None
    if isinstance(module, Extension):
        return [Used(module, text)]
    variables = cast("dict[str, Any]", vars(module))
    found = [each for each in variables.values() if isinstance(each, Extension)]
    if not found:
        message = f"{quoted(text)} has no variable that is a nasir.Extension"
        raise NasirError("E505", message, hint="extension = nasir.Extension(name=..., ops=...)")
    origin = getattr(module, "__file__", None)
    digest = sha256(Path(origin).read_bytes()).hexdigest() if origin else ""
    return [Used(each, str(path.absolute()) if is_file else text, digest) for each in found]


def _file_module(path: Path) -> Any:
    """The module of a file, executed anew."""
    read_source(path)  # raises for a missing file
    name = f"nasir_extension_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pydantic look their module up
    spec.loader.exec_module(module)
    return module


def _module(name: str) -> Any:
    """What an entry point of that name leads to, or the module of that name."""
    from importlib.metadata import entry_points

    offered = {point.name: point for point in entry_points(group=GROUP)}
    if name in offered:
        return offered[name].load()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        message = f"no module and no installed extension is called {quoted(name)}"
        hint = nearest(name, offered) if offered else "a Python file's name ends in .py"
        raise NasirError("E201", message, hint=hint) from None


def _named(rows: Any) -> dict[str, Any]:
    return {row.name: row for row in rows}


def _is_activation(op: OpSpec) -> bool:
    """Whether recurrent cells may have it: a function of each scalar, without attributes."""
    return "elementwise" in op.traits and op.arity == (1, 1) and not op.attrs.model_fields

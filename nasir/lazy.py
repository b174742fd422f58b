"""Names that are imported at first use, and packages that may be missing or hidden.

A package's `__init__.pyi` says where its names are: `from .module import name as name`, and `from
package import *` for all names of a package beside it. `lowering` and `runners` are imported from
beside `nasir`, whatever else has these names on the path.
"""

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

EXTRAS = {
    "torch": "torch",
    "torchvision": "torch",
    "onnx_ir": "torch",
    "safetensors": "torch",
    "ninja": "torch",
    "sklearn": "torch",
    "pymoo": "torch",
    "tensorboardX": "torch",
    "onnxruntime": "runtime",
    "nas_201_api": "bench",
    "ray": "cluster",
    "mlflow": "mlflow",
    "wandb": "wandb",
}
"""The extra of nasir that installs a module."""

_BESIDE = Path(__file__).parent.parent


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Returns `__getattr__`, `__dir__` and `__all__` of a package with a stub.

    `__all__` has no names of packages beside it, so that `from nasir import *` needs no torch.
    """
    own, others = _stub(package)

    def get(name: str) -> Any:
        module = own.get(name) or _elsewhere(others).get(name)
        if module is None:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        try:
            if name not in own:
                import_beside(module.partition(".")[0])
            found = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            raise not_installed(error, f"{package}.{name}") from error
        setattr(sys.modules[package], name, found)  # the next time nothing is looked up
        return found

    def names() -> list[str]:
        return sorted({*sys.modules[package].__dict__, *own, *_elsewhere(others)})

    return get, names, list(own)


def import_beside(package: str) -> None:
    """Imports a package that lies beside `nasir`. Raises an error if another is imported already.

    Later imports of its name find it.
    """
    if package not in sys.modules:
        sys.path.insert(0, str(_BESIDE))
        try:
            import_module(package)
        finally:
            sys.path.remove(str(_BESIDE))
    file = getattr(sys.modules[package], "__file__", None)
    if file is None or Path(file).resolve().parent != (_BESIDE / package).resolve():
        from nasir.errors import NasirError, Where

        message = f"the imported module '{package}' is not the package of nasir"
        hint = f"give it another name than '{package}', which nasir uses"
        raise NasirError("E501", message, Where(file or f"{package}/"), hint)


def import_optional(name: str, what: str = "") -> Any:
    """Imports a module that `what` needs. Raises an error if a package of an extra is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise not_installed(error, what) from error


def not_installed(error: ModuleNotFoundError, what: str = "") -> Exception:
    """Returns the error of a missing package of an extra that `what` needs, else `error`."""
    extra = EXTRAS.get(error.name or "")
    if extra is None:
        return error
    from nasir.errors import NasirError, Where

    hint = f"pip install 'nasir[{extra}]'"
    return NasirError("E501", f"{error.name} is not installed", Where(what), hint)


def _elsewhere(packages: tuple[str, ...]) -> dict[str, str]:
    return {name: module for each in packages for name, module in _stub(each)[0].items()}


@cache
def _stub(package: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns a package's own names with their modules, and the packages with all of theirs."""
    text = (_BESIDE / package / "__init__.pyi").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
    own = {
        alias.name: f"{package}.{node.module}"
        for node in imports
        if node.level
        for alias in node.names
    }
    return own, tuple(node.module or "" for node in imports if not node.level)

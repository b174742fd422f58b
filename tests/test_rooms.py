"""The rooms of the repository and the one direction in which they import."""

import ast
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "nasir": {"nasir"},
    "lowering": {"lowering", "nasir"},
    "runners": {"runners", "lowering", "nasir"},
}
"""Of the three packages, which each may import."""

HEAVY = (
    "torch",
    "torchvision",
    "onnx",
    "onnx_ir",
    "onnxruntime",
    "networkx",
    "ruamel",
    "numpy",
    "matplotlib",
    "PIL",
)

FILES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


def test_a_file_imports_only_what_its_package_may() -> None:
    """No file of nasir imports torch either."""
    offenders: list[str] = []
    for path in FILES:
        package = path.relative_to(ROOT).parts[0]
        rooms = {name.partition(".")[0] for name in _imports(path)}
        wrong = rooms & set(MAY_IMPORT) - MAY_IMPORT[package]
        if package == "nasir":
            wrong |= rooms & {"torch", "torchvision", "onnxruntime"}
        offenders += [f"{path.relative_to(ROOT)} imports {name}" for name in sorted(wrong)]
    assert offenders == []


def test_no_modules_of_nasir_or_lowering_import_one_another() -> None:
    """Neither for types alone nor inside functions."""
    paths = [path.relative_to(ROOT) for path in FILES if ROOT / "runners" not in path.parents]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    graph = nx.DiGraph(
        (name, each if each in names else each.rpartition(".")[0])
        for name, path in names.items()
        for each in _imports(ROOT / path)
    )
    assert [each for each in nx.strongly_connected_components(graph) if len(each) > 1] == []


def test_importing_nasir_imports_no_other_room_and_nothing_heavy() -> None:
    assert _loaded("import nasir") & {*HEAVY, "lowering", "runners"} == set()


def test_a_cost_is_found_without_anything_heavy() -> None:
    loaded = _loaded("import nasir; nasir.cost(nasir.network('darts_v2'))")
    assert not loaded & {*HEAVY, "lowering", "runners"} - {"ruamel"}


def test_no_name_of_a_package_hides_a_module_of_it() -> None:
    """`import package.module as m` takes the package's attribute, whatever that is."""
    hidden = [
        f"{package.__name__}.{name}"
        for package in _packages()
        for name in (module.name for module in pkgutil.iter_modules(package.__path__))
        if name in getattr(package, "__all__", ())
        or not isinstance(getattr(package, name, package), ModuleType)
    ]
    assert hidden == []


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_door_lists_what_it_gives(name: str) -> None:
    door = import_module(name)
    assert set(door.__all__) <= {public for public in dir(door) if hasattr(door, public)}
    assert not hasattr(door, "sampel")


@pytest.mark.slow
def test_a_misspelt_name_is_an_error_of_types(tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("pyright")
    checker = str(beside) if beside.exists() else shutil.which("pyright")
    if checker is None:
        pytest.skip("pyright is not installed")
    snippet = tmp_path / "misspelt.py"
    lines = ["import nasir, lowering, runners"]
    lines += ["nasir.sampel(0)", "lowering.to_trch(0)", "runners.serach(0)"]
    lines += ["nasir.sample('darts', 0)", "runners.search('darts', 'random')"]
    snippet.write_text("\n".join(lines))
    run = subprocess.run(
        [checker, "--pythonpath", sys.executable, str(snippet)],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    wrong = [line for line in run.stdout.splitlines() if "is not a known attribute" in line]
    assert len(wrong) == 3, run.stdout


def _packages() -> Iterator[ModuleType]:
    """All packages of the three rooms."""
    for room in map(import_module, MAY_IMPORT):
        yield room
        for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if found.ispkg:
                yield import_module(found.name)


def _imports(path: Path) -> set[str]:
    """What a file imports, at its top or inside functions: modules, or names in them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports are not used"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _loaded(code: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after running the code."""
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_docstrings_list_no_codes_of_errors() -> None:
    """The codes are in docs/errors.md; a docstring says when there is an error."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                assert not re.search(r"\bE\d{3}\b", ast.get_docstring(node) or ""), (path, node)

"""Installations without the extras, and modules with the names of nasir's packages."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from itertools import combinations
from pathlib import Path

import pytest

import lowering
import nasir
import runners
from nasir.lazy import EXTRAS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {
    "onnx-ir": "onnx_ir",
    "scikit-learn": "sklearn",
    "nas-bench-201": "nas_201_api",
    "ruamel.yaml": "ruamel",
    "pillow": "PIL",
    "google-crc32c": "google_crc32c",
    "mlflow-skinny": "mlflow",
}
"""The modules of packages that have another name."""

BLOCK = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(EXTRAS)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def modules_of(requirements: list[str]) -> set[str]:
    names = [re.split(r"[\[<>=~]", each)[0] for each in requirements]
    return {MODULES.get(name, name) for name in names}


def python(code: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a directory whose modules come first on the path."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def called(commands: list[str], cwd: Path) -> list[tuple[int, str]]:
    """The exit codes and outputs of commands without the packages of the extras."""
    code = f"""{BLOCK}
from runners.cli import app
for command in {commands}:
    print("\\0", flush=True)
    try:
        app(command.split(), prog_name="nasir")
    except SystemExit as end:
        sys.stderr.flush()
        print("\\0", end.code or 0, flush=True)
"""
    code = f"import os; os.dup2(1, 2)\n{code}"
    _, *parts = python(code, cwd).stdout.split("\0\n")
    pairs = [part.rpartition("\0") for part in parts]
    return [(int(end), text) for text, _, end in pairs]


def test_each_module_that_is_imported_is_required_or_of_an_extra() -> None:
    through = {"google", "pydantic_core"}  # onnx and pydantic need their packages
    required = modules_of(PROJECT["dependencies"]) | through
    own = {"nasir", "lowering", "runners"}
    for path in (each for room in own for each in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {name.partition(".")[0] for name in names}:
                known = {*required, *EXTRAS, *own, *sys.stdlib_module_names}
                assert name in known, f"{path} imports {name}"


def test_the_extras_are_those_of_the_errors() -> None:
    extras = PROJECT["optional-dependencies"]
    named = {extra: {m for m, e in EXTRAS.items() if e == extra} for extra in EXTRAS.values()}
    assert named == {extra: modules_of(extras[extra]) for extra in named}
    assert extras["all"] == ["nasir[torch,runtime]"]


def test_commands_that_read_convert_draw_and_cost_need_no_extra(tmp_path: Path) -> None:
    commands = [
        "examples",
        "check darts_v2 darts examples/attention.yaml examples/DARTS_arch.json recipe.yaml",
        "convert examples/DARTS_arch.json --to darts",
        "draw darts_v2 -o drawn --format svg --format png",
        "cost darts_v2",
        "diff darts_v2 darts_v2",
        "sample darts",
        "id darts_v2",
        "show darts_v2 --layers 3 --after cse",
        "spaces darts",
        "spaces --genotypes",
        "ops sep_conv_3x3",
        "recipes digits",
        "view darts_v2 -o page.html",
        "compile --help",
        "search --help",
        "evaluate --help",
    ]
    (tmp_path / "recipe.yaml").write_text("nasir: 1\nrecipe: mine\nlike: digits\n")
    done = called(commands, tmp_path)
    assert len(done) == len(commands)
    assert [each for each in zip(commands, done, strict=True) if each[1][0]] == []
    assert (tmp_path / "page.html").exists()


def test_commands_that_need_torch_say_so(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"")
    commands = [
        "compile darts_v2",
        "search nasbench201 --method random",
        "evaluate darts_v2 --recipe digits",
        "test darts_v2 --weights weights.pt --data digits",
        "import-weights darts_v2 weights.pt -o out.safetensors",
    ]
    for command, (code, text) in zip(commands, called(commands, tmp_path), strict=True):
        found = re.search(
            r"^nasir[ .](\S+): E501 torch is not installed\n  hint: (.*)", text, re.MULTILINE
        )
        assert found, f"{command}: {text}"
        assert (code, found[2]) == (1, "pip install 'nasir[torch]'")


def test_a_file_of_a_method_needs_torch_and_the_others_are_checked(tmp_path: Path) -> None:
    (tmp_path / "method.yaml").write_text("nasir: 1\nmethod: mine\nlike: darts\n")
    [(code, text)] = called(["check method.yaml darts_v2"], tmp_path)
    assert code == 2
    assert "darts_v2: a genotype" in text
    assert "method.yaml: E501 torch is not installed" in text


def test_methods_are_completed_without_torch(tmp_path: Path) -> None:
    code = f"{BLOCK}\nfrom runners.cli import main; main()"
    words = {"COMP_WORDS": "nasir search darts --method pc", "COMP_CWORD": "4"}
    done = python(code, tmp_path, _NASIR_COMPLETE="complete_bash", **words)
    assert done.stdout.split() == ["pc-darts"]


def test_a_function_that_needs_torch_says_so(tmp_path: Path) -> None:
    names = ("search", "to_torch", "compile", "compile_genotype")
    code = f"""{BLOCK}
import nasir
for name in {names}:
    try:
        getattr(nasir, name)("darts_v2")
    except nasir.NasirError as error:
        print(error.code, error.where, error.message)
"""
    lines = python(code, tmp_path).stdout.splitlines()
    assert lines == [f"E501 nasir.{name} torch is not installed" for name in names]


def test_all_names_of_nasir_are_imported_without_an_extra(tmp_path: Path) -> None:
    assert python(f"{BLOCK}\nfrom nasir import *\nprint(network)", tmp_path).returncode == 0


def test_the_names_of_lowering_and_runners_are_names_of_nasir() -> None:
    packages = [import_module(name) for name in ("nasir", "lowering", "runners")]
    for one, two in combinations(packages, 2):
        assert not {*one.__all__} & {*two.__all__}
    assert {name for package in packages for name in package.__all__} <= {*dir(nasir)}
    assert nasir.to_torch is lowering.to_torch
    assert nasir.search is runners.search
    assert not hasattr(nasir, "serach")


@pytest.fixture
def shadowed(tmp_path: Path) -> Path:
    """A directory with a folder and a file of the user that are called like nasir's packages."""
    (tmp_path / "runners").mkdir()
    (tmp_path / "runners/__init__.py").write_text("own = 1\n")
    (tmp_path / "lowering.py").write_text("own = 1\n")
    return tmp_path


def test_modules_of_the_same_names_do_not_hide_the_packages(shadowed: Path) -> None:
    main = (
        "import sys, nasir.__main__; sys.argv = ['nasir', 'id', 'darts_v2']; nasir.__main__.main()"
    )
    assert python(main, shadowed).stdout.endswith("  DARTS_V2\n")
    done = python("import nasir; print(nasir.search.__module__, nasir.OPSET)", shadowed)
    assert done.stdout == f"runners.experiment.search {lowering.OPSET}\n"


def test_a_module_that_is_imported_already_is_named(shadowed: Path) -> None:
    """It stays as it is, for whoever imported it."""
    for name, own in (("search", "runners"), ("search", "lowering")):
        done = python(f"import {own}, nasir; print({own}.own); nasir.{name}", shadowed)
        file = str(Path(own, "__init__.py")) if own == "runners" else f"{own}.py"
        assert done.stdout == "1\n"
        assert f"{file}: E501 the imported module '{own}' is not" in done.stderr

"""The example spaces, which no paper has: compiled, drawn, exported, and read back."""

import json
from pathlib import Path
from typing import Any

import pytest

import nasir
from runners.experiment.sizes import NetworkSize
from runners.forms.compile import Options, compile_genotype
from tests.command_line import ROOT, call
from tests.gate import gated

EXAMPLES = [
    ROOT / "spaces" / "examples" / f"{name}.json"
    for name in ("mobile", "three_kinds", "attention", "segmentation", "windows")
]
TOLERANCE = 1e-4

named = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@pytest.mark.parametrize("path", gated(EXAMPLES, EXAMPLES[1:2]), ids=lambda path: path.stem)
def test_an_example_is_compiled_drawn_and_exported(path: Path, tmp_path: Path) -> None:
    sizes = ("--channels", "8", "--layers", "6")
    done = call("compile", path, *sizes, "-o", tmp_path, "--no-compile", "--json")
    assert done.code == 0, done.err
    facts: dict[str, Any] = json.loads(done.out)
    assert facts["output"] == [1, 10]
    compared = {row["form"]: row["difference"] for row in facts["forms"]}
    assert compared.pop("eager") is None
    assert set(compared) == {"folded", "onnxruntime", "python"}
    assert max(each["difference"] for each in compared.values()) < TOLERANCE
    kinds = nasir.load_genotype(str(path)).kinds
    assert len(list(tmp_path.rglob("*.svg"))) == len(kinds)


@pytest.mark.parametrize("path", gated(EXAMPLES, EXAMPLES[:2]), ids=lambda path: path.stem)
def test_an_exported_example_gives_its_genotype_and_space_back(path: Path, tmp_path: Path) -> None:
    assert call("compile", path, "--channels", "4", "--layers", "6", "--onnx",
                tmp_path / "net.onnx", "--no-compile").code == 0  # fmt: skip
    genotype = nasir.load_genotype(str(path))
    again = nasir.load_genotype(str(tmp_path / "net.onnx"))
    assert (again, again.definition) == (genotype, genotype.definition)
    assert nasir.network(again) == nasir.network(genotype)


def test_a_genotype_and_its_space_may_lie_apart(tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_text(EXAMPLES[0].read_text().replace("mobile.yaml", "mobile"))
    space = EXAMPLES[0].with_suffix(".yaml")
    assert call("cost", tmp_path / "cell.json").code == 2
    apart = call("cost", tmp_path / "cell.json", "--space", space)
    assert (apart.code, apart.out) == (0, call("cost", EXAMPLES[0]).out)


def test_a_compilation_takes_a_space() -> None:
    options = Options(size=NetworkSize(channels=4, layers=3), compile=False, space="nnabla")
    assert compile_genotype("darts_v2", options).space == "nnabla"
    assert compile_genotype(nasir.load_genotype("darts_v2"), options).space == "nnabla"


@pytest.mark.parametrize("command", ["cost", "show", "draw", "convert", "check"])
def test_a_command_takes_a_space(command: str, tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_text(EXAMPLES[0].read_text().replace("mobile.yaml", "else.yaml"))
    space = EXAMPLES[0].with_suffix(".yaml")
    more = ("-o", tmp_path / "out") if command in ("draw", "convert") else ()
    done = call(command, tmp_path / "cell.json", "--space", space, *more)
    assert done.code == 0, done.err

"""`nasir compile` and the runner behind it, on small networks."""

import json
import sys
from pathlib import Path

import pytest
import torch

import lowering
import nasir
import runners
from runners.experiment.sizes import NetworkSize
from runners.forms import make
from runners.forms.compile import Options
from runners.forms.report import Report
from runners.forms.table import FORMS, FormSource
from tests.command_line import RESNET, TINY, call
from tests.refusals import fails_with

SIZE = NetworkSize(channels=4, layers=3)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """Everything that can be written, and the report."""
    directory = tmp_path_factory.mktemp("out") / "made"
    options = Options(size=SIZE, compile=False, export=directory / "net.pt2", directory=directory)
    return directory, runners.compile_genotype("darts_v2", options)


def test_every_file_agrees_with_the_network(written: tuple[Path, Report]) -> None:
    found = {each.form: each for each in written[1].forms}
    assert list(found) == ["eager", "folded", "onnxruntime", "python", "export"]
    assert found.pop("eager").difference is None
    for each in found.values():
        assert each.difference is not None
        assert each.difference.agrees


def test_the_report_has_the_figures(written: tuple[Path, Report]) -> None:
    report = written[1]
    graph = nasir.network("darts_v2", channels=4, layers=3)
    assert report.cost == nasir.cost(graph)
    assert report.output == (1, 10)
    assert report.passes[0].before == len(graph)
    assert all(a.after == b.before for a, b in zip(report.passes, report.passes[1:], strict=False))
    assert all(each.latency is not None for each in report.forms)
    assert {"lower to torch", "write onnxruntime", "measure"} <= {
        each.name for each in report.stages
    }


def test_the_report_file_is_the_report(written: tuple[Path, Report]) -> None:
    directory, report = written
    facts = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    assert facts == json.loads(json.dumps(report.facts()))
    assert nasir.load_genotype(facts["genotype"]) == nasir.load_genotype("darts_v2")
    assert "nodes" not in facts["cost"]


def test_weights_that_were_saved_are_loaded(tmp_path: Path) -> None:
    graph = SIZE.build(nasir.load_genotype("darts_v2"))
    weights = lowering.save_weights(lowering.to_torch(graph, seed=7), tmp_path / "w.safetensors")
    made = tmp_path / "net.py"
    options = Options(size=SIZE, weights=weights, compile=False, python=made)
    runners.compile_genotype("darts_v2", options)
    with_seed = tmp_path / "seed.py"
    runners.compile_genotype(
        "darts_v2", Options(size=SIZE, seed=7, compile=False, python=with_seed)
    )
    assert made.with_suffix(".safetensors").read_bytes() == (
        with_seed.with_suffix(".safetensors").read_bytes()
    )


def test_weights_of_another_network_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    graph = nasir.network("darts_v1", channels=4, layers=3)
    weights = lowering.save_weights(lowering.to_torch(graph), tmp_path / "w.safetensors")
    done = call("compile", "darts_v2", *TINY, "--weights", weights, "-o", tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    assert f"{weights}: E503 the weights do not fit" in done.err
    assert " missing, " in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("code", "content"), [("E101", None), ("E104", b"12345"), ("E104", b""), ("E104", b"\xff" * 99)]
)
def test_weights_that_are_no_weights_are_an_error(
    code: str, content: bytes | None, tmp_path: Path
) -> None:
    weights = tmp_path / "w.safetensors"
    if content is not None:
        weights.write_bytes(content)
    done = call("compile", "darts_v2", *TINY, "--weights", weights)
    assert (done.code, done.out) == (2, "")
    assert f" {code} " in done.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_fails_the_work(tmp_path: Path) -> None:
    done = call("compile", "darts_v2", *TINY, "--device", "cuda", "-o", tmp_path / "out")
    assert (done.code, done.out) == (1, "")
    assert "E502 torch sees no GPU for the device 'cuda'" in done.err
    assert not (tmp_path / "out").exists()


def test_a_network_larger_than_the_memory_fails_the_work() -> None:
    done = call("compile", "darts_v2", "--channels", "60000", "--layers", "40", "--no-compile")
    assert (done.code, done.out) == (1, "")
    assert "E502 the memory is not enough" in done.err


def test_without_onnxruntime_the_comparison_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    options = Options(size=SIZE, compile=False, onnx=tmp_path / "net.onnx")
    report = runners.compile_genotype("darts_v2", options)
    found = report.form("onnxruntime")
    assert (found.difference, found.latency) == (None, None)
    assert found.note == "onnxruntime is not installed"
    assert report.files == found.files == (tmp_path / "net.onnx",)


def test_a_file_that_differs_is_an_error(tmp_path: Path) -> None:
    graph = SIZE.build(nasir.load_genotype("darts_v2"))
    module = lowering.to_torch(graph).eval()
    form, source, path = FORMS["export"], FormSource(graph, module), tmp_path / "net.pt2"
    form.write(source, path)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3.0)
    with fails_with("E504", "the form 'export' differs"):
        make._difference(form, source, form.load(source, path), path)


def test_a_network_that_draws_noise_is_compared_where_that_means_something(tmp_path: Path) -> None:
    options = Options(size=SIZE, compile=False, onnx=tmp_path / "net.onnx")
    report = runners.compile_genotype("c10_s4_pcdarts", options)
    assert report.form("folded").note == "the network samples noise at every call"
    assert report.form("onnxruntime").note == "with the same noise on both sides"


def test_the_command_prints_the_report_and_says_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    done = call(
        "compile", "darts_v2", *TINY, "--no-compile", "--auxiliary", "--batch", "2",
        "--classes", "7", "--report", path,
    )  # fmt: skip
    assert done.code == 0
    assert f"wrote {path}" in done.out
    assert "output: logits of shape (2, 7)" in done.out
    assert "fold-batch-norm" in done.out
    assert "auxiliary head" in done.out
    assert " thread" in done.out
    assert "lower to torch ..." in done.err


@pytest.mark.slow
@pytest.mark.skipif(bool(lowering.compiler_missing()), reason="no compiler on this machine")
def test_a_compiled_network_agrees_and_is_timed() -> None:
    size = NetworkSize(channels=2, layers=1)
    cell = "|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|"
    report = runners.compile_genotype(cell, Options(size=size))
    compiled = report.form("compiled")
    assert compiled.latency is not None, compiled.note
    assert compiled.difference is not None
    assert compiled.difference.difference < 1e-4


def test_without_a_compiler_the_report_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(device: str = "cpu") -> str:
        return f"no C++ compiler for the {device}"

    monkeypatch.setattr(lowering, "compiler_missing", missing)
    report = runners.compile_genotype(RESNET, Options(size=NetworkSize(channels=2, layers=1)))
    compiled = report.form("compiled")
    assert (compiled.difference, compiled.latency) == (None, None)
    assert "no C++ compiler" in compiled.note


@pytest.mark.parametrize(("option", "name"), [("--python", "net.py"), ("--export", "net.pt2")])
def test_an_export_that_differs_is_left_nowhere(
    option: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = lowering.Comparison(1.0, 1.0, 3)
    monkeypatch.setattr(make, "compared", lambda *_: wrong)
    (tmp_path / name).write_text("an older one")
    done = call("compile", RESNET, "--layers", "1", "--no-compile", option, tmp_path / name)
    assert done.code == 1
    assert "E504 the form" in done.err
    assert (tmp_path / name).read_text() == "an older one"
    assert len(list(tmp_path.iterdir())) == 1

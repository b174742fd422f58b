"""Targets: each computes the network, the fastest is picked, and what is shipped runs alone."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import lowering
import nasir
from runners import compile_genotype
from runners.experiment.sizes import NetworkSize
from runners.forms import make
from runners.forms.compile import AUTO, Options
from runners.forms.report import FormResult
from runners.forms.table import FORMS, FormSource, find_forms, ship
from runners.task.score import Latency
from tests.command_line import TINY, call
from tests.gate import gated
from tests.refusals import fails_with

SIZE = NetworkSize(channels=4, layers=3)


@pytest.fixture
def source() -> FormSource:
    """A small network whose batch norms have seen something."""
    graph = SIZE.build(nasir.load_genotype("darts_v2"))
    module = lowering.to_torch(graph)
    with torch.no_grad():
        module(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    return FormSource(graph, module.eval(), 9)


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


SLOW = {form.name for form in FORMS.values() if form.needs == "compiler"}
EXACT = [form.name for form in FORMS.values() if form.exact]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in EXACT]
)
def test_an_exact_form_computes_the_network(name: str, source: FormSource, tmp_path: Path) -> None:
    form, path = FORMS[name], tmp_path / f"network{FORMS[name].suffix}"
    if not form.memory:
        assert path in form.write(source, path)
    run = form.load(source, path)
    for count in (9,) if name == "compiled" else (9, 4):
        with torch.no_grad():
            found, expected = run(images(count)), source.module(images(count))
        assert torch.allclose(found, expected, atol=1e-5)


def test_auto_measures_all_and_picks_the_fastest(tmp_path: Path) -> None:
    options = Options(size=SIZE, compile=False, target=AUTO, ship=tmp_path / "out", batch=4)
    report = compile_genotype("darts_v2", options)
    assert [each.form for each in report.forms] == [name for name in EXACT if name not in SLOW]
    seconds = {each.form: each.latency.seconds for each in report.forms if each.latency}
    assert report.target == min(seconds, key=lambda name: seconds[name])
    facts = json.loads((tmp_path / "out" / "ship.json").read_text())
    assert (facts["target"], facts["batch"]) == (report.target, 4)
    assert facts["seconds"] == seconds
    assert tmp_path / "out" / "run.py" in report.files


def test_a_target_of_a_name_is_picked_whatever_is_faster() -> None:
    results = {
        name: FormResult(name, latency=Latency(seconds, seconds, 1))
        for name, seconds in (("eager", 3.0), ("folded", 2.0), ("int8_static", 1.0))
    }
    assert make._selected(results, Options(target="eager")) == "eager"
    assert make._selected(results, Options(target=AUTO)) == "folded"  # the fastest that is exact


def test_a_package_of_several_outputs_takes_any_number_of_images(
    source: FormSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = nasir.network("darts_v2", channels=4, layers=3, features=True)
    module = lowering.to_torch(graph).eval()

    def network(x: torch.Tensor) -> object:
        assert len(x) == 9, "compiled for 9 images"
        return module(x)

    monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda path: network)  # pyright: ignore[reportPrivateUsage, reportUnknownLambdaType, reportUnknownArgumentType] - as the form
    run = FORMS["package"].load(replace(source, graph=graph, module=module), tmp_path / "n.pt2")
    with torch.no_grad():
        for count in (9, 4, 20):
            torch.testing.assert_close(run(images(count)), module(images(count)))


SHIPPED = (("folded", 1), ("onnxruntime", 8), ("onnxruntime", 1), ("channels_last", 2),
           ("python", 1), ("export", 2), ("package", 4))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "batch"),
    gated(SHIPPED, SHIPPED[1:2]),
)
def test_what_is_shipped_runs_without_nasir(
    name: str, batch: int, source: FormSource, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    form, made = FORMS[name], replace(source, batch=batch)
    files = form.write(made, tmp_path / f"network{FORMS[name].suffix}")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    ship(form, made, files, "{}", out)
    torch.set_num_threads(threads)
    np.save(tmp_path / "images.npy", images(6).numpy())
    program = (
        "import sys; sys.modules['nasir'] = None; sys.argv = sys.argv[1:]; "
        "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(out / "run.py"), str(tmp_path / "images.npy")],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = source.module(images(6)).argmax(1)
    assert [int(line) for line in done.stdout.split()] == expected.tolist()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--target", "onnxruntim"), "E201", "did you mean 'onnxruntime'"),
        (("--target", "onnxruntime", "--device", "cuda"), "E502", "GPU"),
    ],
)
def test_wrong_targets_are_one_error(arguments: tuple[str, ...], code: str, message: str) -> None:
    done = call("compile", "darts_v2", *TINY, "--no-compile", *arguments)
    assert code in done.err
    assert message in done.err


def test_a_target_that_cannot_be_here_says_why() -> None:
    with fails_with("E502", "CPU only"):
        find_forms("onnxruntime", "cuda")
    assert "onnxruntime" not in [form.name for form in find_forms(AUTO, "cuda")]


def test_a_language_model_is_not_shipped(tmp_path: Path) -> None:
    size = NetworkSize(vocabulary=20, hidden=8)
    options = Options(size=size, compile=False, target="folded", ship=tmp_path / "out")
    with fails_with("E502", "language model"):
        compile_genotype("DARTS_V2@darts_rnn", options)


def test_training_in_the_fastest_form_learns_the_same() -> None:
    graph = SIZE.build(nasir.load_genotype("darts_v1"))
    plain, module = (lowering.to_torch(graph, optimise=o).double() for o in (False, True))
    fast = lowering.prepare_training(module)
    assert module.channels_last
    for network in (plain, fast):
        network(images(4).double()).square().sum().backward()
    for key, value in plain.state_dict().items():
        assert torch.allclose(value, module.state_dict()[key], atol=1e-9), key
    for one, other in zip(plain.parameters(), module.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-8, rtol=1e-8)


def test_joins_and_crops_can_be_differentiated_twice() -> None:
    from lowering.torch.layers import concat, crop

    values = tuple(torch.randn(1, 2, 3, 3, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradgradcheck(lambda a, b: concat(a, b) ** 2, values)
    assert torch.autograd.gradgradcheck(lambda a: crop(a, 1, 1) ** 2, values[:1])

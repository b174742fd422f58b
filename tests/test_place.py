"""Where networks run: devices, precisions, one process, and what cannot be."""

import os
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from nasir import NasirError
from runners import compile_genotype
from runners.cli import COMMANDS
from runners.experiment.search import search
from runners.experiment.train import evaluate
from runners.machine.device import Place, find_device, find_place
from runners.machine.machine import (
    OPENMP,
    find_machine,
    set_openmp_wait_policy,
    spinning_warning,
    surroundings,
)
from tests.command_line import call
from tests.refusals import fails_with
from tests.searches import tiny
from tests.trainings import small


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def code_of(device: str = "cpu") -> str:
    with pytest.raises(NasirError) as caught:
        find_place(device)
    return caught.value.code


def test_bf16_computes_products_in_it_and_keeps_weights_in_float32() -> None:
    place = find_place("cpu", "bf16")
    assert place.dtype == torch.float32
    with place.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "value"), [("WORLD_SIZE", "2"), ("WORLD_SIZE", "x"), ("RANK", "1"), ("RANK", "-1")]
)
def test_one_of_several_processes_is_refused(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert code_of() == "E728"
    for start in (
        lambda: search(tiny(), tmp_path / "run"),
        lambda: evaluate(small(), tmp_path / "run"),
        lambda: compile_genotype("darts_v2"),
    ):
        with pytest.raises(NasirError, match="E728"):
            start()
    assert not (tmp_path / "run").exists()
    for command in (name for name, row in COMMANDS.items() if not row.together):
        done = call(command)
        assert (done.code, "E728" in done.err) == (2, True), command


def test_the_only_process_of_torchrun_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    assert find_place() == Place()


@pytest.mark.parametrize("device", ["tpu", "", "cuda:x", "meta", "cuda:-1", "cuda:99", "gpu\x1b"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with fails_with("E502") as caught:
        find_device(device)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


def test_the_machine_is_plain_data_and_part_of_what_surrounds_a_run() -> None:
    found = find_machine()
    assert found.cores >= 1
    assert found.processor
    assert found.torch == torch.__version__
    assert surroundings()["machine"] == asdict(found)


def test_threads_that_spin_on_a_busy_machine_are_named_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in OPENMP:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (0.5, 0, 0))
    assert spinning_warning() == ""
    monkeypatch.setattr("os.getloadavg", lambda: (2.0, 0, 0))
    assert "OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=1000" in spinning_warning()
    monkeypatch.setattr("os.environ", dict(os.environ))
    set_openmp_wait_policy()
    assert spinning_warning() == ""


def test_the_users_own_way_of_waiting_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    set_openmp_wait_policy()
    assert "GOMP_SPINCOUNT" not in os.environ

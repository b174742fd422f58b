"""Where networks run: devices, precisions, ranks, and what cannot be."""

import pytest
import torch

from nasir import NasirError
from runners.machine import find_machine, machine, surroundings
from runners.place import Place, find_device, find_place


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def code_of(device: str = "cpu") -> str:
    with pytest.raises(NasirError) as caught:
        find_place(device)
    return caught.value.code


def test_a_place_is_one_process_on_the_processor_in_float32() -> None:
    place = find_place()
    assert place == Place(torch.device("cpu"), "float32", 0, 1, deterministic=False)
    assert place.dtype == torch.float32
    with place.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_bf16_computes_products_in_it_and_keeps_weights_in_float32() -> None:
    place = find_place("cpu", "bf16")
    assert place.dtype == torch.float32
    with place.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_float64_is_a_type_of_weights() -> None:
    assert find_place("cpu", "float64").dtype == torch.float64


def test_ranks_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    place = find_place()
    assert (place.rank, place.ranks) == (2, 4)


@pytest.mark.parametrize(
    ("rank", "ranks"), [("4", "4"), ("-1", "2"), ("x", "2"), ("0", "0"), ("1", ""), ("0", "1.5")]
)
def test_ranks_that_make_no_sense_are_refused(
    rank: str, ranks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", ranks)
    assert code_of() == "E728"


@pytest.mark.parametrize("device", ["tpu", "", "cuda:x", "meta", "cuda:-1", "cuda:99", "gpu\x1b"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(NasirError) as caught:
        find_device(device)
    assert caught.value.code == "E502"
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


def test_each_process_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert find_place("cuda").device == torch.device("cuda:1")
    assert find_place("cuda:0").device == torch.device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert code_of("cuda") == "E502"


def test_a_precision_that_is_unknown_is_refused() -> None:
    with pytest.raises(NasirError, match="E729") as caught:
        find_place("cpu", "float16")
    assert caught.value.hint == "did you mean 'float64'?"


def test_the_machine_is_plain_data_and_part_of_what_surrounds_a_run() -> None:
    found = find_machine()
    assert found.cores >= 1
    assert found.processor
    assert machine()["torch"] == torch.__version__
    assert surroundings()["machine"] == machine()

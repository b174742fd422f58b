"""Folders of runs: what is written, what is found again, and what a kill leaves."""

import io
import json
import socket
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

import nasir
from nasir import NasirError
from nasir.space import catalog
from runners.folder import checkpoint
from runners.folder.facts import other_machine, read_facts, same_settings, space_hash
from runners.folder.logs import read_rows
from runners.folder.run_folder import RunFolder
from tests.processes import Say, fork, needs_fork, void
from tests.refusals import fails_with

FACTS = {"seed": 3, "settings": {"batch": 64}}


def log_epoch(folder: RunFolder, epoch: int) -> None:
    """What a loop does after an epoch."""
    folder.log({"epoch": epoch, "stage": 0, "train": {"loss": 1 / (epoch + 3), "accuracy": 0.5}})
    folder.log_architecture({"epoch": epoch, "weights": {"normal/n2.e0": [0.25, 0.75]}})
    folder.log_times({"epoch": epoch, "seconds": time.perf_counter()})
    folder.write_genotype(f'{{"epoch": {epoch}}}\n', epoch)


def run(folder: RunFolder, *epochs: int) -> None:
    """Logs and saves epochs."""
    for epoch in epochs:
        log_epoch(folder, epoch)
        folder.save(epoch, {"w": torch.full((2,), float(epoch)), "epoch": epoch})


def failing(code: str, call: object, *arguments: object) -> NasirError:
    """The error of a call."""
    assert callable(call)
    with fails_with(code) as caught:
        call(*arguments)
    return caught.value


def content(path: Path) -> dict[str, bytes]:
    """The files of a run that are the same however often it was killed."""
    names = ("metrics.jsonl", "architecture.jsonl", "genotype.json")
    files = [*path.glob("genotypes/*"), *path.glob("checkpoints/*")]
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in [*files, *(path / name for name in names if (path / name).exists())]
    }


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    assert "no such run" in failing("E721", RunFolder.open, tmp_path / "none").message
    assert "no run.json" in failing("E721", RunFolder.open, tmp_path).message
    (tmp_path / "file").write_text("x")
    assert "is a file" in failing("E721", RunFolder.open, tmp_path / "file").message


@pytest.mark.parametrize("text", [b'{"seed": 1,\n  "x', b"[1]", b"\xff\xfe", b""])
def test_a_damaged_run_is_refused_with_its_place(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(text)
    error = failing("E604", RunFolder.open, tmp_path)
    assert error.where.file == str(tmp_path / "run.json")
    assert error.where.line == 1 + text.count(b"\n")


def test_a_new_run_takes_an_empty_folder_alone(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "a", FACTS).close()
    assert "--resume" in failing("E723", RunFolder.create, tmp_path / "a", FACTS).hint
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("")
    assert "thesis.tex" in failing("E723", RunFolder.create, tmp_path / "b", FACTS).message
    failing("E723", RunFolder.create, tmp_path / "b" / "thesis.tex", FACTS)


def test_a_run_that_died_while_it_began_is_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / ".run.json.part").write_text('{"se')
    RunFolder.create(tmp_path, FACTS).close()
    assert read_facts(tmp_path) == FACTS


@needs_fork
def test_a_run_in_use_names_the_process_and_is_free_after_its_death(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, FACTS).close()

    def work(say: Say) -> None:
        with RunFolder.open(tmp_path):
            say("in")
            time.sleep(60)

    other = fork(work)
    assert other.line() == "in"
    error = failing("E724", RunFolder.open, tmp_path)
    assert f"process {other.pid}" in error.message
    failing("E724", RunFolder.create, tmp_path, FACTS)
    assert read_facts(tmp_path) == FACTS, "readers need no lock"
    other.kill()
    RunFolder.open(tmp_path).close()


def test_a_run_cannot_be_opened_twice_in_one_process(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, FACTS):
        assert "itself" in failing("E724", RunFolder.open, tmp_path).message
    RunFolder.open(tmp_path).close()


@needs_fork
def test_without_locks_in_the_file_system_the_pid_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with RunFolder.create(tmp_path, FACTS):
        failing("E724", RunFolder.open, tmp_path)
    marker = tmp_path / "lock.pid"
    done = fork(void)
    done.wait()
    marker.write_text(f"{done.pid}\n{socket.gethostname()}\n")
    RunFolder.open(tmp_path).close()
    marker.write_text(f"{done.pid}\nanother\n")
    (tmp_path / "lock").write_text(f' {{"pid": {done.pid}, "machine": "another"}}')
    assert "on another" in failing("E724", RunFolder.open, tmp_path).message


def tensors() -> dict[str, Tensor]:
    """Tensors of every kind that might be saved."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=generator)
    types = (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
        torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
        torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2,
    )  # fmt: skip
    odd = torch.tensor([0x7FC00001, -1, -(2**31), 1], dtype=torch.int32).view(torch.float32)
    return {
        **{f"type {dtype}": base.abs().to(dtype) for dtype in types},
        "nan, -0, a subnormal": odd,
        "transposed": base.t(),
        "strided": base[::2, 1::3],
        "expanded": base[:1].expand(5, 6),
        "whole": base,
        "a row of it": base[1],
        "conjugated": torch.randn(3, dtype=torch.complex64, generator=generator).conj(),
        "imaginary": torch.randn(3, dtype=torch.complex64, generator=generator).conj().imag,
        "scalar": torch.tensor(1.5, dtype=torch.complex128),
        "empty": torch.zeros(0, 3, dtype=torch.complex128),
        "channels last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(base),
        "c03/n2.e0/sep_conv_3x3/dw1.weight — 重み": base,
    }


def bits(value: Tensor) -> bytes:
    return value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(
        torch.uint8
    ).numpy().tobytes()  # fmt: skip


def test_a_checkpoint_gives_back_every_kind_of_tensor_to_the_bit(tmp_path: Path) -> None:
    saved = tensors()
    facts = {"loss": 0.1 + 0.2, "best": float("inf"), "none": None, "list": [1, "é", 2**63]}
    with RunFolder.create(tmp_path, FACTS) as folder:
        folder.save(7, {"weights": saved, **facts})
        found = folder.load(7)
        path = tmp_path / "checkpoints" / "0007.pt"
        first = path.read_bytes()
        folder.save(7, {"weights": saved, **facts})
        assert path.read_bytes() == first, "the same state is the same file"
    assert found.epoch == 7
    weights = found.state["weights"]
    assert found.state == {"weights": weights, **facts}
    assert weights.keys() == saved.keys()
    for key, value in saved.items():
        other = weights[key]
        assert (other.dtype, other.shape) == (value.dtype, value.shape), key
        assert bits(other) == bits(value), key
    starts = [value.data_ptr() for value in weights.values() if value.numel()]
    assert len(set(starts)) == len(starts), "none shares memory with another"


def test_the_last_checkpoints_and_the_pinned_ones_stay(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, FACTS) as folder:
        folder.pinned.add(1)
        run(folder, *range(6))
        assert folder.saved() == [1, 4, 5]
        folder.keep = 1
        run(folder, 6)
        assert folder.saved() == [1, 6]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_taken(
    damage: str, tmp_path: Path
) -> None:
    said: list[str] = []
    with RunFolder.create(tmp_path, FACTS, said.append) as folder:
        run(folder, 3, 4)
        path = tmp_path / "checkpoints" / "0004.pt"
        whole = path.read_bytes()
        path.write_bytes(
            {
                "cut": whole[:-3],
                "flipped": whole[:-1] + bytes([whole[-1] ^ 1]),
                "empty": b"",
                "text": b"hello, this is no checkpoint",
            }[damage]
        )
        latest = folder.latest()
        assert latest is not None
        assert latest.epoch == 3
        assert len(said) == 1
        assert "0004.pt" in said[0]
        assert failing("E604", folder.load, 4).where.file == str(path)
        failing("E604", folder.load, 9)


def test_a_checkpoint_of_another_version_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunFolder.create(tmp_path, FACTS) as folder:
        run(folder, 0)
        monkeypatch.setattr(checkpoint, "VERSION", 99)
        run(folder, 1)
        monkeypatch.setattr(checkpoint, "VERSION", 2)
        assert "version 99" in failing("E110", folder.latest).message
        assert folder.saved() == [0, 1]


class Calls:
    """What a hostile pickle calls when it is read."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.made = call, arguments

    def __reduce__(self) -> Any:
        return self.made


@pytest.mark.parametrize("hostile", [Calls(print, "run"), Calls(bytearray, 2**40)])
def test_a_hostile_checkpoint_is_a_damaged_one(
    hostile: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.BytesIO()
    torch.save({"checkpoint": 2, "epoch": 1, "state": {"w": hostile}}, stream)
    content = stream.getvalue()
    with RunFolder.create(tmp_path, FACTS, lambda _: None) as folder:
        run(folder, 0, 1)
        path = tmp_path / "checkpoints" / "0001.pt"
        path.write_bytes(content + zlib.crc32(content).to_bytes(4, "little"))
        failing("E604", folder.load, 1)
        latest = folder.latest()
    assert latest is not None
    assert latest.epoch == 0
    assert capsys.readouterr().out == ""


def test_checkpoints_of_nasir_0_1_are_refused(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, FACTS) as folder:
        run(folder, 0)
        (tmp_path / "checkpoints" / "0001.safetensors").write_bytes(b"")
        assert "nasir 0.1" in failing("E110", folder.latest).message


def test_a_checkpoint_that_the_system_withholds_is_not_passed_over(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, FACTS) as folder:
        run(folder, 0)
        (tmp_path / "checkpoints" / "0001.pt").mkdir()
        failing("E101", folder.latest)


def test_a_run_that_went_back_ends_with_the_files_of_one_that_did_not(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "whole", FACTS | {"kind": "search"}) as whole:
        run(whole, *range(6))
        whole.write_genotype("{}", None)
    with RunFolder.create(tmp_path / "cut", FACTS | {"kind": "search"}) as cut:
        run(cut, 0, 1, 2, 3)
        log_epoch(cut, 4)
        cut.write_genotype("{}", None)
    for name in ("metrics.jsonl", "architecture.jsonl", "times.jsonl"):
        with (tmp_path / "cut" / name).open("a") as stream:
            stream.write('{"epoch": 5, "tr')
    with RunFolder.open(tmp_path / "cut") as cut:
        latest = cut.latest()
        assert latest is not None
        cut.rewind(latest.epoch)
        assert not (tmp_path / "cut" / "genotype.json").exists()
        run(cut, 4, 5)
        cut.write_genotype("{}", None)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    times = [row["epoch"] for row in read_rows(tmp_path / "cut" / "times.jsonl")]
    assert times == [0, 1, 2, 3, 4, 4, 5]


def test_a_torn_row_is_cut_before_another_follows(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0}\n{"epo')
    with RunFolder.open(tmp_path) as folder:
        folder.log({"epoch": 1})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 0}\n{"epoch": 1}\n'


def test_a_number_that_json_lacks_is_null(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, FACTS) as folder:
        folder.log({"epoch": 0, "valid": {"perplexity": float("inf")}, "rows": (1, float("nan"))})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert text == '{"epoch": 0, "valid": {"perplexity": null}, "rows": [1, null]}\n'


def run_on(path: Path, say: Say) -> None:
    """Goes on with a run for ever."""
    with RunFolder.open(path) as folder:
        latest = folder.latest()
        epoch = latest.epoch if latest else -1
        folder.rewind(epoch)
        while True:
            epoch += 1
            folder.log({"epoch": epoch, "value": epoch / 7})
            folder.write_genotype("{}", epoch)
            folder.save(epoch, {"w": torch.full((300_000,), float(epoch))})
            say(str(epoch))


@needs_fork
def test_a_run_killed_while_it_saves_always_goes_on(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, FACTS).close()
    draw = Random(0)
    before = -1
    for _ in range(8):
        process = fork(lambda say: run_on(tmp_path, say))
        assert int(process.line()) == before + 1, "it went on where it was"
        time.sleep(draw.uniform(0, 0.03))
        process.kill()
        before = check_killed(tmp_path, before)
    assert before >= 7


def check_killed(path: Path, before: int) -> int:
    """Checks what a kill left, and says the epoch it got to."""
    said: list[str] = []
    with RunFolder.open(path, said.append) as folder:
        latest = folder.latest()
        assert said == [], "a kill leaves no damaged checkpoint"
        assert latest is not None
        epoch = latest.epoch
        assert epoch > before
        assert torch.equal(latest.state["w"], torch.full((300_000,), float(epoch)))
        folder.rewind(epoch)
        rows = read_rows(path / "metrics.jsonl")
        assert rows == [{"epoch": e, "value": e / 7} for e in range(epoch + 1)]
        assert len(list(path.glob("genotypes/*"))) == epoch + 1
        assert not list(path.rglob("*.part"))
    return epoch


def test_other_settings_are_named_with_both_values() -> None:
    old = {"batch": 64, "data": {"text": "digits", "crop": [4, 4]}, "flip": True, "rate": 1}
    same_settings(old, {**old, "data": {"text": "digits", "crop": (4, 4)}, "rate": 1.0})
    new = {"batch": 96, "data": {"text": "digits", "crop": [4, 0]}, "flip": 1, "cutout": 16}
    message = failing("E726", same_settings, old, new).message
    assert "batch was '64' and is '96'" in message
    assert "data.crop was '[4, 4]' and is '[4, 0]'" in message
    assert "flip was 'true' and is '1'" in message
    assert "rate was '1' and is not there" in message
    assert "cutout was not there and is '16'" in message
    assert "data.text" not in message


def test_another_machine_is_said_and_no_error() -> None:
    old = {"device": "cpu", "threads": 2, "torch": "2.13.0"}
    assert other_machine(old, dict(old)) == ""
    said = other_machine(old, {**old, "threads": 4})
    assert said.endswith("may not repeat to the bit: threads was '2' and is '4'")


def test_the_hash_of_a_space_is_that_of_what_it_says() -> None:
    text = nasir.load_space("darts").text
    data = json.loads(text)
    again = nasir.load_space(json.dumps(dict(reversed(data.items())), indent=3))
    assert space_hash(again) == space_hash(nasir.load_space("darts"))
    spaces = catalog().values()
    assert len({space_hash(space) for space in spaces}) == len(spaces)
    cells = data["cells"]
    turned = {"reduce": cells["normal"], "normal": {"like": "reduce"}}
    same = {"normal": cells["normal"], "reduce": cells["normal"]}
    hashes = {
        space_hash(nasir.load_space(json.dumps({**data, "cells": cells})))
        for cells in (turned, same, dict(reversed(same.items())))
    }
    assert len(hashes) == 3

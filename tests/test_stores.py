"""Stores of benchmarks, damaged ones too, and the questions that they answer."""

import json
import os
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from nasir import NasirError
from runners.benchmarks import Question, answers, import_benchmark, open_benchmark, open_store
from runners.benchmarks.record import Column, ReadingOptions, everything
from runners.benchmarks.sources import open_source
from runners.benchmarks.store import Header, pack, pack_header, write_store
from tests.benchmark_files import (
    CELLS,
    code_of,
    import_of,
    natsbench,
    write_csv,
    write_nats_file,
    write_pbz2,
    write_tfrecord,
)
from tests.command_line import RESNET, call

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of the small CSV."""
    import_benchmark(write_csv(tmp_path / "a.csv"), tmp_path / "store")
    return tmp_path / "store"


def test_a_store_is_a_safetensors_file(store: Path) -> None:
    tensors, opened = load_file(store), open_store(store)
    assert np.array_equal(tensors["values"], opened.values(), equal_nan=True)
    rows = [bytes(each).rstrip(b"\0").decode() for each in tensors["keys"]]
    assert rows == [opened.key_at(index) for index in range(len(opened))]
    assert [rows[index] for index in tensors["order"]] == sorted(rows)


def test_no_change_of_a_byte_of_a_store_goes_unnoticed(store: Path) -> None:
    content, starts = store.read_bytes(), open_store(store).starts
    expected = [open_store(store).at(index) for index in range(3)]
    sections = [starts[name] for name in ("values", "order", "sums", "keys")]
    chance, codes = random.Random(0), list[str]()
    for number in range(200):
        changed = bytearray(content)
        changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        store.write_bytes(changed)
        assert code_of(lambda: open_store(store).check()) in ("E604", "E108", "E110")
        changed = bytearray(content)
        changed[sections[number % 4] + chance.randrange(12)] ^= 1 << chance.randrange(8)
        store.write_bytes(changed)
        for index, cell in enumerate(CELLS):
            for look in (lambda at=index: open_store(store).at(at),
                         lambda key=cell: open_store(store).lookup(key)):  # fmt: skip
                try:
                    assert look() == expected[index]
                except NasirError as error:
                    codes.append(error.code)
    assert set(codes) == {"E604"}
    assert len(codes) > 200


def test_a_store_that_is_cut_off_or_of_another_version_is_refused(store: Path) -> None:
    content = store.read_bytes()
    for cut in (content[:16], content[:27], content[:60], content[:-1], content + b"\0"):
        store.write_bytes(cut)
        assert code_of(lambda: open_store(store)) == "E604"
    assert call("query", "0", "--data", store).code == 2
    nested = b'{"__metadata__":{"nasir benchmark":"3",' + b"[" * 99_999
    store.write_bytes(struct.pack("<Q", len(nested)) + nested)
    assert code_of(lambda: open_store(store)) == "E604"
    for other in (
        content.replace(b'"nasir benchmark":"3"', b'"nasir benchmark":"4"', 1),
        struct.pack("<16sIII", b"nasir benchmark\n", 2, 100, 0) + bytes(200),
    ):
        store.write_bytes(other)
        assert code_of(lambda: open_store(store)) == "E110"
        assert code_of(lambda: open_benchmark(store)) == "E110"
    store.write_bytes(content)
    assert code_of(import_of(store)) == "E108"


def test_a_store_made_with_what_is_no_percentage_is_damaged(tmp_path: Path) -> None:
    source = open_source(write_csv(tmp_path / "a.csv"), ReadingOptions())
    keys, columns, matrix = pack(source.records(everything))
    for value in (12345.6, -1.0, float("inf")):
        matrix[1, 0] = value
        write_store(tmp_path / "store", (keys, columns, matrix), "nasbench201", "a.csv")
        store = open_store(tmp_path / "store")
        store.check()
        assert store.at(0) is not None
        assert code_of(lambda store=store: store.at(1)) == "E604"
        assert code_of(lambda store=store: store.lookup(CELLS[1])) == "E604"


COLUMN: list[Any] = ["a", "test", 5, 5, "mean"]


@pytest.mark.parametrize(
    "change",
    [
        {"columns": [["a\x1b[2J", *COLUMN[1:]]]},
        {"columns": [COLUMN] * 2},
        {"columns": [["a", "test", 5, 6, "mean"]]},
        {"columns": [["a", "test", 10**9, 1, "mean"]]},
        {"source": "a\n"},
        {"keys": "1" * 5000},
    ],
)
def test_a_header_that_no_import_writes_is_damaged(change: dict[str, Any], tmp_path: Path) -> None:
    facts: dict[str, Any] = {"benchmark": "nasbench201", "source": "a", "nasir": "1", "keys": 1,
                             "checksum": "0" * 8, "key_width": 9, "columns": [COLUMN]}  # fmt: skip
    text = json.dumps(facts | change).replace('"' + "1" * 5000 + '"', "1" * 5000)
    columns = (Column("a", "test", 5, 5, "mean"),) * len((facts | change)["columns"])
    header = Header("nasbench201", "a", "1", 1, 9, "0" * 8, columns)
    store = tmp_path / "store"
    store.write_bytes(pack_header(text, header)[0])
    assert code_of(lambda: open_store(store)) == "E604"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((CELLS[0].replace("avg_pool", "dil_conv"),), "E601"),
        (("|none~0|",), "E104"),
        (("3",), "E601"),
        (("darts_v2",), "E208"),
        (("0", "--dataset", "cifar11"), "E601"),
        (("0", "--epochs", "13"), "E601"),
        (("0", "--split", "tests"), "E601"),
        (("0", "--seed", "777"), "E601"),
        (("0", "--after", "5"), "E601"),
        (("0", "--dataset", "cifar10", "--epochs", "12"), "E601"),
        (("0", "--bench", "nasbench102"), "E601"),
        (("0", "--bench", "nasbench101"), "E505"),
    ],
)
def test_a_question_without_an_answer_is_told_so(
    arguments: tuple[str, ...], code: str, store: Path
) -> None:
    for data in (store.parent / "a.csv", store):
        done = call("query", *arguments, "--data", data)
        assert (done.code, f" {code} " in done.err) == (2, True)


def test_what_is_not_in_a_benchmark_is_told_so(store: Path) -> None:
    source = write_tfrecord(store.parent / "a.tfrecord")
    for genotype, code in (("0" * 32, "E601"), (RESNET, "E208")):
        done = call("query", genotype, "--data", source)
        assert (done.code, code in done.err) == (2, True)
    found = open_benchmark(write_nats_file(store.parent / "a.pbz2")).lookup(CELLS[2])
    assert found is not None
    with pytest.raises(NasirError, match="E601"):
        answers(found, Question())
    done = call("bench", "import", store.parent / "a.csv", "-o", store.parent)
    assert (done.code, "E112" in done.err) == (1, True)
    done = call("bench", "info", store.parent / "missing", "--json")
    assert (done.code, json.loads(done.err)["error"]["code"]) == (2, "E101")
    os.mkfifo(store.parent / "pipe")
    assert code_of(lambda: open_benchmark(store.parent / "pipe")) == "E101"
    torch.save([1, 2], store.parent / "a.pth")
    assert code_of(lambda: open_benchmark(store.parent / "a.pth")) == "E109"


def test_a_mean_that_rounding_lifts_over_100_counts_as_100(tmp_path: Path) -> None:
    data = natsbench()
    trials = data["arch2infos"][0]["200"]["all_results"]
    trials["cifar10", 777]["train_acc1es"][4] = 100 + 2**-17
    found = open_benchmark(write_pbz2(tmp_path / "a.pbz2", data)).at(0)
    assert found is not None
    [answer] = answers(found, Question("cifar10", 5, "train", "777"))
    assert answer.accuracy == 100

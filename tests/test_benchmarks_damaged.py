"""Benchmark files that are cut off, changed or hostile: nothing runs, nothing goes unnoticed."""

import bz2
import json
import os
import random
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import nasir
from runners.benchmarks import import_benchmark, open_benchmark, open_store
from runners.benchmarks.record import Column, ReadingOptions, everything
from runners.benchmarks.sources import open_source
from runners.benchmarks.store import Header, pack, pack_header, write_store
from tests.benchmark_files import (
    CELLS,
    code_of,
    import_of,
    nasbench201,
    natsbench,
    write_csv,
    write_nats_file,
    write_nats_folder,
    write_pbz2,
    write_pth,
    write_tfrecord,
)
from tests.command_line import call

Write = Callable[[Path], Path]
FILES: dict[str, Write] = {
    "a.pth": write_pth,
    "old.pth": lambda path: write_pth(path, old=True),
    "a.pbz2": write_nats_file,
    "a.tfrecord": write_tfrecord,
    "a.csv": write_csv,
}

SHORTER = ("a.csv", "a.tfrecord")


class Evil:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("kind", ["pbz2", "folder", "pth", "old pth"])
def test_a_pickle_that_calls_code_is_refused_before_anything_runs(
    kind: str, tmp_path: Path
) -> None:
    mark = tmp_path / "it-ran"
    content = nasbench201() if kind.endswith("pth") else natsbench()
    data = content | {"evaluated_indexes": Evil(mark)}
    source = tmp_path / "source"
    if kind == "pbz2":
        write_pbz2(source, data)
    elif kind == "folder":
        write_pbz2(write_nats_folder(source) / "meta.pickle.pbz2", data)
    else:
        torch.save(data, source, _use_new_zipfile_serialization=kind == "pth")
    done = call("query", CELLS[0], "--data", source)
    assert done.code == 2
    assert "E603" in done.err
    assert "mkdir" in done.err
    assert code_of(import_of(source)) == "E603"
    assert not mark.exists()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["a.pth", "a.pbz2"])
def test_a_trusted_pickle_is_loaded_and_one_line_says_why(name: str, tmp_path: Path) -> None:
    source = tmp_path / name
    strange = {"evaluated_indexes": [Fraction(1, 3)]}
    if name == "a.pth":
        torch.save(nasbench201() | strange, source)
    else:
        write_pbz2(source, natsbench() | strange)
    assert call("query", "0", "--data", source).code == 2
    done = call("query", "0", "--data", source, "--trust-pickle")
    assert done.code == 0
    assert done.err == (
        "warning: the file asks for 'fractions.Fraction', which may run code; "
        "--trust-pickle allows it\n"
    )


def test_a_pickle_cannot_change_what_reads_it(tmp_path: Path) -> None:
    # Names numpy.dtype, which stands for a function of nasir's, and sets an attribute on it.
    attack = b"\x80\x02cnumpy\ndtype\nN}X\x05\x00\x00\x00_callNs\x86b."
    source = tmp_path / "a.pbz2"
    source.write_bytes(bz2.compress(attack))
    assert code_of(lambda: open_benchmark(source)) == "E604"
    assert open_benchmark(write_pth(tmp_path / "a.pth")).lookup(CELLS[0]) is not None


def test_a_trusted_pickle_of_a_missing_module_says_which(tmp_path: Path) -> None:
    source = tmp_path / "a.pbz2"
    source.write_bytes(bz2.compress(b"\x80\x02cnot_there_at_all\nThing\n."))
    done = call("query", "0", "--data", source, "--trust-pickle")
    assert done.code == 1
    assert "E501" in done.err
    assert "not_there_at_all" in done.err


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_off_says_so(name: str, tmp_path: Path) -> None:
    source = FILES[name](tmp_path / name)
    content = source.read_bytes()
    codes: set[str] = set()
    for part in (0.2, 0.5, 0.9, 0.99):
        source.write_bytes(content[: int(part * len(content))])
        try:
            import_benchmark(source, tmp_path / "store")
        except nasir.NasirError as error:
            codes.add(error.code if error.where.file else "no place")
        else:
            # Cut off between two rows, a CSV or a tfrecord is a shorter one; torch's old files end
            # in weights, which nobody reads.
            codes.add("read")
    assert codes <= {"E604", "E109"} | ({"read"} if name in (*SHORTER, "old.pth") else set())
    assert codes != {"read"}


@pytest.mark.parametrize("name", FILES)
def test_no_change_of_a_byte_ends_in_a_traceback(name: str, tmp_path: Path) -> None:
    source = FILES[name](tmp_path / name)
    content = source.read_bytes()
    chance = random.Random(0)
    places: list[str] = []
    for _ in range(60):
        changed = bytearray(content)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        source.write_bytes(changed)
        try:
            import_benchmark(source, tmp_path / "store")
        except nasir.NasirError as error:
            places.append(error.where.file)
    assert places
    assert all(places)


def test_no_change_of_a_byte_of_a_store_goes_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "store"
    import_benchmark(write_csv(tmp_path / "a.csv"), path)
    content = path.read_bytes()
    chance = random.Random(0)
    for _ in range(200):
        changed = bytearray(content)
        changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        assert code_of(lambda: open_store(path).check()) in ("E604", "E108", "E110")


def test_a_store_is_a_safetensors_file(tmp_path: Path) -> None:
    store = import_benchmark(write_csv(tmp_path / "a.csv"), tmp_path / "store")
    tensors = load_file(tmp_path / "store")
    assert np.array_equal(tensors["values"], store.values(), equal_nan=True)
    rows = [bytes(row).rstrip(b"\0").decode() for row in tensors["keys"]]
    assert rows == [store.key_at(row) for row in range(len(store))]
    assert [rows[row] for row in tensors["order"]] == sorted(rows)


def test_no_look_up_answers_with_what_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "store"
    import_benchmark(write_csv(tmp_path / "a.csv"), path)
    content, starts = path.read_bytes(), open_store(path).starts
    expected = [open_store(path).at(index) for index in range(3)]
    sections = [starts[name] for name in ("values", "order", "sums", "keys")]
    chance = random.Random(0)
    codes: list[str] = []
    for number in range(240):
        changed = bytearray(content)
        changed[sections[number % 4] + chance.randrange(12)] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        for index, cell in enumerate(CELLS):
            for named in (index, cell):
                try:
                    store = open_store(path)
                    found = store.at(named) if isinstance(named, int) else store.lookup(named)
                    assert found == expected[index]
                except nasir.NasirError as error:
                    codes.append(error.code)
    assert set(codes) == {"E604"}
    assert len(codes) > 240


@pytest.mark.parametrize("value", [12345.6, -1.0, float("inf")])
def test_a_store_made_with_what_is_no_percentage_is_damaged(value: float, tmp_path: Path) -> None:
    path = tmp_path / "store"
    source = open_source(write_csv(tmp_path / "a.csv"), ReadingOptions())
    keys, columns, matrix = pack(source.records(everything))
    matrix[1, 0] = value
    write_store(path, (keys, columns, matrix), "nasbench201", "a.csv")
    store = open_store(path)
    store.check()
    assert store.at(0) is not None
    assert code_of(lambda: store.at(1)) == "E604"
    assert code_of(lambda: store.lookup(CELLS[1])) == "E604"


@pytest.mark.parametrize(
    "change",
    [
        {"columns": [["a\x1b[2J", "test", 5, 5, "mean"]]},
        {"columns": [["a", "test", 5, 5, "mean"]] * 2},
        {"columns": [["a", "test", 5, 6, "mean"]]},
        {"columns": [["a", "test", 10**9, 1, "mean"]]},
        {"source": "a\n"},
        {"keys": "1" * 5000},
    ],
)
def test_a_header_that_no_import_writes_is_damaged(change: dict[str, Any], tmp_path: Path) -> None:
    facts: dict[str, Any] = {
        "benchmark": "nasbench201",
        "source": "a",
        "nasir": "1",
        "checksum": "0" * 8,
        "keys": 1,
        "key_width": 9,
        "columns": [["a", "test", 5, 5, "mean"]],
    }
    text = json.dumps(facts | change).replace('"' + "1" * 5000 + '"', "1" * 5000)
    columns = (Column("a", "test", 5, 5, "mean"),) * len((facts | change)["columns"])
    header = Header("nasbench201", "a", "1", 1, 9, "0" * 8, columns)
    path = tmp_path / "store"
    path.write_bytes(pack_header(text, header)[0])
    assert code_of(lambda: open_store(path)) == "E604"
    nested = b'{"__metadata__":{"nasir benchmark":"3",' + b"[" * 99_999
    path.write_bytes(struct.pack("<Q", len(nested)) + nested)
    assert code_of(lambda: open_store(path)) == "E604"


def test_a_store_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "store"
    import_benchmark(write_csv(tmp_path / "a.csv"), path)
    content = path.read_bytes()
    for length in (16, 27, 60, len(content) - 1):
        path.write_bytes(content[:length])
        assert code_of(lambda: open_store(path)) == "E604"
        assert call("query", "0", "--data", path).code == 2
    path.write_bytes(content + b"\0")
    assert code_of(lambda: open_store(path)) == "E604"


def test_a_store_of_another_version_says_so(tmp_path: Path) -> None:
    path = tmp_path / "store"
    import_benchmark(write_csv(tmp_path / "a.csv"), path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"nasir benchmark":"3"', b'"nasir benchmark":"4"', 1))
    assert code_of(lambda: open_store(path)) == "E110"
    path.write_bytes(struct.pack("<16sIII", b"nasir benchmark\n", 2, 100, 0) + bytes(200))
    for call_it in (lambda: open_store(path), lambda: open_benchmark(path)):
        with pytest.raises(nasir.NasirError, match="nasir bench import SOURCE") as caught:
            call_it()
        assert caught.value.code == "E110"


def test_a_pickle_that_sets_a_method_of_a_mapping_is_damaged(tmp_path: Path) -> None:
    from collections import OrderedDict

    hostile: Any = OrderedDict(natsbench()["arch2infos"])
    hostile.get = 5
    source = write_pbz2(tmp_path / "a.pbz2", natsbench() | {"arch2infos": hostile})
    assert code_of(import_of(source)) == "E604"

"""Benchmark files of a wrong layout, and questions without an answer."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nasir
from runners.benchmarks import Question, answers, import_benchmark, open_benchmark, open_store
from tests.benchmark_files import (
    CELLS,
    MODULES,
    code_of,
    import_of,
    metrics,
    nasbench201,
    natsbench,
    record,
    row,
    write_archive,
    write_csv,
    write_nats_file,
    write_pbz2,
    write_tfrecord,
)
from tests.command_line import RESNET, call


def test_what_is_no_benchmark_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text = tmp_path / "notes.txt"
    text.write_text("nothing of interest", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    store = tmp_path / "store"
    import_benchmark(write_csv(tmp_path / "a.csv"), store)
    assert code_of(lambda: open_benchmark(tmp_path / "empty")) == "E108"
    assert code_of(lambda: open_benchmark(text)) == "E108"
    assert code_of(import_of(store)) == "E108"
    assert code_of(lambda: open_benchmark(tmp_path / "pipe")) == "E101"
    assert code_of(lambda: open_benchmark(tmp_path / "missing")) == "E101"
    assert code_of(lambda: open_store(text)) == "E108"
    torch.save([1, 2], tmp_path / "a.pth")
    assert code_of(lambda: open_benchmark(tmp_path / "a.pth")) == "E109"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"meta_archs": ["|what~0|"]}, "E109"),
        ({"meta_archs": [CELLS[0], "|what~0|"]}, "E109"),
        ({"meta_archs": [CELLS[0], CELLS[0]]}, "E104"),
        ({"meta_archs": 5}, "E109"),
        ({"arch2infos": []}, "E109"),
        ({"arch2infos": {0: {"12": {"all_results": {"cifar10": {}}}}}}, "E109"),
        ({"arch2infos": {0: {"12": {"all_results": {("cifar10", 1): {"epochs": -1}}}}}}, "E109"),
        ({"arch2infos": {0: {"12": {}}}}, "E109"),
        ({"arch2infos": {}}, "E109"),
    ],
)
def test_a_pickle_of_another_layout_is_told_what_is_wrong(
    change: dict[str, Any], code: str, tmp_path: Path
) -> None:
    source = write_pbz2(tmp_path / "a.pbz2", natsbench() | change)
    assert code_of(import_of(source)) == code


@pytest.mark.parametrize("value", [float("nan"), -1.0, 100.5, np.float64("inf")])
def test_an_accuracy_that_is_no_percentage_is_refused(value: float, tmp_path: Path) -> None:
    data = nasbench201()
    trials = data["arch2infos"][0]["full"]["all_results"]
    trials["cifar10", 777]["eval_acc1es"]["ori-test@4"] = value
    torch.save(data, tmp_path / "a.pth")
    assert code_of(import_of(tmp_path / "a.pth")) == "E107"


def test_a_mean_that_rounding_lifts_over_100_counts_as_100(tmp_path: Path) -> None:
    data = natsbench()
    trials = data["arch2infos"][0]["200"]["all_results"]
    trials["cifar10", 777]["train_acc1es"][4] = 100 + 2**-17
    found = open_benchmark(write_pbz2(tmp_path / "a.pbz2", data)).at(0)
    assert found is not None
    [answer] = answers(found, Question("cifar10", 5, "train", "777"))
    assert answer.accuracy == 100


def test_errors_of_bench_are_json_where_json_is_asked_for(tmp_path: Path) -> None:
    done = call("bench", "info", tmp_path / "missing", "--json")
    assert (done.code, json.loads(done.err)["error"]["code"]) == (2, "E101")


def test_an_archive_with_a_gap_names_the_file_after_it(tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "archive")
    (folder / "000000-FULL.pth").unlink()
    with pytest.raises(nasir.NasirError, match="architecture 0 is missing") as caught:
        import_benchmark(folder, tmp_path / "store")
    assert caught.value.code == "E604"
    assert caught.value.where.file.endswith("000001-FULL.pth")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"not json", "E104"),
        (b"[1, 2]", "E109"),
        (row("xyz", 108, b""), "E109"),
        (row(MODULES[0], "many", b""), "E109"),
        (row(MODULES[0], 108, b""), "E109"),
        (row(MODULES[0], 108, b"\x0a\xff"), "E104"),
        (row(MODULES[0], 108, metrics([(0, 0, 0), (0.5, 0.5, 0.5), (1.5, 0, 0)])), "E107"),
        (row(MODULES[0], 108, b"").replace(b'"",', b'"",')[:-3] + b'!"]', "E104"),
    ],
)
def test_a_wrong_record_of_a_tfrecord_is_named(content: bytes, code: str, tmp_path: Path) -> None:
    good = row(MODULES[1], 4, metrics([(0, 0, 0)] * 3))
    source = tmp_path / "a.tfrecord"
    source.write_bytes(record(good) + record(content))
    with pytest.raises(nasir.NasirError) as caught:
        import_benchmark(source, tmp_path / "store")
    assert caught.value.code == code
    assert caught.value.where.file.endswith("(record 1)")


def test_a_wrong_checksum_of_a_record_is_found(tmp_path: Path) -> None:
    source = write_tfrecord(tmp_path / "a.tfrecord")
    content = bytearray(source.read_bytes())
    content[40] ^= 1
    source.write_bytes(content)
    with pytest.raises(nasir.NasirError, match="record 0 has a wrong checksum") as caught:
        import_benchmark(source, tmp_path / "store")
    assert caught.value.code == "E604"


@pytest.mark.parametrize(
    ("line", "code", "number"),
    [
        (f"3,{RESNET},90,80", "E109", 5),
        (f"4,{RESNET},90,80,70", "E109", 5),
        ("3,|what~0|,90,80,70", "E109", 5),
        (f"3,{RESNET},ninety,80,70", "E109", 5),
        (f"3,{RESNET},900,80,70", "E107", 5),
        (f"3,{RESNET},nan,80,70", "E107", 5),
    ],
)
def test_a_wrong_line_of_a_csv_is_named(line: str, code: str, number: int, tmp_path: Path) -> None:
    line = line.replace(RESNET, CELLS[1].replace("avg_pool", "nor_conv"))
    source = write_csv(tmp_path / "a.csv", line)
    with pytest.raises(nasir.NasirError) as caught:
        import_benchmark(source, tmp_path / "store")
    assert (caught.value.code, caught.value.where.line) == (code, number)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("index,cell,cifar10_test_200", "E108"),
        ("index,arch", "E109"),
        ("index,arch,cifar10_test", "E109"),
        ("index,arch,cifar10_test_200,cifar10_test_200", "E104"),
    ],
)
def test_a_wrong_head_of_a_csv_is_refused(head: str, code: str, tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text(f"{head}\n", encoding="utf-8")
    assert code_of(import_of(source)) == ("E109" if code == "E108" else code)


def test_a_gzip_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    source = tmp_path / "a.csv.gz"
    content = gzip.compress(write_csv(tmp_path / "a.csv").read_bytes())
    source.write_bytes(content[:-20])
    assert code_of(import_of(source)) == "E604"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((CELLS[0].replace("avg_pool", "dil_conv"),), "E601", "is not in the benchmark"),
        (("|none~0|",), "E104", "has 3 nodes"),
        (("3",), "E601", "index 3"),
        (("darts_v2",), "E208", "cannot express"),
        (("0", "--dataset", "cifar11"), "E601", "did you mean 'cifar10'?"),
        (("0", "--epochs", "13"), "E601", "known: 12, 200"),
        (("0", "--split", "tests"), "E601", "did you mean 'test'?"),
        (("0", "--seed", "777"), "E601", "known: each, mean, unstated"),
        (("0", "--after", "5"), "E601", "known: 12, 200"),
        (("0", "--dataset", "cifar10", "--epochs", "12"), "E601", "there is: cifar10 test, 200"),
        (("0", "--bench", "nasbench102"), "E601", "did you mean 'nasbench101'?"),
        (("0", "--bench", "nasbench101"), "E505", "is of NAS-Bench-201"),
    ],
)
def test_a_question_without_an_answer_is_told_so(
    arguments: tuple[str, ...], code: str, said: str, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "a.csv")
    store = tmp_path / "store"
    import_benchmark(source, store)
    for data in (source, store):
        done = call("query", *arguments, "--data", data)
        assert done.code == 2
        assert code in done.err
        assert said in done.err


def test_a_module_hash_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    source = write_tfrecord(tmp_path / "a.tfrecord")
    for genotype, code in (("0" * 32, "E601"), (RESNET, "E208")):
        done = call("query", genotype, "--data", source)
        assert (done.code, code in done.err) == (2, True)


def test_a_cell_without_results_is_told_so(tmp_path: Path) -> None:
    found = open_benchmark(write_nats_file(tmp_path / "a.pbz2")).lookup(CELLS[2])
    assert found is not None
    with pytest.raises(nasir.NasirError, match="no result") as caught:
        answers(found, Question())
    assert caught.value.code == "E601"


def test_an_import_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "a.csv")
    done = call("bench", "import", source, "-o", tmp_path)
    assert done.code == 1
    assert "E112" in done.err

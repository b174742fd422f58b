"""Every official format read, imported and asked; the published table whole."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import nasir
from runners.benchmarks import (
    Column,
    Question,
    ReadingOptions,
    answers,
    import_benchmark,
    open_benchmark,
    open_store,
)
from runners.benchmarks.query import best_of
from runners.benchmarks.record import Original
from tests.benchmark_files import (
    CELLS,
    CSV,
    MODULES,
    accuracy,
    nasbench201,
    natsbench,
    write_archive,
    write_csv,
    write_nats_file,
    write_nats_folder,
    write_pbz2,
    write_pth,
    write_tfrecord,
)
from tests.command_line import ROOT, call

Write = Callable[[Path], Path]


def _old_pth(path: Path) -> Path:
    return write_pth(path, old=True)


PICKLED: dict[str, Write] = {
    "pth": write_pth,
    "old pth": _old_pth,
    "archive": write_archive,
    "NATS folder": write_nats_folder,
    "NATS file": write_nats_file,
}
ALL: dict[str, Write] = PICKLED | {"tfrecord": write_tfrecord, "csv": write_csv}


@pytest.mark.parametrize("name", PICKLED)
def test_a_pickled_benchmark_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    benchmark = open_benchmark(PICKLED[name](tmp_path / "source"))
    assert benchmark.kind.name == "nasbench201"
    record = benchmark.lookup(CELLS[1])
    assert benchmark.lookup(nasir.load_genotype(CELLS[1])) == record
    with pytest.raises(TypeError, match="must be text or a genotype, not int"):
        benchmark.lookup(3)  # pyright: ignore[reportArgumentType]  # a wrong call
    assert record is not None
    assert (record.key, record.index) == (CELLS[1], 1)
    assert len(record.values) == (1 + 2) * (3 + 2 + 4 + 4)
    for epochs, seed in ((3, 777), (5, 777), (5, 888)):
        for dataset, part, split in (
            ("cifar10", "train", "train"),
            ("cifar10", "ori-test", "test"),
            ("cifar10-valid", "x-valid", "valid"),
            ("cifar10-valid", "ori-test", "test"),
            ("cifar100", "x-test", "test"),
            ("ImageNet16-120", "ori-test", "valid+test"),
        ):
            column = Column(dataset, split, epochs, epochs, str(seed))
            assert record.values[column] == accuracy(1, dataset, part, epochs - 1, seed)


@pytest.mark.parametrize("name", ALL)
def test_a_store_answers_what_its_source_does(name: str, tmp_path: Path) -> None:
    source = ALL[name](tmp_path / "source")
    original, store = open_benchmark(source), import_benchmark(source, tmp_path / "store")
    assert isinstance(original, Original)
    assert store.kind == original.kind
    keys = MODULES if name == "tfrecord" else CELLS
    for key in keys[: len(store)]:
        assert store.lookup(key) == original.lookup(key)
        assert original.by_key()[key] == original.lookup(key)
    for index in range(len(keys) + 1):
        assert store.at(index) == original.at(index)
    store.check()


def test_curves_keep_the_accuracy_after_every_epoch(tmp_path: Path) -> None:
    source = write_pth(tmp_path / "source.pth")
    store = import_benchmark(source, tmp_path / "store", ReadingOptions(curves=True))
    record = store.at(0)
    assert record is not None
    for after in range(1, 6):
        question = Question("cifar100", 5, "test", "888", after)
        [answer] = answers(record, question)
        assert answer.accuracy == accuracy(0, "cifar100", "x-test", after - 1, 888)


def test_the_runs_of_nasbench101_are_counted_and_its_middle_is_kept(tmp_path: Path) -> None:
    store = import_benchmark(write_tfrecord(tmp_path / "a.tfrecord"), tmp_path / "store")
    assert len(store) == 2
    record = store.lookup(MODULES[1])
    assert record is not None
    assert record.index is None
    [mean] = answers(record, Question(epochs=108, split="valid"))
    assert (mean.dataset, mean.runs) == ("cifar10", 2)
    assert mean.accuracy == pytest.approx(100 * (0.91 + 0.911) / 2)
    [middle] = answers(record, Question(epochs=108, split="test", seed="1", after=54))
    assert middle.accuracy == pytest.approx(30)


def test_the_size_space_of_nats_bench_is_looked_up_by_widths(tmp_path: Path) -> None:
    widths = ["8:8:8:8:8", "64:64:64:64:64", "8:16:24:32:40"]
    source = write_pbz2(tmp_path / "a.pickle.pbz2", natsbench() | {"meta_archs": widths})
    done = call("query", "64:64:64:64:64", "--data", source, "--json")
    assert json.loads(done.out)["benchmark"] == "natsbench_size"
    assert json.loads(done.out)["index"] == 1


def test_asking_cifar10_for_its_validation_accuracy_finds_the_half_trained_on(
    tmp_path: Path,
) -> None:
    record = open_benchmark(write_pth(tmp_path / "a.pth")).at(0)
    assert record is not None
    [answer] = answers(record, Question("CIFAR10", 5, "valid"))
    assert answer.dataset == "cifar10-valid"
    expected = [accuracy(0, "cifar10-valid", "x-valid", 4, seed) for seed in (777, 888)]
    assert answer.accuracy == pytest.approx(sum(expected) / 2)


def test_the_numbers_are_those_of_the_benchmarks_own_package(tmp_path: Path) -> None:
    api = pytest.importorskip("nas_201_api", reason="needs the package nas-bench-201")
    own = api.NASBench201API(nasbench201(12, 200), verbose=False)
    torch.save(nasbench201(12, 200), tmp_path / "a.pth")
    store = import_benchmark(tmp_path / "a.pth", tmp_path / "store", ReadingOptions(curves=True))
    record = store.lookup(CELLS[1])
    assert record is not None
    for dataset in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"):
        for epochs in (12, 200):
            for after in (1, epochs):
                info = own.get_more_info(1, dataset, after - 1, hp=str(epochs), is_random=False)
                for answer in answers(record, Question(dataset, epochs, after=after)):
                    split = {"valid+test": "valtest"}.get(answer.split, answer.split)
                    assert answer.accuracy == pytest.approx(info[f"{split}-accuracy"])


@pytest.mark.skipif(not CSV.exists(), reason="the table of NAS-Bench-201 is not beside the tree")
def test_the_whole_table_of_nasbench201_has_its_published_optima(tmp_path: Path) -> None:
    store = import_benchmark(CSV, tmp_path / "store")
    assert len(store) == 15_625
    best = {(each.dataset, each.split, each.epochs): each for each in best_of(store)}
    published = {"cifar10": 94.37, "cifar100": 73.51, "ImageNet16-120": 47.31}
    for dataset, optimum in published.items():
        found = best[dataset, "test", 200]
        assert found.architectures == 15_625
        assert round(found.accuracy, 2) == optimum
    every = [store.key_at(index) for index in range(len(store))]
    assert len(set(every)) == 15_625
    for index in range(0, 15_625, 125):
        record = store.lookup(every[index])
        assert record is not None
        assert record.index == index


@pytest.mark.skipif(not CSV.exists(), reason="the table of NAS-Bench-201 is not beside the tree")
def test_the_table_is_in_the_benchmarks_own_order() -> None:
    record = open_benchmark(CSV).at(3)
    assert record is not None
    assert record.key == ("|avg_pool_3x3~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|")
    assert record.values[Column("cifar100", "valid", 12, 12, "unstated")] == 44.38


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system has no /proc")
def test_a_large_store_is_opened_and_asked_within_100_mib(tmp_path: Path) -> None:
    """How fast, `make bench` measures."""
    stores = pytest.importorskip("benchmarks.stores", reason="a release has no benchmarks/")
    key = stores.write_large_store(tmp_path / "store")
    code = f"""
import re
from pathlib import Path
from runners.benchmarks import open_store
record = open_store(Path({str(tmp_path / "store")!r})).lookup({key!r})
status = Path("/proc/self/status").read_text()
print(re.search("VmHWM:[^0-9]*([0-9]+)", status)[1])
assert len(record.values) == 72
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 100 * 1024


def test_query_takes_any_format_and_prints_a_table(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "a.csv")
    own = tmp_path / "cell.json"
    own.write_text(nasir.dump_genotype(nasir.load_genotype(CELLS[1])), encoding="utf-8")
    expected = call("query", CELLS[1], "--data", source)
    assert expected.code == 0
    assert expected.out.splitlines() == [
        f"NAS-Bench-201 1: {CELLS[1]}",
        "data set       epochs  split  seed      runs  accuracy %",
        "cifar10           200  test   mean         -       91.50",
        "cifar10-valid      12  valid  unstated     1       81.25",
    ]
    for genotype in (own, "1"):
        assert call("query", genotype, "--data", source).out == expected.out
    assert call("query", "-", "--data", source, stdin=CELLS[1]).out == expected.out


def test_bench_imports_and_describes(tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = call("bench", "import", write_csv(tmp_path / "a.csv"), "-o", store)
    assert done.code == 0
    assert "3 architectures, 2 columns" in done.out
    facts = json.loads(call("bench", "info", store, "--json").out)
    assert facts["benchmark"] == "nasbench201"
    best = {each["dataset"]: (each["accuracy"], each["key"]) for each in facts["accuracies"]}
    assert best == {"cifar10": (92.5, CELLS[2]), "cifar10-valid": (82.25, CELLS[2])}
    assert "92.50" in call("bench", "info", store).out


def test_an_import_over_an_old_store_leaves_open_ones_alone(tmp_path: Path) -> None:
    path = tmp_path / "store"
    old = import_benchmark(write_csv(tmp_path / "a.csv"), path)
    import_benchmark(write_pth(tmp_path / "a.pth"), path)
    record = old.at(0)
    assert record is not None
    assert record.values[Column("cifar10", "test", 200, 200, "mean")] == 90.5
    assert len(open_store(path).columns) == 39

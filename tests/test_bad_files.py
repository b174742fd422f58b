"""Files of benchmarks and of images that are wrong, cut off, changed or hostile: one error each."""

import bz2
import gzip
import io
import os
import random
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nasir import NasirError
from runners.benchmarks import import_benchmark, open_benchmark
from runners.data.name import parse_data
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
    write_nats_folder,
    write_pbz2,
    write_pth,
    write_tfrecord,
)
from tests.command_line import call
from tests.image_files import (
    cifar10_files,
    fails,
    image_file,
    npz_arrays,
    tree,
    write_npz,
    write_tar,
    write_tree,
    write_zip,
)
from tests.refusals import fails_with

pytestmark = pytest.mark.usefixtures("own_cache")

Write = Callable[[Path], Path]
Bad = tuple[str, Callable[[Path], Path | str], str, str]
"""A name, what writes the file (a path of a benchmark, or a text that names data), the error's
code, and a piece of its place or of its value.
"""


def put(name: str, content: bytes) -> Write:
    """A file of these bytes."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def changed(source: str, **change: Any) -> Write:
    """NATS-Bench with other parts."""
    return lambda folder: write_pbz2(folder / source, natsbench() | change)


def records(content: bytes) -> Write:
    """A tfrecord whose second record is this."""
    good = row(MODULES[1], 4, metrics([(0, 0, 0)] * 3))
    return put("a.tfrecord", record(good) + record(content))


def gap(folder: Path) -> Path:
    write_archive(folder / "archive")
    (folder / "archive" / "000000-FULL.pth").unlink()
    return folder / "archive"


def accuracy_of(value: float) -> Write:
    """A .pth file with this accuracy."""

    def write(folder: Path) -> Path:
        data = nasbench201()
        trials = data["arch2infos"][0]["full"]["all_results"]
        trials["cifar10", 777]["eval_acc1es"]["ori-test@4"] = value
        torch.save(data, folder / "a.pth")
        return folder / "a.pth"

    return write


def line(text: str) -> Write:
    """A CSV with this fourth row; R stands for a cell that is not in it."""
    other = CELLS[1].replace("avg_pool", "nor_conv")
    return lambda folder: write_csv(folder / "a.csv", text.replace("R", other))


def hostile(folder: Path) -> Path:
    mapping: Any = OrderedDict(natsbench()["arch2infos"])
    mapping.get = 5
    return write_pbz2(folder / "a.pbz2", natsbench() | {"arch2infos": mapping})


TRIAL = {0: {"12": {"all_results": {("cifar10", 1): {"epochs": -1}}}}}
BENCHMARKS: list[Bad] = [
    ("an unknown cell", changed("a.pbz2", meta_archs=["|what~0|"]), "E109", ""),
    ("a cell twice", changed("a.pbz2", meta_archs=[CELLS[0]] * 2), "E104", ""),
    ("cells that are a number", changed("a.pbz2", meta_archs=5), "E109", ""),
    ("results in a list", changed("a.pbz2", arch2infos=[]), "E109", ""),
    ("no results", changed("a.pbz2", arch2infos={}), "E109", ""),
    ("a trial of -1 epochs", changed("a.pbz2", arch2infos=TRIAL), "E109", ""),
    ("epochs without trials", changed("a.pbz2", arch2infos={0: {"12": {}}}), "E109", ""),
    ("a method that is set", hostile, "E604", ""),
    ("an accuracy of nan", accuracy_of(float("nan")), "E107", ""),
    ("an accuracy above 100", accuracy_of(100.5), "E107", ""),
    ("a gap in an archive", gap, "E604", "000001-FULL.pth"),
    ("a record that is no JSON", records(b"not json"), "E104", "(record 1)"),
    ("a short record", records(b"[1, 2]"), "E109", "(record 1)"),
    ("a record of no hash", records(row("xyz", 108, b"")), "E109", "(record 1)"),
    ("a record of no epochs", records(row(MODULES[0], "many", b"")), "E109", "(record 1)"),
    ("a record without metrics", records(row(MODULES[0], 108, b"")), "E109", "(record 1)"),
    ("cut metrics", records(row(MODULES[0], 108, b"\x0a\xff")), "E104", "(record 1)"),
    ("metrics above 1", records(row(MODULES[0], 108, metrics([(0, 0, 0), (0, 0, 0), (1.5, 0, 0)]))),
     "E107", "(record 1)"),
    ("no base64", records(row(MODULES[0], 108, b"")[:-3] + b'!"]'), "E104", "(record 1)"),
    ("a short line", line("3,R,90,80"), "E109", ".csv:5"),
    ("a wrong number of a line", line("4,R,90,80,70"), "E109", ".csv:5"),
    ("a line of an unknown cell", line("3,|what~0|,90,80,70"), "E109", ".csv:5"),
    ("a word for an accuracy", line("3,R,ninety,80,70"), "E109", ".csv:5"),
    ("a percentage of 900", line("3,R,900,80,70"), "E107", ".csv:5"),
    ("a head without cells", put("a.csv", b"index,cell,cifar10_test_200\n"), "E109", ""),
    ("a head without columns", put("a.csv", b"index,arch\n"), "E109", ""),
    ("a head without epochs", put("a.csv", b"index,arch,cifar10_test\n"), "E109", ""),
    ("a column twice", put("a.csv", b"index,arch,cifar10_test_200,cifar10_test_200\n"), "E104", ""),
    ("notes", put("notes.txt", b"nothing of interest"), "E108", ""),
    ("nothing there", lambda folder: folder / "missing", "E101", ""),
    ("an empty folder", lambda folder: write_tree(folder, {"a/b/c": b""}) / "a", "E108", ""),
]  # fmt: skip


def folder_of(files: dict[str, bytes], kind: str = "imagefolder") -> Callable[[Path], str]:
    """A folder `a` with these files."""

    def write(folder: Path) -> str:
        (folder / "a").mkdir()
        return f"{kind}:{write_tree(folder / 'a', files)}"

    return write


def layout(*names: str, kind: str = "imagefolder") -> Callable[[Path], str]:
    """A folder with one image under each of these names."""
    return folder_of(dict.fromkeys(names, image_file(1)), kind)


def arrays(**found: Any) -> Callable[[Path], str]:
    """An .npz file of these arrays."""
    return lambda folder: str(write_npz(folder / "a.npz", found))


def images(**found: Any) -> Callable[[Path], str]:
    """An .npz file of images where these arrays are others."""
    return arrays(**(npz_arrays(4) | found))


def archive(name: str, damage: str) -> Callable[[Path], str]:
    """A damaged archive of images."""

    def write(folder: Path) -> str:
        files = {f"train/c{i % 2}/{i}.png": os.urandom(5000) for i in range(8)}
        mode = {"a.tar": "w"}.get(name, f"w:{name.rpartition('.')[2]}")
        path = folder / name
        write_zip(path, files) if name == "a.zip" else write_tar(path, files, mode)
        content = path.read_bytes()
        half = len(content) // 2
        path.write_bytes(
            {
                "cut off": content[: half - 100],
                "noise": b"?" * half,
                "wrong bytes": content[:20_000] + b"\xff" * 200 + content[20_200:],
            }[damage]
        )
        return f"imagefolder:{path}"

    return write


def locked(folder: Path) -> str:
    write_npz(folder / "a.npz", npz_arrays(4))
    content = bytearray((folder / "a.npz").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return str(put("a.npz", bytes(content))(folder))


def deep(folder: Path) -> str:
    """An image of more than 8 bits."""
    write_tree(folder / "a", tree())
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(pixels).save(folder / "a/train/ant/ant01.png")
    return f"imagefolder:{folder / 'a'}"


def square(*shape: int) -> Any:
    return np.zeros(shape, np.uint8)


def less(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: value for key, value in files.items() if key != name}


def one_array(folder: Path) -> str:
    with (folder / "a.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    return str(folder / "a.npz")


BROKEN = "train/bee/bee01.png"
BATCH = "data_batch_3"
DATA: list[Bad] = [
    *(
        (text, lambda folder, text=text: text.format(folder), "E701", "")
        for text in ("imagefolder:{}/none", "imagefolder:{}/none.tar.gz", "imagenet16-120:{}",
                     "svhn:{}", "cifar10:{}", "cifar100:{}/none.tar.gz", "{}/none.npz", "{}",
                     "imagefolder:a\0b", "\0.npz", f"imagenet:{'a' * 5000}", f"{'a' * 5000}.npz")
    ),
    ("no archive", lambda folder: f"imagefolder:{put('a.txt', b'')(folder)}", "E701", ""),
    ("a missing batch", folder_of(less(cifar10_files(), BATCH), "cifar10"), "E701", f"'{BATCH}'"),
    ("a batch missing in an archive", lambda folder: (
        f"cifar10:{write_tar(folder / 'a.tar.gz', less(cifar10_files(), BATCH))}"),
     "E701", f"'{BATCH}'"),
    ("no file", folder_of({}), "E702", ""),
    ("no image", folder_of({"train/ant/x.txt": b""}), "E702", ""),
    ("no class", layout("x.png"), "E702", ""),
    ("an image beside classes", layout("train/a/1.png", "train/b/1.png", "val/1.png"), "E702",
     "'val/1.png'"),
    ("no training images", layout("test/a/1.png", "test/b/1.png", "val/a/1.png", kind="imagenet"),
     "E702", "test, val"),
    ("an empty archive", lambda folder: f"imagefolder:{write_zip(folder / 'a.zip', {})}",
     "E702", ""),
    ("one class", layout("train/ant/1.png", "train/ant/2.png"), "E702", "'ant'"),
    ("another class in tests", folder_of(tree() | {"test/wasp/1.png": image_file(1)}), "E702",
     "test/wasp/1.png"),
    *(
        (f"an image, {name}", folder_of(tree() | {BROKEN: content}), "E702", f"/a/{BROKEN}")
        for name, content in {
            "empty": b"", "half": image_file(3, (64, 64))[:60],
            "changed": image_file(3)[:20] + b"\xff" + image_file(3)[21:],
        }.items()
    ),
    ("an image in an archive", lambda folder: (
        f"imagefolder:{write_tar(folder / 'a.tar', tree() | {BROKEN: b'?'}, 'w')}"), "E702",
     f"a.tar/{BROKEN}"),
    ("16 bits", deep, "E702", "8 bits"),
    ("another size", folder_of(tree() | {"train/cat/b.png": image_file(1, (12, 9))}), "E702",
     "12x9"),
    ("another size in tests", images(x_test=square(3, 9, 9, 3)), "E702", "9x9"),
    ("no arrays of images", lambda folder: str(write_npz(folder / "a.npz", npz_arrays(0))),
     "E702", ""),
    ("labels from -1", images(y_train=np.array([-1, 0, 1, 2])), "E702", "-1 to 2"),
    ("labels from 1", arrays(images=square(4, 8, 8, 3), labels=[1, 2, 3, 1]), "E702", "1 to 3"),
    ("a huge label", images(y_train=np.array([0, 1, 2, 10**15])), "E702", ""),
    ("not square", images(x_train=square(4, 8, 9, 3)), "E702", "9x8"),
    ("too small", images(x_train=square(4, 4, 4, 3)), "E702", "4x4"),
    ("no pixels", images(x_train=square(4, 0, 0, 3)), "E702", "0x0"),
    ("other arrays", arrays(x=np.zeros(3)), "E702", ": x"),
    ("nothing in it", arrays(), "E702", "none"),
    ("no labels", arrays(x_train=square(4, 8, 8)), "E702", "y_train"),
    ("floats", images(x_train=np.zeros((4, 8, 8, 3))), "E702", "float64"),
    ("float labels", images(y_train=np.zeros(4)), "E702", ""),
    ("one-hot labels", images(y_train=np.eye(4, dtype=int)), "E702", "(4, 4)"),
    ("a number for labels", images(y_train=3), "E702", "()"),
    ("fewer labels", images(y_train=[0, 1]), "E702", "2 labels"),
    ("flat", images(x_train=square(4, 192)), "E702", "(4, 192)"),
    ("five channels", images(x_train=square(4, 8, 8, 5)), "E702", ""),
    ("objects", images(y_train=np.array([0, None, 1, 2])), "E702", ""),
    ("an empty npz", lambda folder: str(put("a.npz", b"")(folder)), "E702", ""),
    ("half an npz", lambda folder: str(
        put("a.npz", write_npz(folder / "b.npz", npz_arrays()).read_bytes()[:999])(folder)),
     "E702", ""),
    ("an npy", one_array, "E702", ""),
    ("a password", locked, "E702", "password"),
    *(
        (f"{name}, {damage}", archive(name, damage), "E604", name)
        for name in ("a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip")
        for damage in ("cut off", "noise")
    ),
    ("wrong bytes within", archive("a.tar.gz", "wrong bytes"), "E604", "a.tar.gz"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "code", "at"),
    [each[1:] for each in (*BENCHMARKS, *DATA)],
    ids=[each[0][:30].replace("\0", "0") for each in (*BENCHMARKS, *DATA)],
)
def test_a_bad_file_is_one_error_with_its_place(
    write: Callable[[Path], Path | str], code: str, at: str, tmp_path: Path
) -> None:
    given = write(tmp_path)
    if isinstance(given, str):
        error = fails(given)
    else:
        with pytest.raises(NasirError) as caught:
            import_benchmark(given, tmp_path / "store")
        error = caught.value
    assert (error.code, at in f"{error} {error.where.file}") == (code, True), error
    assert error.where.file or code == "E701"
    assert "BytesIO" not in error.message
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "text",
    ["cifer10:data", "mnist", "", "cifar10", "cifar10:", "imagefolder:@32", "digits:somewhere",
     "imagefolder:a@0", "imagefolder:a@99999999999"],
)  # fmt: skip
def test_a_name_that_names_nothing_is_e701(text: str) -> None:
    with fails_with("E701"):
        parse_data(text)


def test_what_the_system_withholds_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise PermissionError(13, "Permission denied")

    folder = write_tree(tmp_path / "a", tree())
    with monkeypatch.context() as patch:
        patch.setattr("runners.data.folders.memory_bytes", lambda: 5000)
        error = fails(f"imagefolder:{folder}")
        assert (error.code, f"imagenet:{folder}" in error.hint) == ("E106", True)
    files = {PurePosixPath(name): Refused() for name in tree()}
    monkeypatch.setattr("runners.data.folders.image_files", lambda path: files)
    error = fails(f"imagefolder:{folder}")
    assert (error.code, error.where.file) == ("E702", f"{folder}/train/ant/ant00.png")


# Pickles


class Evil:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self._path),)


PICKLED: dict[str, Callable[[Path, object], object]] = {
    "pth": lambda path, data: torch.save(data, path),
    "old pth": lambda path, data: torch.save(data, path, _use_new_zipfile_serialization=False),
    "pbz2": write_pbz2,
    "folder": lambda path, data: write_pbz2(write_nats_folder(path) / "meta.pickle.pbz2", data),
}


@pytest.mark.parametrize("kind", PICKLED)
def test_a_pickle_that_calls_code_is_refused_before_anything_runs(
    kind: str, tmp_path: Path
) -> None:
    content = nasbench201() if kind.endswith("pth") else natsbench()
    source, mark = tmp_path / "source", tmp_path / "it-ran"
    PICKLED[kind](source, content | {"evaluated_indexes": Evil(mark)})
    done = call("query", CELLS[0], "--data", source)
    assert (done.code, "E603" in done.err, "mkdir" in done.err) == (2, True, True)
    assert code_of(import_of(source)) == "E603"
    assert not mark.exists()
    if kind in ("pth", "pbz2"):
        PICKLED[kind](source, content | {"evaluated_indexes": [Fraction(1, 3)]})
        assert call("query", "0", "--data", source).code == 2
        done = call("query", "0", "--data", source, "--trust-pickle")
        assert (done.code, done.err.count("\n"), "fractions.Fraction" in done.err) == (0, 1, True)


def test_a_pickle_cannot_change_what_reads_it(tmp_path: Path) -> None:
    # Names numpy.dtype, which stands for a function of nasir's, and sets an attribute on it.
    attack = b"\x80\x02cnumpy\ndtype\nN}X\x05\x00\x00\x00_callNs\x86b."
    source = put("a.pbz2", bz2.compress(attack))(tmp_path)
    assert code_of(lambda: open_benchmark(source)) == "E604"
    assert open_benchmark(write_pth(tmp_path / "a.pth")).lookup(CELLS[0]) is not None
    put("a.pbz2", bz2.compress(b"\x80\x02cnot_there_at_all\nThing\n."))(tmp_path)
    done = call("query", "0", "--data", source, "--trust-pickle")
    assert (done.code, "E501" in done.err, "not_there_at_all" in done.err) == (1, True, True)


# Changed bytes

FILES: dict[str, Write] = {
    "a.pth": write_pth,
    "old.pth": lambda path: write_pth(path, old=True),
    "a.pbz2": write_nats_file,
    "a.tfrecord": write_tfrecord,
    "a.csv": write_csv,
}


@pytest.mark.parametrize("name", FILES)
def test_a_benchmark_that_is_cut_off_or_changed_is_read_or_an_error(
    name: str, tmp_path: Path
) -> None:
    source = FILES[name](tmp_path / name)
    content, chance = source.read_bytes(), random.Random(0)

    def outcome(changed: bytes) -> str:
        source.write_bytes(changed)
        try:
            import_benchmark(source, tmp_path / "store")
        except NasirError as error:
            return error.code if error.where.file else "no place"
        return "read"

    cut = {outcome(content[: int(part * len(content))]) for part in (0.2, 0.5, 0.9, 0.99)}
    # Cut off between two rows, a CSV or a tfrecord is a shorter one; torch's old files end in
    # weights, which nobody reads.
    shorter = {"read"} if name in ("a.csv", "a.tfrecord", "old.pth") else set[str]()
    assert {"read"} != cut <= {"E604", "E109"} | shorter
    for _ in range(60):
        changed = bytearray(content)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        assert outcome(bytes(changed)) != "no place"
    if name == "a.csv":
        source.write_bytes(gzip.compress(content)[:-20])
        assert code_of(import_of(source.rename(tmp_path / "a.csv.gz"))) == "E604"

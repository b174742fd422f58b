"""What is fuzzed of files of bytes: benchmarks, data sets, models and weights, and runs' folders.

Where a checksum stands before the content, as in compressed files, there is a target for each: the
file as it lies, and the content with the checksum made anew.
"""

import bz2
import gzip
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import nasir
from tests.fuzz import Target

Read = Callable[[bytes, Path], None]
Seeds = Callable[[], Sequence[bytes]]


def _prepare() -> None:
    """Loads what cases need; one thread, since those of a forked process have no pool."""
    import torch

    for name in ("benchmarks.sources", "data.images", "originals", "folder.checkpoint"):
        import_module(f"runners.{name}")
    torch.set_num_threads(1)


def _written(write: Callable[[Path], Path]) -> bytes:
    """The bytes of a file that a function writes to a path."""
    with TemporaryDirectory() as folder:
        return write(Path(folder) / "file").read_bytes()


# Benchmarks


def _benchmark(name: str, pack: Callable[[bytes], bytes] = bytes) -> Read:
    """Imports a benchmark, and looks an architecture up in what it made."""

    def read(content: bytes, folder: Path) -> None:
        from runners.benchmarks import Question, answers, import_benchmark

        source = folder / name
        source.write_bytes(pack(content))
        store = import_benchmark(source, folder / "store")
        record = store.lookup(store.key_at(0))
        assert record is not None
        for seed in ("mean", "each"):
            with suppress(nasir.NasirError):
                answers(record, Question(seed=seed))

    return read


def _store(content: bytes, folder: Path) -> None:
    from runners.benchmarks import Question, answers, open_store
    from runners.benchmarks.query import best_of

    path = folder / "store.bench"
    path.write_bytes(content)
    store = open_store(path)
    for index in range(min(len(store), 3)):
        record = store.lookup(store.key_at(index))
        assert record is not None
        answers(record, Question())
    store.check()
    best_of(store)


def _store_header(content: bytes, folder: Path) -> None:
    from runners.benchmarks.store import open_store, pack_header

    path = folder / "whole.bench"
    path.write_bytes(_stores()[0])
    store = open_store(path)
    head, _ = pack_header(content.decode("utf-8", "replace"), store.header)
    _store(head + _stores()[0][store.starts["values"] :], folder)


def _pickles() -> Sequence[bytes]:
    from tests.benchmark_files import natsbench

    return [pickle.dumps(natsbench(), protocol) for protocol in (2, 4, 5)]


def _pth() -> Sequence[bytes]:
    from tests.benchmark_files import write_pth

    return [_written(lambda path, old=old: write_pth(path, old=old)) for old in (False, True)]


def _csv() -> Sequence[bytes]:
    from tests.benchmark_files import write_csv

    return [_written(write_csv)]


def _tfrecord() -> Sequence[bytes]:
    from tests.benchmark_files import write_tfrecord

    return [_written(write_tfrecord)]


def _rows() -> Sequence[bytes]:
    from tests.benchmark_files import MODULES, metrics, row

    return [row(key, 4, metrics([(0.1, 0.1, 0.1), (0.5, 0.5, 0.5), (1, 1, 1)])) for key in MODULES]


def _record(content: bytes) -> bytes:
    from tests.benchmark_files import record

    return record(content[:5000]) * 2


@cache
def _stores() -> Sequence[bytes]:
    from runners.benchmarks import import_benchmark
    from tests.benchmark_files import write_csv, write_tfrecord

    made: list[bytes] = []
    with TemporaryDirectory() as folder:
        for number, write in enumerate((write_csv, write_tfrecord)):
            store = Path(folder) / f"{number}.bench"
            import_benchmark(write(Path(folder) / f"{number}.csv"), store)
            made.append(store.read_bytes())
    return made


def _headers() -> Sequence[bytes]:
    content = _stores()[0]
    head = json.loads(content[8 : 8 + struct.unpack_from("<Q", content)[0]])
    return [head["__metadata__"]["facts"].encode()]


# Data sets


def _data(text: str, name: str, pack: Callable[[bytes], bytes] = bytes) -> Read:
    """Loads what a text names, in a folder where the other files of a data set stand."""

    def read(content: bytes, folder: Path) -> None:
        from runners.data.load import load_images

        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        path = folder / name
        path.write_bytes(pack(content))
        shutil.rmtree(folder / "cache", ignore_errors=True)
        load_images(text.format(folder))

    return read


def _npz() -> Sequence[bytes]:
    import numpy as np

    from tests.image_files import npz_arrays

    plain, packed = io.BytesIO(), io.BytesIO()
    np.savez(plain, allow_pickle=True, **npz_arrays(6))
    np.savez_compressed(packed, allow_pickle=True, **npz_arrays(6))
    return [plain.getvalue(), packed.getvalue()]


def _npy() -> Sequence[bytes]:
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, np.zeros((6, 8, 8, 3), np.uint8))
    return [stream.getvalue()]


def _in_npz(content: bytes) -> bytes:
    stream = io.BytesIO(_npz()[0])
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(made := io.BytesIO(), "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == "x_train.npy" else old.read(name))
    return made.getvalue()


def _images() -> Sequence[bytes]:
    from PIL import Image

    made: list[bytes] = []
    image = Image.linear_gradient("L").resize((12, 9)).convert("RGB")
    for form in ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP"):
        image.save(stream := io.BytesIO(), form)
        made.append(stream.getvalue())
    for mode in ("P", "L", "1", "CMYK"):
        image.convert(mode).save(stream := io.BytesIO(), "TIFF" if mode == "CMYK" else "PNG")
        made.append(stream.getvalue())
    return made


def _image(content: bytes, folder: Path) -> None:
    from runners.data.images import decode

    del folder
    decode(io.BytesIO(content), "image.png", 8)


def _tars() -> Sequence[bytes]:
    from tests.image_files import tree, write_tar

    return [
        _written(lambda path, m=mode: write_tar(path, tree((2, 2, 2)), m)) for mode in ("w", "w:gz")
    ]


def _zips() -> Sequence[bytes]:
    from tests.image_files import tree, write_zip

    return [_written(lambda path: write_zip(path, tree((2, 2, 2))))]


# Models, weights and runs


def _model(content: bytes, folder: Path) -> None:
    from runners.experiment.sizes import NetworkSize
    from runners.experiment.trained import find_trained

    path = folder / "net.onnx"
    path.write_bytes(content)
    genotype = nasir.load_genotype(path)
    nasir.cost(find_trained(path, NetworkSize(), None).size.build(genotype))


def _models() -> Sequence[bytes]:
    import lowering

    made: list[bytes] = []
    for graph in (
        nasir.network("darts_v2", channels=4, layers=3, classes=3),
        nasir.network("darts_v2@darts_rnn", vocabulary=5, hidden=4),
    ):
        module = lowering.to_torch(graph)
        made.append(_written(lambda path, g=graph, m=module: lowering.to_onnx(g, m, path)))
    return made


def _state(pack: Callable[[bytes], bytes] = bytes) -> Read:
    def read(content: bytes, folder: Path) -> None:
        from runners.originals import read_state

        path = folder / "weights.pt"
        path.write_bytes(pack(content))
        for value in read_state(path).values():
            value.sum()

    return read


def _states() -> Sequence[bytes]:
    import argparse

    import torch

    made: list[bytes] = []
    weights = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2, dtype=torch.float64)}
    checkpoint = {"state_dict": weights, "args": argparse.Namespace(lr=0.1), "epoch": 3}
    for content in (weights, checkpoint):
        for new in (False, True):
            torch.save(content, stream := io.BytesIO(), _use_new_zipfile_serialization=new)
            made.append(stream.getvalue())
    return made


def _data_pickles() -> Sequence[bytes]:
    made: list[bytes] = []
    for content in _states()[1::2]:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            made += [archive.read(name) for name in archive.namelist() if name.endswith(".pkl")]
    return made


def _in_state(content: bytes) -> bytes:
    with (
        zipfile.ZipFile(io.BytesIO(_states()[1])) as old,
        zipfile.ZipFile(made := io.BytesIO(), "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, content if name.endswith(".pkl") else old.read(name))
    return made.getvalue()


def _safetensors() -> Sequence[bytes]:
    import torch

    from lowering.torch.store import pack

    weights = {"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16)}
    return [pack(weights, {"size": '{"channels": 4}'}), pack(weights, {})]


def _weights(content: bytes, folder: Path) -> None:
    from lowering.torch.store import read_weights
    from runners.experiment.trained import weights_about

    path = folder / "weights.safetensors"
    path.write_bytes(content)
    weights_about(path)
    read_weights(path)


def _checkpoints() -> Sequence[bytes]:
    import torch

    from runners.folder.checkpoint import pack_checkpoint

    weights = {"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.complex64)}
    return [pack_checkpoint(3, {"weights": weights, "best": [1.5, None], "inf": float("inf")})]


def _checkpoint(content: bytes, folder: Path) -> None:
    from runners.folder.checkpoint import last_checkpoint

    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "0003.pt").write_bytes(content)
    last_checkpoint(folder)


def _run_file(name: str) -> Seeds:
    def seeds() -> Sequence[bytes]:
        from tests.run_directories import Course, write_run

        with TemporaryDirectory() as folder:
            return [(write_run(Path(folder), Course("darts", 3)) / name).read_bytes()]

    return seeds


def _run(name: str) -> Read:
    """Draws the figures of a run, one of whose files is given."""

    def read(content: bytes, folder: Path) -> None:
        from runners.folder.facts import read_facts
        from runners.folder.logs import read_rows
        from tests.run_directories import Course, write_run

        path = folder / "run"
        if not path.exists():
            write_run(path, Course("darts", 3))
        (path / name).write_bytes(content)
        read_facts(path)
        read_rows(path / "metrics.jsonl")

    return read


BINARIES: tuple[Target, ...] = tuple(
    Target(name, seeds, read, _prepare, texts=texts)
    for name, seeds, read, texts in (
        ("pbz2", lambda: [bz2.compress(each) for each in _pickles()], _benchmark("a.pbz2"), False),
        ("pickle", _pickles, _benchmark("a.pbz2", bz2.compress), False),
        ("pth", _pth, _benchmark("a.pth"), False),
        ("csv", _csv, _benchmark("a.csv"), True),
        ("csv.gz", lambda: [gzip.compress(each) for each in _csv()], _benchmark("a.csv.gz"), False),
        ("tfrecord", _tfrecord, _benchmark("a.tfrecord"), False),
        ("its rows", _rows, _benchmark("a.tfrecord", _record), True),
        ("store", _stores, _store, False),
        ("store header", _headers, _store_header, True),
        ("npz", _npz, _data("{}/a.npz", "a.npz"), False),
        ("npy in it", _npy, _data("{}/a.npz", "a.npz", _in_npz), False),
        ("image", _images, _image, False),
        ("tar", _tars, _data("imagefolder:{}/a.tar", "a.tar"), False),
        ("zip", _zips, _data("imagefolder:{}/a.zip", "a.zip"), False),
        ("onnx", _models, _model, False),
        ("pt", _states, _state(), False),
        ("pkl in it", _data_pickles, _state(_in_state), False),
        ("safetensors", _safetensors, _weights, False),
        ("checkpoint", _checkpoints, _checkpoint, False),
        ("run.json", _run_file("run.json"), _run("run.json"), True),
        ("metrics", _run_file("metrics.jsonl"), _run("metrics.jsonl"), True),
    )
)
"""Files of bytes, and texts that runs and benchmarks have."""

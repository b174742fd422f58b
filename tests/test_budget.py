"""Files that would take far more memory or time than their size are refused while they are read."""

import bz2
import gzip
import io
import itertools
import json
import pickle
import resource
import tarfile
import time
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lowering.torch.store import read_weights
from nasir import NasirError
from runners.benchmarks import import_benchmark
from runners.benchmarks.files import FileBudget
from runners.data.load import load_images
from runners.experiment.trained import weights_about
from runners.originals import read_state
from tests.benchmark_files import metrics, natsbench, record, row, write_csv, write_pbz2
from tests.image_files import image_file, npz_arrays, tree, write_npz, write_tar, write_zip

pytestmark = pytest.mark.usefixtures("own_cache")

MIB = 2**20


@contextmanager
def bounds(seconds: float = 8.0, mib: int = 500) -> Generator[None]:
    """Fails where the block takes more processor time, or the process's peak of memory grows."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - start < seconds
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < mib * 1024


def refused(run: Callable[[], object], *codes: str) -> None:
    with bounds(), pytest.raises(NasirError) as caught:
        run()
    assert caught.value.code in codes
    assert caught.value.where.file
    assert len(str(caught.value)) < 1000


def twice(times: int, step: bytes) -> bytes:
    """A tuple of two of a tuple of two ..., each a value that stands twice."""
    return b")" + step * times


PICKLES: dict[str, bytes] = {
    "a hash": b"\x80\x02}" + twice(45, b"2\x86") + b"K\x01s.",
    "a hash, by memo": b"\x80\x02})"
    + b"".join(b"q%ch%ch%c\x86" % (i, i, i) for i in range(1, 46))
    + b"K\x01s.",
    "a hash in a set": b"\x80\x04\x8f(" + twice(45, b"2\x86") + b"\x90.",
    "a hash in a frozenset": b"\x80\x04(" + twice(45, b"2\x86") + b"\x91.",
    "a hash in an ordered mapping": b"\x80\x02ccollections\nOrderedDict\n]("
    + twice(45, b"2\x86")
    + b"K\x01\x86e\x85R.",
    "a deep hash": b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.",
    "numbers of one hash": b"\x80\x02}("
    + b"".join(b"\x8a\x0c" + (n * (2**61 - 1)).to_bytes(12, "little") + b"N" for n in range(20_000))
    + b"u.",
    "a text of it": b"\x80\x02cnumpy\ndtype\n" + twice(45, b"2\x86") + b"\x85R.",
    "a number for a value": b"\x80\x02}r\xff\xff\xff\x7f.",
    "room for bytes": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"ab.",
    "a frame": b"\x80\x04\x95" + (2**60).to_bytes(8, "little") + b"ab.",
    "copies": b"\x80\x02]q\x01("
    + b"N" * 100_000
    + b"e"
    + b"c__builtin__\nlist\nq\x02h\x01\x85R0" * 1
    + b"h\x02h\x01\x85R" * 26_000
    + b".",
    "sets": b"\x80\x04" + b"\x8f" * 5_000_000 + b".",
    "nothing": b"\x80\x04" + b"N" * 20_000_000 + b".",
}


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_takes_no_more_than_its_size_allows(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pbz2"
    path.write_bytes(bz2.compress(PICKLES[name]))
    codes = ("E106", "E109", "E604")
    refused(lambda: import_benchmark(path, tmp_path / "store"), *codes)


def test_a_table_that_stands_for_many_is_counted_each_time(tmp_path: Path) -> None:
    ops = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    choices = itertools.islice(itertools.product(ops, repeat=6), 2000)
    names = ["|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*chosen) for chosen in choices]
    data = natsbench()
    shared = data["arch2infos"][0]
    for trial in shared["200"]["all_results"].values():
        trial["epochs"] = 5000
        trial["train_acc1es"] = dict.fromkeys(range(5000), 1.0)
    path = write_pbz2(
        tmp_path / "a.pbz2", {"meta_archs": names, "arch2infos": dict.fromkeys(range(2000), shared)}
    )
    refused(lambda: import_benchmark(path, tmp_path / "store"), "E106")


def test_results_scattered_over_a_table_are_refused(tmp_path: Path) -> None:
    rows = [row(f"{i:032x}", 2 + i % 200, metrics([(0, 0, 0)] * 3)) for i in range(900)]
    same = [row("0" * 32, 4, metrics([(0, 0, 0)] * 3)) for _ in range(900)]
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(map(record, rows + same)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runners.benchmarks.store._LEAST", 2**10)
        with pytest.raises(NasirError, match="table of gaps") as caught:
            import_benchmark(path, tmp_path / "store")
    assert caught.value.code == "E106"


def zeros(count: int) -> bytes:
    """Twice compressed, for tests should be short: `count` MiB of zeros as bzip2 has them."""
    return bz2.compress(bytes(MIB)) * count


def test_what_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    """4.5 GB in 200 KB."""
    path = tmp_path / "a.pbz2"
    path.write_bytes(zeros(4500))
    refused(lambda: import_benchmark(path, tmp_path / "store"), "E106", "E604")
    csv = tmp_path / "a.csv.gz"
    head = write_csv(tmp_path / "a.csv").read_bytes()
    csv.write_bytes(gzip.compress(head) + gzip.compress(b"\n" * 16 * MIB) * 20)
    refused(lambda: import_benchmark(csv, tmp_path / "store"), "E106", "E109")


def _tar(folder: Path) -> str:
    (folder / "a.tar.bz2").write_bytes(zeros(300))
    return f"imagefolder:{folder}/a.tar.bz2"


def _sparse(folder: Path) -> str:
    """A file of 2 TB without content, as GNU's tar writes it."""
    member = tarfile.TarInfo("train/ant/a.png")
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:398] = header[398:410] = b"00000000000\0"
    header[483:495] = b"20000000000\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (folder / "a.tar").write_bytes(bytes(header) + bytes(1024))
    return f"imagefolder:{folder}/a.tar"


def _members(folder: Path) -> str:
    header = tarfile.TarInfo("train/ant/a.png").tobuf()
    (folder / "a.tar.bz2").write_bytes(bz2.compress(header * 2000) * 10)
    return f"imagefolder:{folder}/a.tar.bz2"


def _attributes(folder: Path) -> str:
    """Digits in a member's attributes, which tarfile looks through anew from each."""
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = tarfile.XHDTYPE, 300_000
    content = member.tobuf() + b"1" * 300_000
    (folder / "a.tar").write_bytes(content + bytes(-len(content) % 512 + 1024))
    return f"imagefolder:{folder}/a.tar"


def _zip(folder: Path) -> str:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(9):
            archive.writestr(f"train/ant/{number}.png", bytes(8 * MIB))
    return f"imagefolder:{folder}/a.zip"


def _npz(folder: Path) -> str:
    np.savez_compressed(folder / "a.npz", x_train=np.zeros((80, MIB), np.uint8))
    return f"{folder}/a.npz"


def _wide(folder: Path) -> str:
    image = Image.new("1", (13_000, 13_000))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    write_zip(folder / "a.zip", tree() | {"train/ant/w.png": stream.getvalue()})
    return f"imagefolder:{folder}/a.zip"


DATA = {"E106": (_tar, _sparse, _members, _attributes, _zip, _npz), "E702": (_wide,)}


@pytest.mark.parametrize(
    ("write", "code"), [(write, code) for code, kinds in DATA.items() for write in kinds]
)
def test_data_unpacks_to_no_more_than_its_size_allows(
    write: Callable[[Path], str], code: str, tmp_path: Path
) -> None:
    text = write(tmp_path)
    refused(lambda: load_images(text), code)


def _pt(folder: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    """A state dict as torch writes it, with another pickle, or with more behind it."""
    torch.save({"a": torch.zeros(2)}, stream := io.BytesIO())
    path = folder / "a.pt"
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
        if compression == zipfile.ZIP_DEFLATED:
            new.writestr("archive/data/1", bytes(80 * MIB))
    return path


@pytest.mark.parametrize("name", ["a hash", "a hash in an ordered mapping", "a deep hash"])
def test_a_state_dict_is_looked_at_before_torch_reads_it(name: str, tmp_path: Path) -> None:
    refused(lambda: read_state(_pt(tmp_path, PICKLES[name])), "E503", "E106")


def test_a_long_name_in_a_state_dict_never_reaches_torch(tmp_path: Path) -> None:
    """torch searches its message about such a name in quadratic time."""
    path = _pt(tmp_path, b"c" + b"a" * 200_000 + b"\nb\n.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch read it"))
        refused(lambda: read_state(path), "E503")


def test_a_state_dict_does_not_unpack_without_end(tmp_path: Path) -> None:
    path = _pt(tmp_path, pickle.dumps({}), zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runners.benchmarks.pickles.UNPACKED", 1)
        refused(lambda: read_state(path), "E106")


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(1).expand(10**6, 10**6),
        torch.zeros(3, 3).to_sparse(),
        torch.zeros(3, device="meta"),
    ],
    ids=["a view", "sparse", "meta"],
)
def test_tensors_without_numbers_of_their_own_are_no_weights(
    value: torch.Tensor, tmp_path: Path
) -> None:
    torch.save({"a": value}, tmp_path / "a.pt")
    refused(lambda: read_state(tmp_path / "a.pt"), "E503", "E603")


HEADERS = {"nested": b"[" * 100_000, "a number": b'{"a":' + b"1" * 5000 + b"}"}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_headers_of_safetensors_are_read_within_bounds(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    inner = json.dumps({"__metadata__": {"nasir": header.decode()}}).encode()
    for content in (header, inner):
        path.write_bytes(len(content).to_bytes(8, "little") + content)
        assert weights_about(path) == {}
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    refused(lambda: read_weights(path), "E104")


def test_valid_files_stay_within_their_budgets(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "a.npz", npz_arrays())
    assert len(load_images(str(source)).train) == 12
    archive = write_tar(tmp_path / "a.tar.gz", tree((40, 40, 40)))
    assert len(load_images(f"imagefolder:{archive}").train) == 120
    ten = tmp_path / "ten"
    ten.write_bytes(bytes(10))
    budget = FileBudget(ten, least=0)
    assert budget.stream(io.BytesIO(bytes(1000))).read() == bytes(1000)
    with pytest.raises(NasirError, match="a file of 10 bytes takes more than 1,000 bytes"):
        budget.spend(1)


def test_an_image_is_what_its_content_says_not_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow starts Ghostscript for an EPS file, whatever it is called."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "EPS")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("started"))
    path = write_zip(tmp_path / "a.zip", tree() | {"train/ant/a.png": stream.getvalue()})
    refused(lambda: load_images(f"imagefolder:{path}"), "E702")
    for name in ("BMP", "JPEG", "PPM", "TIFF", "WEBP"):
        stream = io.BytesIO()
        Image.open(io.BytesIO(image_file(9))).save(stream, name)
        path = write_zip(tmp_path / "a.zip", tree() | {"train/ant/a.png": stream.getvalue()})
        assert len(load_images(f"imagefolder:{path}").train) == 13

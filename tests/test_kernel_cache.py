"""The cache of compiled kernels: nothing damaged is loaded, nor what others could have written."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from lowering.kernels import build
from tests.processes import needs_fork

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler"),
    pytest.mark.skipif(
        sys.platform not in {"linux", "darwin"}, reason="the kernels are not for it"
    ),
]

Compile = Callable[[Path, list[str]], None]


def library(path: Path, answer: int, mark: Path | None = None) -> Path:
    """A library whose function `answer` returns a number; loading it makes the mark's folder."""
    loaded = f'__attribute__((constructor)) void load(void) {{ mkdir("{mark}", 0700); }}'
    text = (
        f"#include <sys/stat.h>\n{loaded if mark else ''}\nint answer(void) {{ return {answer}; }}"
    )
    source = path.with_suffix(".c")
    source.write_text(text, encoding="utf-8")
    assert COMPILER is not None
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", path, source], check=True)
    source.unlink()
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own, and a compiler that makes a library of the number 7."""
    made = library(tmp_path / "made.so", 7)

    def compile_(folder: Path, flags: list[str]) -> None:
        del flags
        shutil.copy(made, folder / "nasir_kernels.so")

    monkeypatch.setattr(build, "_compile", compile_)
    monkeypatch.setattr(build, "_key", lambda: "key")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    monkeypatch.setattr("atexit.register", lambda *_, **__: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / "extensions" / "nasir"


def answer() -> tuple[int, Path]:
    """What the library that is loaded answers, and where it lies."""
    loaded, why = build._load.__wrapped__()
    assert loaded is not None, why
    return loaded.answer(), Path(loaded._name)


def test_a_library_is_built_once_for_the_user_alone(cache: Path) -> None:
    old = os.umask(0)
    try:
        number, path = answer()
    finally:
        os.umask(old)
    assert (number, path.parent) == (7, cache)
    assert cache.stat().st_mode & 0o777 == 0o700
    assert cache.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(each.name for each in cache.iterdir()) == [path.name, "kernels.lock"]
    before = path.stat().st_ino
    assert answer() == (7, path)
    assert path.stat().st_ino == before


@pytest.mark.parametrize("content", [b"", b"\x7fELF", None], ids=["empty", "cut off", "halved"])
def test_a_damaged_library_is_built_again(content: bytes | None, cache: Path) -> None:
    """Loading one that is cut off would end the process with SIGBUS."""
    _, path = answer()
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    path.chmod(0o700)
    assert answer() == (7, path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("place", ["file", "folder above", "owner", "link"])
def test_what_somebody_else_could_have_written_is_not_loaded(
    place: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "it-ran"
    hostile = library(tmp_path / "hostile.so", 666, mark)
    cache.mkdir(parents=True, mode=0o700)
    path = cache / build._name("key", hostile)
    if place == "link":
        path.symlink_to(hostile)
    else:
        shutil.copy(hostile, path)
        path.chmod(0o722 if place == "file" else 0o700)
    if place == "folder above":
        cache.parent.chmod(0o777)
    if place == "owner":
        owner = os.geteuid() + 1
        monkeypatch.setattr("os.geteuid", lambda: owner)
        for each in (path, cache):
            if not os.getuid():
                os.chown(each, owner + 1, -1)
    number, loaded = answer()
    assert number == 7
    assert loaded != path
    assert not mark.exists()
    assert (loaded.parent == cache) == (place in ("file", "link"))


def test_a_cache_that_cannot_be_written_is_left_alone(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.write_bytes(b"")  # where a folder should be
    number, path = answer()
    assert (number, path.parent.stat().st_mode & 0o777) == (7, 0o700)
    assert path.parent.name.startswith("nasir-kernels-")
    monkeypatch.setattr(build, "FileLock", lambda *_, **__: os.open("/", os.O_WRONLY))
    cache.parent.unlink()
    assert answer()[0] == 7, "what is there cannot be written"


def test_who_comes_while_another_builds_waits_for_the_library(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_: Compile = build._compile
    calls: list[Path] = []

    def slow(folder: Path, flags: list[str]) -> None:
        calls.append(folder)
        monkeypatch.setattr(build, "_WAIT", 0.1)
        assert pool.submit(build._cached, "key").result() is None, "it does not wait for ever"
        monkeypatch.setattr(build, "_WAIT", 60.0)
        late.append(pool.submit(build._cached, "key"))
        compile_(folder, flags)

    late: list[Future[Path | None]] = []
    monkeypatch.setattr(build, "_compile", slow)
    with ThreadPoolExecutor(1) as pool:
        path = build._cached("key")
        assert path is not None
        assert late[0].result() == path
    assert len(calls) == 1


@needs_fork
def test_a_build_that_was_killed_leaves_nothing_for_long(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_: Compile = build._compile

    def killed(folder: Path, flags: list[str]) -> None:
        compile_(folder, flags)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        monkeypatch.setattr(build, "_compile", killed)
        build._cached("key")
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert list(cache.glob("build-*/nasir_kernels.so"))
    number, path = answer()
    assert number == 7
    assert sorted(each.name for each in cache.iterdir()) == [path.name, "kernels.lock"]


def test_a_build_that_fails_says_why_and_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(folder: Path, flags: list[str]) -> None:
        del folder, flags
        raise RuntimeError("gcc\nmixed.cpp:1: error: no")

    monkeypatch.setattr(build, "_compile", fails)
    assert build._load.__wrapped__() == (None, "mixed.cpp:1: error: no")
    assert [each.name for each in cache.iterdir()] == ["kernels.lock"]

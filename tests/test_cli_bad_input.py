"""Wrong calls and wrong input: one error with code, place and hint, and nothing written."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import RESNET, TINY, call

GRAPH = "nasir graph 1\ninput x: image[3,8,8]\ny = relu(x): image[3,8,8]\noutput y\n"
ROOT = Path(__file__).resolve().parent.parent


def test_an_error_shows_the_place_the_line_and_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "cell.txt"
    path.write_text(RESNET.replace("avg_pool_3x3", "avg_pool_3x4"))
    done = call("cost", path)
    first, source, caret, hint = done.err.splitlines()
    assert first == f"{path}:1:34: E201 unknown op 'avg_pool_3x4'"
    assert source.endswith("avg_pool_3x4~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|")
    assert source[caret.index("^") :].startswith("avg_pool_3x4")
    assert hint == "  hint: did you mean 'avg_pool_3x3'?"


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("E201", ["cost", "darts_v2", "--skeleton", "cifra"]),
        ("E202", ["cost", "darts_v2", "--skeleton", "nasbench201"]),
        ("E302", ["cost", "darts_v2", "--layers", "0"]),
        ("E107", ["cost", "darts_v2", "--classes", "-1"]),
        ("E302", ["cost", "darts_v2", "--skeleton", "imagenet", "--channels", "47"]),
        ("E107", ["cost", "darts_v2", "--channels", "99999999999999999999"]),
        ("E505", ["cost", RESNET, "--auxiliary"]),
        ("E201", ["show", "darts_v2", "--after", "cze"]),
        ("E108", ["convert", "darts_v2", "--to", "nabla"]),
        ("E208", ["convert", "darts_v2", "--to", "nasbench201"]),
        ("E208", ["convert", "darts_v2", "--to", "onnx"]),
        ("E505", ["draw", "darts_v2", "--format", "gif"]),
        ("E201", ["spaces", "dart"]),
        ("E201", ["ops", "sep_conv_3x4"]),
        ("E201", ["diff", "darts_v2", "nope"]),
        ("E107", ["compile", "darts_v2", "--batch", "0"]),
        ("E505", ["compile", "darts_v2", "--device", "gpu"]),
        ("E505", ["compile", "darts_v2", "--inline"]),
        ("E505", ["compile", "darts_v2", "--onnx", "x.py", "--python", "x.py"]),
        ("E505", ["compile", "darts_v2", "--python", "x.txt"]),
        ("E201", ["compile", ""]),
        ("E505", ["cost", "penn_pgd", "--layers", "3"]),
        ("E208", ["sample", "s4", "--format", "nnabla"]),
        ("E505", ["show", GRAPH, "--layers", "4"]),
    ],
)
def test_a_wrong_call_is_one_error_with_its_code(
    code: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*arguments)
    assert (done.code, done.out) == (2, "")
    assert f": {code} " in done.err.splitlines()[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [[], ["nope"], ["cost"], ["cost", "darts_v2", "--layers", "x"], ["cost", "a", "b"], ["check"]],
)
def test_a_call_that_cannot_be_parsed_exits_with_two(arguments: list[str]) -> None:
    done = call(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "Usage: nasir" in done.err


def _fifo(path: Path) -> None:
    os.mkfifo(path)


NASTY: dict[str, Callable[[Path], object]] = {
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "binary.json": lambda path: path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(999)),
    "other.onnx": lambda path: path.write_bytes(b"\x08\x09hello"),
    "empty.json": lambda path: path.write_bytes(b""),
    "empty.onnx": lambda path: path.write_bytes(b""),
    "blank.yaml": lambda path: path.write_text("\n   \n"),
    "truncated.json": lambda path: path.write_text('{"nasir": 1, "genotype": {"space": "da'),
    "deep.json": lambda path: path.write_text("[" * 100_000),
    "deep.yaml": lambda path: path.write_text("nasir: " + "[" * 5_000),
    "deep.py": lambda path: path.write_text("Genotype(" + "(" * 5_000),
    "huge.json": lambda path: path.write_text('{"nasir": ' + "9" * 10_000 + "}"),
    "nan.json": lambda path: path.write_text('{"nasir": NaN}'),
    "bomb.yaml": lambda path: path.write_text("nasir: 1\na: &a [x, x]\nb: &b [*a, *a]\nc: [*b]\n"),
    "tag.yaml": lambda path: path.write_text("nasir: !!python/object/apply:os.getcwd []\n"),
    "wide.txt": lambda path: path.write_text("|" * 2**18),
    "utf16.json": lambda path: path.write_bytes('{"nasir": 1}'.encode("utf-16")),
    "escape.json": lambda path: path.write_text('{"nasir": "\x1b[31m"}'),
    "graph.txt": lambda path: path.write_text("nasir graph 1\ninput x: image[3,99999999999,2]\n"),
    "call.py": lambda path: path.write_text("Genotype(normal=__import__('os').getcwd())"),
    "directory": Path.mkdir,
    "pipe": _fifo,
    "missing.json": lambda path: path,
}

READERS = {
    "convert": ("convert", "@", "--to", "darts", "-o", "out"),
    "show": ("show", "@", "--after", "cse"),
    "draw": ("draw", "@", "-o", "out"),
    "cost": ("cost", "@", "--json"),
    "check": ("check", "@"),
    "diff": ("diff", "darts_v2", "@"),
    "spaces": ("spaces", "@"),
    "compile": ("compile", "@", "-o", "out"),
}


SOME = ("binary.json", "truncated.json", "bomb.yaml", "directory", "pipe", "missing.json")


@pytest.mark.parametrize(
    ("name", "command"),
    [(n, c) for n in NASTY for c in READERS if c in ("check", "compile") or n in SOME],
)
def test_no_file_makes_a_command_fail_otherwise_than_with_one_error(
    name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("in", name)
    path.parent.mkdir()
    NASTY[name](path)
    done = call(*(str(path) if part == "@" else part for part in READERS[command]))
    assert (done.code, done.out) == (2, "")
    assert len(re.findall(r"\bE[1-5]\d\d\b", done.err)) == 1
    assert "\x1b" not in done.err
    assert "Traceback" not in done.err
    assert not Path("out").exists()


@pytest.mark.parametrize("name", ["binary", "deep.json", "bomb.yaml", "graph.txt"])
def test_standard_input_is_judged_like_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    NASTY[name](path)
    done = call("check", "-", stdin=path.read_bytes())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("<stdin>")


@pytest.mark.parametrize("option", ["--onnx", "--python", "--export", "--report", "--draw", "-o"])
def test_an_output_that_cannot_be_written_fails_the_work_at_once(
    option: str, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("whole")
    done = call("compile", "darts_v2", *TINY, option, blocked / "below.py")
    assert (done.code, done.out) == (1, "")
    assert " E112 " in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert blocked.read_text() == "whole"


def test_a_fault_of_nasirs_own_is_two_lines_and_exit_code_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_graph: object) -> None:
        raise RuntimeError("something broke")

    monkeypatch.setattr("nasir.cost", fail)
    done = call("cost", "darts_v2")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[0] == "nasir: internal error: RuntimeError: something broke"
    assert "NASIR_DEBUG=1" in done.err
    monkeypatch.setenv("NASIR_DEBUG", "1")
    with pytest.raises(RuntimeError, match="something broke"):
        call("cost", "darts_v2")


@pytest.mark.parametrize(
    ("shell", "code", "message"),
    [
        ("{} --version > /dev/full", 1, "E112 the output cannot be written"),
        ("{} cost darts_v2 <&- >&-", 0, ""),
        ("{} cost - <&-", 2, "E104 the file is empty"),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_streams_that_are_full_or_closed_end_in_a_sentence(
    shell: str, code: int, message: str
) -> None:
    program = f"{shlex.quote(sys.executable)} -m nasir"
    run = subprocess.run(
        ["sh", "-c", shell.format(program)], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert (run.returncode, message in run.stderr) == (code, True), run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (PermissionError(13, "Permission denied", "there"), "there: E101 the path cannot be used"),
        (OSError(28, "No space left on device"), "E112 the output cannot be written: no space"),
        (MemoryError(), "E744"),
    ],
)
def test_what_the_system_refuses_is_no_bug_of_nasir(
    fault: Exception, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise fault

    monkeypatch.setattr("runners.cli.options.check_inputs", refuse)
    done = call("cost", "darts_v2")
    assert (done.code, code in done.err, "internal" in done.err) == (1, True, False), done.err

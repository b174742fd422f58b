"""The command as a process of its own: what it imports, how it ends, and what a pipe gets."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.command_line import ROOT, call, call_apart, start

HEAVY = ("torch", "onnx", "onnxruntime", "networkx", "rich", "numpy")


def _loaded(tmp_path: Path, *calls: tuple[str, ...]) -> set[str]:
    """The top-level modules that a process has loaded after the commands."""
    code = (
        "import sys\nfrom runners.cli import app\n"
        f"for call in {calls!r}:\n"
        "    try:\n        app(list(call))\n    except SystemExit:\n        pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.splitlines()[-1].split())


def test_help_imports_no_library(tmp_path: Path) -> None:
    assert not _loaded(tmp_path, ("--help",)) & {*HEAVY, "pydantic"}


def test_commands_that_run_no_network_do_not_import_torch(tmp_path: Path) -> None:
    calls = (
        ("cost", "darts_v2"),
        ("show", "darts_v2", "--after", "cse"),
        ("convert", "darts_v2", "--to", "nnabla"),
        ("diff", "darts_v1", "darts_v2"),
        ("ops",),
        ("check", "darts_v2"),
        ("compile", "nope.json"),
    )
    assert not _loaded(tmp_path, *calls) & {*HEAVY}
    assert "torch" not in _loaded(tmp_path, ("draw", "darts_v2"))  # which imports scipy


def test_the_exit_code_of_a_process_is_the_commands(tmp_path: Path) -> None:
    assert call_apart("diff", "darts_v1", "darts_v2", cwd=tmp_path).code == 1
    bad = call_apart("cost", "darts_v3", cwd=tmp_path)
    assert (bad.code, bad.out) == (2, "")
    assert bad.err == (
        "nasir: E201 unknown genotype 'darts_v3'\n  hint: did you mean 'DARTS_V2'?\n"
    )


def test_a_pipe_gets_no_escape_codes_and_a_terminal_gets_a_drawn_table(tmp_path: Path) -> None:
    piped = call_apart("cost", "darts_v2", cwd=tmp_path)
    assert (piped.code, "\x1b" in piped.out) == (0, False)
    leader, follower = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "nasir", "cost", "darts_v2"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"},
        stdout=follower,
        check=True,
    )
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    os.close(follower)
    assert "╭" in shown
    assert "3,349,342" in shown


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    process = start("cost", "darts_v2", "--nodes", cwd=tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdin.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) in (0, 141)
    process.stderr.close()


def test_an_interrupt_ends_with_130_and_says_nothing(tmp_path: Path) -> None:
    process = start("convert", "-", cwd=tmp_path)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_names_that_are_no_unicode_are_shown_escaped(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nasir", "cost", b"./\xff.json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b" E101 " in done.stderr
    assert b"Traceback" not in done.stderr


def test_doctor_says_what_works() -> None:
    done = call("doctor", "--json")
    states = {row["name"]: row["state"] for row in json.loads(done.out)}
    assert done.code == 0
    assert states["torch"] == states["onnx"] == states["safetensors"] == "ok"
    assert {"gpu", "c++ compiler", "torchvision", "onnxruntime", "onnx opset"} <= set(states)


READS = (
    ("compile", "no.json"), ("evaluate", "no.json"), ("search", "no.yaml"), ("test", "no.onnx"),
    ("test", "darts_v2", "--weights", "no.safetensors"), ("plot", "no"), ("replay", "no"),
    ("search", "--resume", "no"), ("evaluate", "--resume", "no"), ("methods", "no.yaml"),
    ("search", "darts", "--method", "no.yaml"), ("evaluate", "darts_v2", "--recipe", "no.yaml"),
    ("evaluate", "darts_v2", "--inherit", "no"), ("search", "darts", "--data", "npz:no.npz"),
    ("import-weights", "darts_v2", "no.pt", "-o", "out.safetensors"),
    ("compile", "genotypes.py:PDARTS"),
)  # fmt: skip


def test_a_missing_file_is_noticed_before_torch_is_loaded(tmp_path: Path) -> None:
    """All in one process without torch: each ends with an error of its own."""
    program = (
        "import json, sys; sys.modules['torch'] = None\n"
        "from typer.testing import CliRunner\n"
        "from runners.cli import app\n"
        "for call in json.loads(sys.argv[1]):\n"
        "    done = CliRunner().invoke(app, call)\n"
        "    print(done.exit_code, done.output.splitlines()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(READS)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for given, line in zip(READS, done.stdout.splitlines(), strict=True):
        assert line.startswith("2 "), (given, line)
        assert any(code in line for code in ("E101", "E701", "E721")), (given, line)

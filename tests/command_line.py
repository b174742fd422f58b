"""Calling the command `nasir` in this process, and in one of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from runners.cli import app, entry

entry.load_command = cache(entry.load_command)  # which takes longer than many a command

ROOT = Path(__file__).resolve().parent.parent

RESNET = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
)
TINY = ("--channels", "4", "--layers", "3")


@dataclass(frozen=True, slots=True)
class Called:
    """How a call ended and what it printed."""

    code: int
    out: str
    err: str


def call(*arguments: str | Path, stdin: str | bytes = "") -> Called:
    """The command in this process. An exception that it lets through fails the test."""
    done: Any = CliRunner().invoke(
        app, [str(each) for each in arguments], input=stdin, prog_name="nasir"
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Called(done.exit_code, done.stdout, done.stderr)


def start(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    """The command in a process of its own, in a directory that is not the repository."""
    return subprocess.Popen(
        [sys.executable, "-m", "nasir", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call_apart(*arguments: str | Path, cwd: Path, **variables: str) -> Called:
    """The same, waited for."""
    process = start(*arguments, cwd=cwd, **variables)
    out, err = process.communicate(timeout=120)
    return Called(process.returncode, out, err)

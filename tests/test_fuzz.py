"""Damaged files end in the project's own error, within two seconds and a gibibyte."""

import sys
import time
from pathlib import Path

import pytest

from nasir import NasirError
from tests.fuzz import HEADER, Target, run
from tests.fuzz_targets import BINARIES, TARGETS, TEXTS
from tests.processes import needs_fork

_CASES = -(-20_000 // len(TEXTS))
"""Of each kind of text, so that all together have 20,000."""

_BINARY_CASES = 1000


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_damaged_file_is_read_or_refused(
    target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(target, tmp_path, cases=_BINARY_CASES if target in BINARIES else _CASES)
    with capsys.disabled():
        sys.stdout.write(f"\n{HEADER}\n" if target is TARGETS[0] else "\n")
        sys.stdout.write(report.row())
    assert not report.faults


def _harm(kind: str) -> None:
    match kind:
        case "r":
            raise NasirError("E104", "refused")
        case "v":
            raise ValueError
        case "t":
            end = time.process_time() + 1e9
            while time.process_time() < end:
                pass
        case "m":
            _ = b"x" * (64 << 20)
        case "M":
            _ = b"x" * (8 << 30)
        case _:
            pass


@needs_fork
@pytest.mark.parametrize(
    ("byte", "fault"),
    [
        ("o", ""),
        ("r", ""),
        ("v", "ValueError"),
        ("t", "ended the process: SIGPROF"),
        ("m", "MiB"),
        ("M", "MemoryError"),
    ],
)
def test_the_fuzzer_notices(byte: str, fault: str, tmp_path: Path) -> None:
    pristine = b"whole"

    def read(content: bytes, _: Path) -> None:
        if content != pristine:
            _harm(byte)

    target = Target("harm", lambda: (pristine,), read, texts=False)
    report = run(target, tmp_path, cases=2, seconds=0.06, mib=32)
    assert report.cases == 2
    assert report.read == (2 if byte in "om" else 0)
    assert report.refused.total() == (2 if byte == "r" else 0)
    assert all(fault in text for _, text in report.faults)
    assert [index for index, _ in report.faults] == ([0, 1] if fault else [])

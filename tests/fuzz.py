"""Damaged files: mutations of valid ones, each read by a process with bounds on time and memory.

`python -m tests.fuzz [--cases N] [--seed S] [NAME …]` prints a table of all targets, or of those
named; `python -m tests.fuzz NAME --show I` writes case I of a target to the standard output.
"""

import argparse
import json
import os
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

from nasir.errors import NasirError

SECONDS, MIB = 2.0, 1024
"""The most processor time and memory that one case may take."""

_HANGS = 5
"""A case that takes this many times the allowed time is stopped."""

_NUMBERS = (
    *(b"0", b"-1", b"1", b"2", b"0.5", b"-0.0", b"1e999", b"-1e308", b"1e15", b"NaN", b"true"),
    *(b"65536", b"4294967296", b"9" * 19, b"1" + b"0" * 5000, b"[1]", b'{"a":[0]}', b'"7"'),
    *(b"null", b"0x10", b"1_000", b"00", b"1.", b".5", b"range(9)", "٣".encode()),
)
_PIECES = (b"\0", b"\n", b"\t", b" ", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b"(", b")", b":")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*")
_LARGEST = 1 << 18


@dataclass(frozen=True)
class Target:
    """A kind of file: `seeds` are valid ones, and `read` does with one what users do.

    `read` is given the bytes, and a folder that is its own to write the file to. It raises a
    NasirError where it refuses. `prepare` runs once, before any case, outside of the bounds.
    `texts`: whether mutations look for numbers, brackets and lines.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[bytes, Path], object]
    prepare: Callable[[], object] = lambda: None
    texts: bool = True


@dataclass
class Report:
    """What became of a target's cases. `faults` has the first few of what must not be."""

    name: str
    cases: int = 0
    read: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[float, int] = (0.0, -1)
    faults: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def row(self) -> str:
        """One line of the table: cases, read, refused by code, slowest, largest, faults."""
        codes = " ".join(f"{code}:{count}" for code, count in self.refused.most_common())
        return (
            f"{self.name:<14}{self.cases:>6}{self.read:>6}{self.refused.total():>8}"
            f"{self.slowest[0]:>7.2f}s #{self.slowest[1]:<6}{self.largest[0]:>5.0f} MiB "
            f"#{self.largest[1]:<6}{len(self.faults):>7}  {codes}"
        )


HEADER = (
    f"{'format':<14}{'cases':>6}{'read':>6}{'refused':>8}{'slowest':>8}{'':8}{'memory':>9}"
    f"{'':8}{'faults':>7}  codes"
)


def mutated(seeds: Sequence[bytes], random: Random, *, texts: bool) -> bytes:
    """One of the seeds, changed in one to four places."""
    content = random.choice(seeds)
    gentle = texts and random.random() < 0.5
    ways = _GENTLE if gentle else (*_ANY, *(_TEXT if texts else ()))
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        content = random.choice(ways)(content, seeds, random)
    return content[:_LARGEST]


def case(target: Target, seeds: Sequence[bytes], seed: int, index: int) -> bytes:
    """The bytes of one case, the same on every machine."""
    return mutated(seeds, Random(f"{seed} {target.name} {index}"), texts=target.texts)


def run(
    target: Target,
    folder: Path,
    *,
    cases: int,
    seed: int = 0,
    seconds: float = SECONDS,
    mib: float = MIB,
) -> Report:
    """Reads `cases` mutations of the target's files in processes of their own, one at a time.

    A process that a case ends is replaced by another, which goes on with the next case.
    """
    target.prepare()
    seeds = tuple(target.seeds())
    outcomes = [_outcome(target, content, folder) for content in seeds]
    wrong = [text for code, text in outcomes if code == "fault"]
    if wrong or all(code != "read" for code, _ in outcomes):
        raise AssertionError(f"the files of {target.name} are not valid: {wrong or outcomes}")
    report = Report(target.name)
    while report.cases < cases:
        first = report.cases
        for row in _worker(target, seeds, folder, range(first, cases), seed, seconds, mib):
            _count(report, row, seconds, mib)
        if report.cases == first:
            raise AssertionError("the worker did not begin")
    return report


def _count(report: Report, row: dict[str, Any], seconds: float, mib: float) -> None:
    index = report.cases
    report.cases += 1
    report.slowest = max(report.slowest, (row["seconds"], index))
    report.largest = max(report.largest, (row["mib"], index))
    if row["code"] == "read":
        report.read += 1
    elif row["code"] != "fault":
        report.refused[row["code"]] += 1
    problems = [row["text"]] if row["code"] == "fault" else []
    if row["seconds"] > seconds:
        problems.append(f"took {row['seconds']:.1f} s")
    if row["mib"] > mib:
        problems.append(f"took {row['mib']:.0f} MiB")
    if problems:
        report.faults.append((index, "; ".join(problems)))


def _worker(
    target: Target,
    seeds: Sequence[bytes],
    folder: Path,
    indices: range,
    seed: int,
    seconds: float,
    mib: float,
) -> Iterator[dict[str, Any]]:
    """What becomes of the cases, until all are done or one ends the process."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.close(reader)
        try:
            _child(target, seeds, folder, indices, seed, seconds, mib, writer)
        finally:
            os._exit(0)
    os.close(writer)
    done = 0
    with os.fdopen(reader, "rb") as stream:
        for line in _lines(stream, pid, 30 + 10 * _HANGS * seconds):
            done += 1
            yield json.loads(line)
    _, status = os.waitpid(pid, 0)
    if done < len(indices):
        ended = os.waitstatus_to_exitcode(status)
        why = f"ended the process: {signal.Signals(-ended).name if ended < 0 else ended}"
        hung = ended in (-signal.SIGPROF, -signal.SIGKILL)
        yield {
            "code": "fault",
            "text": why,
            "seconds": _HANGS * seconds if hung else 0.0,
            "mib": 0.0,
        }


def _lines(stream: BinaryIO, pid: int, patience: float) -> Iterator[bytes]:
    """Lines of a pipe; the process is killed where one does not come for `patience` seconds."""
    held, begun = b"", time.monotonic()
    while True:
        ready, _, _ = select.select([stream], [], [], 1.0)
        if not ready:
            if time.monotonic() - begun > patience:
                os.kill(pid, signal.SIGKILL)
            continue
        block = os.read(stream.fileno(), 1 << 16)
        if not block:
            return
        begun = time.monotonic()
        *lines, held = (held + block).split(b"\n")
        yield from lines


def _child(
    target: Target,
    seeds: Sequence[bytes],
    folder: Path,
    indices: range,
    seed: int,
    seconds: float,
    mib: float,
    writer: int,
) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, in C code too
    room = _status("VmSize") + int((2 * mib + 512) * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for content in seeds:  # what is imported at first use is no case's time
        _outcome(target, content, folder)
    for index in indices:
        content = case(target, seeds, seed, index)
        before = _forget_peak()
        signal.setitimer(signal.ITIMER_PROF, _HANGS * seconds)
        begun = time.process_time()
        code, text = _outcome(target, content, folder)
        took = time.process_time() - begun
        signal.setitimer(signal.ITIMER_PROF, 0)
        used = max(0, _status("VmHWM") - before) / 2**20
        row = {"code": code, "text": text, "seconds": took, "mib": used}
        os.write(writer, json.dumps(row).encode() + b"\n")


def _outcome(target: Target, content: bytes, folder: Path) -> tuple[str, str]:
    try:
        target.read(content, folder)
    except NasirError as error:
        try:
            str(error).encode()
        except UnicodeEncodeError:
            return "fault", f"{error.code} cannot be printed"
        return error.code, ""
    except MemoryError:
        return "fault", "MemoryError"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(place.filename).name}:{place.lineno}"
        return "fault", f"{type(error).__name__} at {at}: {error!s:.200}"
    return "read", ""


def _status(key: str) -> int:
    """A figure of this process in bytes, as Linux has it; 0 elsewhere."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith(f"{key}:")), "x 0")
    return int(line.split()[1]) * 1024


def _forget_peak() -> int:
    """Sets the peak of memory back to what is used now, which is returned."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _status("VmHWM")
    return _status("VmRSS")


# Mutations: (content, all seeds, random) -> content

_Way = Callable[[bytes, Sequence[bytes], Random], bytes]


def _span(content: bytes, random: Random, most: int) -> tuple[int, int]:
    start = random.randrange(len(content) + 1)
    return start, min(len(content), start + random.randint(1, most))


def _flip(content: bytes, _seeds: Sequence[bytes], random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _replace(content: bytes, _: Sequence[bytes], random: Random) -> bytes:
    start, end = _span(content, random, 8)
    return content[:start] + random.randbytes(random.randint(0, 8)) + content[end:]


def _cut(content: bytes, _: Sequence[bytes], random: Random) -> bytes:
    start, end = _span(content, random, random.choice((1, 8, 64, 4096)))
    return content[:start] + content[end:]


def _end(content: bytes, _: Sequence[bytes], random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _double(content: bytes, _: Sequence[bytes], random: Random) -> bytes:
    start, end = _span(content, random, random.choice((4, 32, 256)))
    return content[:end] + content[start:]


def _repeat(content: bytes, _: Sequence[bytes], random: Random) -> bytes:
    start, end = _span(content, random, random.choice((1, 2, 16, 128)))
    most = random.choice((8, 64, 1 << 12)) if random.random() < 0.9 else 1 << 17
    return content[:start] + content[start:end] * (most // (end - start or 1)) + content[end:]


def _splice(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    other = random.choice(seeds)
    start, end = _span(other, random, random.choice((16, 256, 1 << 16)))
    at, until = _span(content, random, random.choice((1, 64, 1 << 16)))
    return content[:at] + other[start:end] + content[until:]


def _number(content: bytes, _: Sequence[bytes], random: Random) -> bytes:
    digits = b"0123456789"
    starts = [
        i
        for i, byte in enumerate(content)
        if byte in digits and (not i or content[i - 1] not in digits)
    ]
    if not starts:
        return content
    start = end = random.choice(starts)
    while end < len(content) and content[end] in digits:
        end += 1
    return content[:start] + random.choice(_NUMBERS) + content[end:]


def _bracket(content: bytes, _: Sequence[bytes], random: Random) -> bytes:
    places = [i for i, byte in enumerate(content) if byte in b"()[]{}\"':,|~"]
    if not places:
        return content
    at = random.choice(places)
    times = random.choice((0, 2, 3, 70, 1000, 20_000))
    return content[:at] + content[at : at + 1] * times + content[at + 1 :]


def _line(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    lines, others = content.split(b"\n"), random.choice(seeds).split(b"\n")
    at, until = sorted((random.randrange(len(lines)), random.randrange(len(lines))))
    match random.randrange(4):
        case 0:
            lines[at] = random.choice(others)
        case 1:
            lines.insert(at, random.choice(others))
        case 2:
            lines[at], lines[until] = lines[until], lines[at]
        case _:
            del lines[at : until + 1]
    return b"\n".join(lines)


def _word(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """A word takes the place of another: ops, names and keys meet where they do not belong."""
    places, others = [*_WORD.finditer(content)], _WORD.findall(random.choice(seeds))
    if not places or not others:
        return content
    place = random.choice(places)
    return content[: place.start()] + random.choice(others) + content[place.end() :]


def _piece(content: bytes, _: Sequence[bytes], random: Random) -> bytes:
    at = random.randrange(len(content) + 1)
    return content[:at] + random.choice((*_PIECES, *_NUMBERS)) + content[at:]


def _part(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """A part of JSON's data takes the place of another, is doubled, wrapped or left out."""
    try:
        data, other = json.loads(content), json.loads(random.choice(seeds))
    except (ValueError, RecursionError):
        return _word(content, seeds, random)
    holder, key = _anywhere(data, random)
    if holder is None:
        return content
    match random.randrange(8):
        case 0 | 1 | 2:
            source, place = _anywhere(other, random)
            holder[key] = other if source is None else source[place]
        case 3 | 4:
            holder[key] = random.choice(_VALUES)
        case 5:
            holder[key] = [holder[key]] * random.choice((1, 2, 3, 40))
        case 6 if isinstance(holder, list):
            holder[key:key] = [holder[key]] * random.choice((1, 1, 7, 300))
        case 6:
            holder[str(random.choice(_VALUES))] = holder[key]
        case _:
            del holder[key]
    return json.dumps(data).encode()


def _anywhere(data: Any, random: Random) -> tuple[Any, Any]:
    """A list or mapping and one of its places, both at random; (None, None) for other data."""
    holder, key = None, None
    while isinstance(data, (list, dict)) and data and (holder is None or random.random() < 0.8):
        holder = data
        key = random.choice(list(data)) if isinstance(data, dict) else random.randrange(len(data))
        data = holder[key]
    return holder, key


_VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 2, 3, 31, 64, 1000, 2**20, 2**63, 10**400, 0.5, 1e300, float("inf")),
    *(
        "",
        " ",
        "a",
        "0",
        "stride",
        "C",
        "C // 0",
        "x" * 10_000,
        "\0",
        "\n",
        "\u202e",
        "\ud800",
        "é",
    ),
    *([], {}, [[]], {"": {}}, [0, 1], ["none", 0], "none", "all", "any", "1/3", "9 * 9 * C"),
)

_ANY: tuple[_Way, ...] = (_flip, _replace, _cut, _end, _double, _repeat, _splice)
_TEXT: tuple[_Way, ...] = (_number, _bracket, _bracket, _line, _line, _word, _piece)
_GENTLE: tuple[_Way, ...] = (_number, _word, _word, _part, _part, _part)
"""Ways that mostly leave a text's syntax right, so that what comes after it is met."""


def main() -> None:
    """The command line of this module."""
    from tempfile import TemporaryDirectory

    from tests.fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int)
    options = parser.parse_args()
    chosen = [t for t in TARGETS if not options.names or t.name in options.names]
    if options.show is not None:
        content = case(chosen[0], tuple(chosen[0].seeds()), options.seed, options.show)
        sys.stdout.buffer.write(content)
        return
    sys.stdout.write(f"{HEADER}\n")
    for target in chosen:
        with TemporaryDirectory() as folder:
            report = run(target, Path(folder), cases=options.cases, seed=options.seed)
        sys.stdout.write(f"{report.row()}\n")
        for index, text in report.faults:
            sys.stdout.write(f"    #{index} {text}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""`python -m benchmarks [NAME …] [--rounds N] [--json FILE]`: measures and prints the tables."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Result
from benchmarks.rows import BENCHMARKS
from runners.machine.machine import find_machine

SCALES: dict[str, tuple[float, str]] = {
    "seconds": (1e3, "ms"),
    "bytes": (1e-6, "MB"),
    "kernels": (1, "kernels"),
    "images a second": (1, "images/s"),
}


def table(results: list[Result]) -> str:
    """The rows as text: milliseconds or megabytes, and how many times better than the first row."""
    lines = [f"  {'':34}{'median':>10}{'least':>10}{'greatest':>10}{'ratio':>8}  asked"]
    for row in results:
        scale, unit = SCALES[row.unit]
        values = "".join(
            f"{value * scale:>10.1f}" for value in (row.median, row.least, row.greatest)
        )
        lines.append(f"  {row.name:34}{values}{row.ratio:>7.2f}x  {_asked(row, unit)}".rstrip())
    return "\n".join(lines)


def _asked(row: Result, unit: str) -> str:
    if row.within is None:
        return "" if unit == "ms" else unit
    kept = "kept" if row.within else "MISSED"
    if row.ceiling is not None:
        return f"{row.ceiling * SCALES[row.unit][0]:.0f} {unit} {kept}"
    return f"x{row.floor:g} {kept}" + ("" if unit == "ms" else f" ({unit})")


def main() -> None:
    """Runs the benchmarks that were asked for, or all of them."""
    names = [row.name for row in BENCHMARKS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(
            f"unknown benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}"
        )
    facts = asdict(find_machine())
    print(
        ", ".join(f"{key} {value}" for key, value in facts.items()),
        "(milliseconds, megabytes)",
        flush=True,
    )
    found: dict[str, list[Result]] = {}
    for row in BENCHMARKS:
        if options.names and row.name not in options.names:
            continue
        print(f"\n{row.title}", flush=True)
        reason = row.missing()
        if reason:
            print(f"  skipped: {reason}")
            continue
        found[row.name] = row.run(options.rounds)
        print(table(found[row.name]), flush=True)
    if options.json:
        data = {"machine": facts, "results": {k: [asdict(r) for r in v] for k, v in found.items()}}
        options.json.write_text(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    main()

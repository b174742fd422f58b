"""Counts the library: files, code lines, arrows and class names used twice, with their ceilings.

A code line holds a token that is neither a comment nor a docstring. A place of `runners` is a
folder or a loose file in it; an arrow leads from one place to another that it imports. The
ceilings only ever go down: whoever makes the house smaller writes the new number here.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("nasir", "lowering", "runners")
BLANK = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}

CEILINGS = {
    "files of the library": 205,
    "files of runners": 95,
    "code lines of nasir and lowering": 18_561,
    "code lines of runners": 14_647,
    "code lines of tests": 21_593,
    "places of runners": 15,
    "arrows between them": 50,
    "class names used twice": 0,
    "files over 500 lines": 0,
}


def main() -> int:
    """Prints the table; ends with 1 where a ceiling is passed."""
    counts = measure()
    print(f"{'':34}{'now':>8}{'ceiling':>9}")
    for name, count in counts.items():
        mark = "" if count <= CEILINGS[name] else "  too many"
        print(f"{name:34}{count:8,}{CEILINGS[name]:9,}{mark}")
    return int(any(count > CEILINGS[name] for name, count in counts.items()))


def measure() -> dict[str, int]:
    """What is counted, by name."""
    files = {room: sorted((ROOT / room).rglob("*.py")) for room in ROOMS}
    lines = {room: sum(map(code_lines, paths)) for room, paths in files.items()}
    tests = sorted((ROOT / "tests").rglob("*.py"))
    arrows = runner_arrows(files["runners"])
    return {
        "files of the library": sum(map(len, files.values())),
        "files of runners": len(files["runners"]),
        "code lines of nasir and lowering": lines["nasir"] + lines["lowering"],
        "code lines of runners": lines["runners"],
        "code lines of tests": sum(map(code_lines, tests)),
        "places of runners": len({place(path) for path in files["runners"]}),
        "arrows between them": len(arrows),
        "class names used twice": len(twice([path for paths in files.values() for path in paths])),
        "files over 500 lines": sum(long_file(path) for paths in files.values() for path in paths),
    }


def code_lines(path: Path) -> int:
    """How many lines of the file hold code."""
    text = path.read_text(encoding="utf-8")
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in BLANK:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - docstring_lines(ast.parse(text)))


def docstring_lines(tree: ast.Module) -> set[int]:
    """The lines of all docstrings, those under assignments included."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def place(path: Path) -> str:
    """The folder of `runners` that a file lies in, or the loose file itself."""
    return path.relative_to(ROOT / "runners").with_suffix("").parts[0]


def runner_arrows(files: list[Path]) -> set[tuple[str, str]]:
    """From which place of `runners` to which an import leads."""
    places = {place(path) for path in files}
    found: set[tuple[str, str]] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for module in imported(node):
                parts = module.split(".")
                if parts[0] == "runners" and len(parts) > 1 and parts[1] in places:
                    found.add((place(path), parts[1]))
    return {(source, target) for source, target in found if source != target}


def imported(node: ast.AST) -> list[str]:
    """The modules that a statement imports; a name of a package counts as its module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def twice(files: list[Path]) -> list[str]:
    """The names of classes that several files define."""
    names = Counter(
        name
        for path in files
        for name in {
            node.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ClassDef)
        }
    )
    return sorted(name for name, count in names.items() if count > 1)


def long_file(path: Path) -> bool:
    """Whether a file has more than 500 lines, comments and all."""
    return len(path.read_text(encoding="utf-8").splitlines()) > 500


if __name__ == "__main__":
    sys.exit(main())

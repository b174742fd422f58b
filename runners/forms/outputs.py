"""Which files a compilation writes, and whether they can be written at all."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from nasir.errors import NasirError, Where, quoted


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files to write; None is not written. `python` has its weights beside it (.safetensors).

    `draw` is a directory. `inline`: the ONNX file has no functions. `int8` is an ONNX file too.
    """

    onnx: Path | None = None
    python: Path | None = None
    export: Path | None = None
    draw: Path | None = None
    report: Path | None = None
    inline: bool = False
    int8: Path | None = None

    def below(self, directory: Path, name: str) -> "Outputs":
        """The same with what is not named yet in `directory`, but no exported program."""
        stem = file_stem(name)
        return Outputs(
            onnx=self.onnx or directory / f"{stem}.onnx",
            python=self.python or directory / f"{stem}.py",
            export=self.export,
            draw=self.draw or directory,
            report=self.report or directory / "report.json",
            inline=self.inline,
            int8=self.int8,
        )

    def files(self) -> tuple[Path, ...]:
        """The named files, without pictures."""
        weights = self.python.with_suffix(".safetensors") if self.python else None
        named = (self.onnx, self.python, weights, self.export, self.report, self.int8)
        return tuple(path for path in named if path is not None)

    def check(self) -> None:
        """Raises E505 for a file named twice, E112 for what cannot be written."""
        if self.python is not None and self.python.suffix != ".py":
            hint = f"write to {self.python.with_suffix('.py')}"
            where = Where(str(self.python))
            raise NasirError("E505", "a Python file's name ends in .py", where, hint)
        seen: set[Path] = set()
        for path in self.files():
            if path.resolve() in seen:
                raise NasirError(
                    "E505",
                    f"two outputs are to be written to {quoted(str(path))}",
                    hint="the weights of a Python file stand beside it as .safetensors",
                )
            seen.add(path.resolve())
            check_file(path)
        if self.draw is not None:
            _check_directory(self.draw)


def check_file(path: Path) -> None:
    """Raises E112 unless a file can be written there. Pipes and devices are not replaced."""
    if path.is_dir():
        raise _cannot_write(path, "it is a directory")
    if path.exists() and not path.is_file():
        raise _cannot_write(path, "it is not a regular file")
    _check_directory(path.parent)


def file_stem(name: str) -> str:
    """The name as a file may be called everywhere: other characters become underscores."""
    return re.sub(r"[^\w+-]+", "_", name)


def _check_directory(directory: Path) -> None:
    """Raises E112 unless files can be made in the directory, or it can be made itself."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise _cannot_write(directory, f"{quoted(str(there))} is not a directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _cannot_write(directory, f"no permission for {quoted(str(there))}")


def _cannot_write(path: Path, reason: str) -> NasirError:
    return NasirError(
        "E112",
        f"{quoted(str(path))} cannot be written: {reason}",
        Where(str(path)),
        hint="choose another path, or make this one writable",
    )

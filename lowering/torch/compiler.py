"""What torch.compile needs of a machine."""

import importlib.util
import shutil
import sysconfig
from pathlib import Path

from nasir.wanted import checked


@checked
def compiler_missing(device: str = "cpu") -> str:
    """Why torch.compile cannot work on this machine; empty if nothing is known to be missing."""
    if device.startswith("cuda"):
        return "" if importlib.util.find_spec("triton") else "Triton is not installed"
    compiler = _cpp_compiler()
    if not shutil.which(compiler):
        return f"the C++ compiler '{compiler}' is not there" if compiler else "no C++ compiler"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return "" if header.exists() else f"Python's headers are not installed ({header})"


def _cpp_compiler() -> str:
    """The C++ compiler that torch would call; empty if it finds none."""
    from torch._inductor import cpp_builder  # pyright: ignore[reportPrivateUsage]
    from torch._inductor.exc import InvalidCxxCompiler  # pyright: ignore[reportPrivateUsage]

    try:
        return cpp_builder.get_cpp_compiler()
    except (InvalidCxxCompiler, OSError):
        return ""

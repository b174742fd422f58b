"""What a run was made with: versions, machine, and the space by its content."""

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

import nasir


def machine() -> dict[str, Any]:
    """Versions, and the machine that figures were taken on."""
    return {
        "nasir": nasir.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count() or 0,
            "threads": torch.get_num_threads(),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def space_hash(space: nasir.Space) -> str:
    """SHA-256 of the space's data, whatever its file looks like."""
    text = json.dumps(json.loads(space.text), sort_keys=True) if space.text else repr(space)
    return hashlib.sha256(text.encode()).hexdigest()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())

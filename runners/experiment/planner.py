"""How large a batch fits: from what one small step keeps, and the memory that is free."""

from pathlib import Path
from typing import Any

import torch

import lowering
from lowering import Network
from runners.machine.place import Place
from runners.task.task import Training

PROBE = 2
BACKWARD = 1.6
"""What a step needs at its peak, as a multiple of what forward keeps (measured: 1.2 to 1.5)."""


def largest_batch(place: Place, task: Training, module: Network, *mixture: Any) -> int | None:
    """The largest batch that should fit, a power of two; None where free memory is not known."""
    free = free_bytes(place.device)
    if free is None:
        return None
    batch = task.train(0, 0)
    axis = 1 if task.name == "language" else 0
    inputs = tuple(
        value.narrow(axis if value.dim() > 1 and number == 0 else 0, 0, PROBE)
        for number, value in enumerate(batch.inputs)
    )
    kept = lowering.saved_bytes(module, *inputs, *mixture).bytes
    fits = int(free / (kept / PROBE * BACKWARD)) if kept else 0
    return 1 << (fits.bit_length() - 1) if fits else 0


def free_bytes(device: torch.device) -> int | None:
    """Memory that a process may still take on the device; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = {line.partition(":")[0]: line.split()[1] for line in lines}
    return int(found["MemAvailable"]) * 1024 if "MemAvailable" in found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory is not enough."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "out of memory" in text
    )

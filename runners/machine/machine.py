"""The machine of a run or a measurement."""

import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""OpenMP environment variables: a waiting thread spins for microseconds, then sleeps.

By default it spins until its time slice ends. If other programs use the cores, the thread it waits
for cannot run meanwhile: steps of a search took ten times as long.
"""


def set_openmp_wait_policy() -> None:
    """Sets `OPENMP` unless the user has set one; has no effect once torch is loaded."""
    if not any(name in os.environ for name in OPENMP):
        os.environ.update(OPENMP)


def spinning_warning() -> str:
    """Returns a warning if spinning threads share busy cores, else ""."""
    import torch

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    if any(name in os.environ for name in OPENMP) or threads == 1 or load + threads <= cores + 1:
        return ""
    cure = " ".join(f"{name}={value}" for name, value in OPENMP.items())
    return (
        f"other programs use the {cores} cores (load {load:.1f}), and {threads} threads spin while "
        f"they wait for each other; start with {cure}, or with OMP_NUM_THREADS=1"
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """Hardware and software that measurements depend on. `device` is a GPU's name, or `cpu`."""

    device: str
    threads: int
    torch: str
    python: str
    platform: str
    processor: str = ""
    cores: int = 0
    processes: int = 1


def find_machine(device: str = "cpu", processes: int = 1) -> Machine:
    """Returns this machine with the given device and number of processes."""
    import torch

    return Machine(
        device=torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        threads=torch.get_num_threads(),
        torch=str(torch.__version__),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count() or 0,
        processes=processes,
    )


def surroundings(device: str = "cpu", processes: int = 1) -> dict[str, object]:
    """Returns the first fields of `run.json`: versions and machine."""
    import nasir  # not at the top: the command line sets `OPENMP` before other imports
    from nasir.extension import in_use

    found = find_machine(device, processes)
    extensions = {
        each.extension.name: {"version": each.extension.version, "digest": each.digest}
        for each in in_use()
    }
    return {
        "nasir": nasir.__version__,
        **({"extensions": extensions} if extensions else {}),
        "torch": found.torch,
        "python": found.python,
        "machine": asdict(found),
    }


def offered_extensions() -> list[str]:
    """Returns the names of nasir's extensions in installed packages.

    Reads their files, since importing `importlib.metadata` takes longer than most commands.
    """
    found: dict[str, None] = {}
    for directory in dict.fromkeys(sys.path):
        for path in Path(directory or ".").glob("*-info/entry_points.txt"):
            text = path.read_text(encoding="utf-8", errors="replace")
            _, _, section = text.partition("[nasir]\n")
            lines = section.partition("[")[0].splitlines()
            found |= dict.fromkeys(line.partition("=")[0].strip() for line in lines if "=" in line)
    return list(found)


def rank_here() -> int:
    """Returns this process's number by torchrun's variables, from 0; 0 alone."""
    count, rank = (os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK"))
    return int(rank) if rank.isdecimal() and count not in ("", "1") else 0


def check_alone() -> None:
    """Raises an error in one of several processes (torchrun's variables).

    Only searches and evaluations divide their work: each process would do all of it.
    """
    for name, single in (("WORLD_SIZE", "1"), ("RANK", "0")):
        value = os.environ.get(name, "")
        if value not in ("", single):
            from nasir.errors import NasirError, quoted  # not needed by `nasir --help`

            message = f"this works in one process, and the variable {name} is {quoted(value)}"
            hint = f"unset {name}, start it without torchrun; search and evaluate take several"
            raise NasirError("E728", message, hint=hint)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()

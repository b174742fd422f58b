"""Supernets: training steps, memory and second order against the papers' sequence of operations.

Every row compares with `optimise=False` in one interleaved run, on images of 32x32 in batches of
16: forward, and a weight step (forward, backward to weights and mixtures, clipping, SGD).
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Result, amounts, interleaved

BATCH = 16


@dataclass(frozen=True)
class Case:
    """A supernet, how it is partitioned, and what is asked of it."""

    space: str
    size: dict[str, Any] = field(default_factory=dict[str, Any])
    channels_fraction: int = 1
    floors: dict[str, float] = field(default_factory=dict[str, float])


def graph_of(case: Case) -> Any:
    """The supernet's graph."""
    import nasir

    graph = nasir.supernet(case.space, **case.size)
    if case.channels_fraction == 1:
        return graph
    return nasir.edge_weights(nasir.partial_channels(graph, case.channels_fraction), case.space)


class Search:
    """A supernet with a batch, a mixture and an optimiser; `library`: as without a compiler."""

    def __init__(self, graph: Any, *, library: bool = False, **options: Any) -> None:
        import torch

        import lowering

        generator = torch.Generator().manual_seed(0)
        self.library = library
        with self.kernels():
            self.module: Any = lowering.to_torch(graph, **options)
        self.logits = {
            choice.name: (
                1e-3 * torch.randn(len(choice.options), generator=generator)
            ).requires_grad_()
            for choice in graph.choices
        }
        self.image = torch.randn(BATCH, 3, 32, 32, generator=generator)
        self.labels = torch.arange(BATCH) % 10
        self.weights = self.module.flatten_parameters()
        self.optimiser: Any = torch.optim.SGD(
            self.weights, 0.025, momentum=0.9, weight_decay=3e-4, foreach=True
        )

    @contextmanager
    def kernels(self) -> Generator[None]:
        """Switches the kernels off where this search does without a compiler."""
        from lowering.kernels import SWITCH

        before = os.environ.get(SWITCH)
        if self.library:
            os.environ[SWITCH] = "0"
        try:
            yield
        finally:
            os.environ.pop(SWITCH, None)
            if before is not None:
                os.environ[SWITCH] = before

    def mixture(self) -> dict[str, Any]:
        """Softmax weights of every choice."""
        import torch

        return {name: torch.softmax(row, 0) for name, row in self.logits.items()}

    def forward(self) -> object:
        """The logits, without a gradient."""
        import torch

        with torch.no_grad(), self.kernels():
            return self.module(self.image, self.mixture())

    def loss(self) -> Any:
        """The loss of the batch."""
        import torch.nn.functional as F

        with self.kernels():
            return F.cross_entropy(self.module(self.image, self.mixture()), self.labels)

    def step(self) -> None:
        """A weight step as in DARTS."""
        import torch

        self.optimiser.zero_grad()
        self.loss().backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.optimiser.step()

    def architect(self) -> None:
        """The gradients of second order as in DARTS, by one batch and its mirror image."""
        import torch.nn.functional as F

        import lowering

        def loss(image: Any) -> Callable[[Callable[..., Any]], Any]:
            return lambda run: F.cross_entropy(run(image, self.mixture()), self.labels)

        lowering.second_order(
            self.module,
            list(self.logits.values()),
            loss(self.image),
            loss(self.image.flip(-1)),
            lowering.Unrolled(0.025, decay=3e-4),
        )

    def saved(self) -> int:
        """The bytes that one forward keeps for backward."""
        import lowering

        with self.kernels():
            return lowering.saved_bytes(self.module, self.image, self.mixture()).bytes


def _searches(case: Case, names: tuple[str, ...]) -> dict[str, Search]:
    graph = graph_of(case)
    made: dict[str, Callable[[], Search]] = {
        "as published": lambda: Search(graph, optimise=False),
        "memory none": lambda: Search(graph),
        "memory cells": lambda: Search(graph, memory="cells"),
        "memory states": lambda: Search(graph, memory="states"),
        "without a compiler": lambda: Search(graph, library=True),
    }
    return {name: made[name]() for name in names}


def _measured(case: Case, names: tuple[str, ...], rounds: int) -> list[Result]:
    """Forward, weight step and saved bytes of these ways to run a supernet."""
    searches = _searches(case, names)
    rounds = max(3, rounds // 3)
    forward = {f"forward, {name}": one.forward for name, one in searches.items()}
    steps = {f"step, {name}": one.step for name, one in searches.items()}
    saved = {f"saved, {name}": float(one.saved()) for name, one in searches.items()}
    return [
        *interleaved(forward, rounds, floors=case.floors),
        *interleaved(steps, rounds, floors=case.floors),
        *amounts(saved, case.floors),
    ]


ALL = ("as published", "memory none", "memory cells", "memory states", "without a compiler")
TWO = ("as published", "memory none")


def darts(rounds: int) -> list[Result]:
    """DARTS, 16 channels, 8 cells."""
    floors = {
        "forward, memory none": 7.0,
        "step, memory none": 6.0,
        "saved, memory none": 5.0,
        "step, memory states": 6.0,
        "saved, memory states": 50.0,
        "step, without a compiler": 1.8,
        "saved, without a compiler": 1.4,
    }
    return _measured(Case("darts", floors=floors), ALL, rounds)


def small_darts(rounds: int) -> list[Result]:
    """DARTS, 8 channels, 5 cells."""
    case = Case("darts", {"channels": 8, "layers": 5}, floors={"step, memory none": 6.5})
    return _measured(case, TWO, rounds)


def second(rounds: int) -> list[Result]:
    """DARTS, 16 channels, 8 cells: the whole architecture step of second order."""
    searches = _searches(Case("darts"), TWO)
    steps = {f"second order, {name}": one.architect for name, one in searches.items()}
    return interleaved(steps, max(3, rounds // 3), floors={"second order, memory none": 6.0})


def nasbench201(rounds: int) -> list[Result]:
    """NAS-Bench-201, 16 channels, 5 cells in each stage."""
    floors = {"step, memory none": 2.5, "saved, memory none": 5.0}
    return _measured(Case("nasbench201", floors=floors), TWO, rounds)


def partial(rounds: int) -> list[Result]:
    """PC-DARTS, a quarter of the channels, 16 channels, 8 cells."""
    case = Case("darts", channels_fraction=4, floors={"step, memory none": 5.0})
    return _measured(case, TWO, rounds)


def two_ops(rounds: int) -> list[Result]:
    """S2, two ops an edge, 16 channels, 8 cells."""
    return _measured(Case("s2", floors={"step, memory none": 4.0}), TWO, rounds)


def build(rounds: int) -> list[Result]:
    """The DARTS supernet from its space to its module, without compiling anything."""
    import lowering
    import nasir
    from lowering import kernels
    from nasir.template import meaning, template

    kernels.available()  # built once in a machine's life

    def graph() -> nasir.Graph:
        meaning.cache_clear()
        template.cache_clear()
        return nasir.supernet("darts")

    return interleaved(
        {"build": graph, "build, passes, lower": lambda: lowering.to_torch(graph()).programs},
        rounds,
        {"build, passes, lower": 0.6},
    )


def peak(rounds: int) -> list[Result]:
    """Resident memory that one weight step of DARTS (16, 8) adds, each in a process of its own."""
    del rounds
    names = ("as published", "memory none", "memory states")
    return amounts({name: _peak(name) for name in names}, {"memory states": 6.0})


def _peak(name: str) -> float:
    command = [sys.executable, "-m", "benchmarks.supernets", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


def _status(field_name: str) -> int:
    """A size from this process's status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field_name))


def main() -> None:
    """Prints by how many bytes one step raises the most memory that was ever resident."""
    search = next(iter(_searches(Case("darts"), (sys.argv[1],)).values()))
    before = _status("VmRSS")
    search.step()
    print(json.dumps(_status("VmHWM") - before))


if __name__ == "__main__":
    main()

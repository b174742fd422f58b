"""Supernets on a GPU: kernels launched, time and memory of a step, eager plain as 1."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Result, amounts, interleaved

SPACES = ("darts", "nasbench201")


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the supernets run, how large they are, and how many images a batch has."""

    device: str = "cuda"
    batch: int = 64
    resolution: int = 32
    size: tuple[tuple[str, int], ...] = ()


class Step:
    """A weight step of a supernet on a device, in float32 or under bfloat16 autocast."""

    def __init__(self, graph: Any, setting: Setting, change: Callable[[Any], Any], **options: Any):
        import torch

        import lowering

        self.device = setting.device
        self.half = options.pop("half", False)
        self.module: Any = change(lowering.to_torch(graph, device=setting.device, **options))
        side = setting.resolution
        self.image = torch.randn(setting.batch, 3, side, side, device=setting.device)
        self.labels = torch.arange(setting.batch, device=setting.device) % 10
        self.logits = {
            choice.name: torch.zeros(len(choice.options), device=setting.device).requires_grad_()
            for choice in graph.choices
        }
        self.weights = list(self.module.parameters())
        self.optimiser: Any = torch.optim.SGD(
            self.weights, 0.025, momentum=0.9, weight_decay=3e-4, foreach=True
        )

    def launch(self) -> None:
        """Forward, backward to weights and mixtures, clipping, SGD; the device may still run."""
        import torch
        import torch.nn.functional as F

        self.optimiser.zero_grad()
        precision = torch.autocast(self.device, torch.bfloat16) if self.half else nullcontext()
        with precision:
            mixture = {name: row.softmax(0) for name, row in self.logits.items()}
            loss: Any = F.cross_entropy(self.module(self.image, mixture), self.labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.optimiser.step()

    def __call__(self) -> None:
        """The step, to its end."""
        import torch

        self.launch()
        if self.device == "cuda":
            torch.cuda.synchronize()

    def kernels(self) -> int:
        """How many kernels the device launches in a step; of operators where it is a CPU."""
        from torch.profiler import ProfilerActivity, profile

        gpu = self.device == "cuda"
        with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as found:
            self()
        events: Any = found.key_averages()
        return sum(event.count for event in events)

    def peak(self) -> int:
        """The most bytes that tensors take during a step; 0 on a CPU."""
        import torch

        if self.device != "cuda":
            return 0
        torch.cuda.reset_peak_memory_stats()
        self()
        return torch.cuda.max_memory_allocated()


def missing() -> str:
    """Why this cannot be measured here; empty if it can."""
    import torch

    return "" if torch.cuda.is_available() else "there is no GPU"


def steps(space: str, setting: Setting) -> dict[str, Step]:
    """The ways to run a supernet, eager and as published first."""
    import lowering
    import nasir

    size: dict[str, Any] = dict(setting.size)
    graph = nasir.supernet(space, resolution=setting.resolution, **size)
    return {
        f"{space}, as published": Step(graph, setting, _same, optimise=False),
        f"{space}, as published, bf16": Step(graph, setting, _same, optimise=False, half=True),
        f"{space}, eager": Step(graph, setting, _same),
        f"{space}, compiled": Step(graph, setting, lowering.compile),
        f"{space}, compiled, bf16": Step(graph, setting, lowering.compile, half=True),
        f"{space}, compiled, states": Step(graph, setting, lowering.compile, memory="states"),
    }


def _same(module: Any) -> Any:
    return module


def measured(space: str, setting: Setting, rounds: int) -> list[Result]:
    """Times, images a second, kernels and memory of a space's supernet."""
    candidates = steps(space, setting)
    for step in candidates.values():
        for _ in range(3):  # compiling, recording graphs
            step()
    times = interleaved(candidates, rounds, floors={f"{space}, compiled": 5.0})
    speeds = {row.name: setting.batch / row.median for row in times}
    launched = {name: float(step.kernels()) for name, step in candidates.items()}
    peaks = {name: float(step.peak()) for name, step in candidates.items()}
    rows = [*times, *amounts(speeds, unit="images a second"), *amounts(launched, unit="kernels")]
    return rows + (amounts(peaks) if all(peaks.values()) else [])


def supernets(rounds: int) -> list[Result]:
    """DARTS (16, 8) and NAS-Bench-201 (16, 5), batches of 64."""
    return [row for space in SPACES for row in measured(space, Setting(), rounds)]

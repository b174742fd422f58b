"""Discrete networks: a training step, and inference in every form that there is."""

from collections.abc import Callable
from importlib.util import find_spec

from benchmarks.measure import Result, interleaved


def no_runtime() -> str:
    """Why inference is not measured."""
    return "" if find_spec("onnxruntime") else "onnxruntime is not installed"


def training(rounds: int) -> list[Result]:
    """A step of DARTS_V2 (36, 20, auxiliary head) on 32 images: forward, backward, SGD."""
    import torch
    import torch.nn.functional as F

    import lowering
    import nasir

    graph = nasir.network("darts_v2", auxiliary=True)
    source = torch.Generator().manual_seed(0)
    image = torch.randn(32, 3, 32, 32, generator=source)
    label = torch.randint(10, (32,), generator=source)

    def step(network: lowering.Network) -> Callable[[], object]:
        optimiser = torch.optim.SGD(
            network.parameters(), 0.025, momentum=0.9, weight_decay=3e-4, foreach=True
        )

        def once() -> None:
            logits, auxiliary = network(image)
            loss = F.cross_entropy(logits, label) + 0.4 * F.cross_entropy(auxiliary, label)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()  # pyright: ignore[reportUnknownMemberType]

        return once

    shared = lowering.to_torch(graph)
    return interleaved(
        {
            "as published": step(lowering.to_torch(graph, optimise=False)),
            "passes": step(shared),
            "as nasir evaluate trains": step(lowering.prepare_training(lowering.to_torch(graph))),
        },
        max(3, rounds // 2),
    )


def _inference(batch: int, rounds: int) -> list[Result]:
    import tempfile
    from pathlib import Path

    import torch

    import lowering
    import nasir
    from runners.forms.compile import AUTO
    from runners.forms.table import FormSource, find_forms
    from runners.task.score import evaluate

    graph = nasir.network("darts_v2")
    module = lowering.to_torch(graph).eval()
    image = torch.randn(batch, 3, 32, 32)
    with tempfile.TemporaryDirectory() as folder:
        source = FormSource(graph, module, batch)
        runs: dict[str, Callable[..., object]] = {}
        for form in find_forms(AUTO, "cpu"):
            path = Path(folder) / f"{form.name}{form.suffix}"
            if not form.memory:
                form.write(source, path)
            runs[form.name] = form.load(source, path)

        def call(name: str) -> Callable[[], object]:
            return lambda: evaluate(runs[name], image)

        return interleaved({name: call(name) for name in runs}, rounds)


def inference_one(rounds: int) -> list[Result]:
    """DARTS_V2 (36, 20) on CIFAR-10 images, batch 1."""
    return _inference(1, rounds)


def inference_many(rounds: int) -> list[Result]:
    """DARTS_V2 (36, 20) on CIFAR-10 images, batch 32."""
    return _inference(32, max(3, rounds // 2))

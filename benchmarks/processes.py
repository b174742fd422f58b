"""Steps of a search in one process and in two, and images that workers decode.

As a program it is one of the processes: it takes a step for each line of its input.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Result, amounts, interleaved
from runners.machine.machine import OPENMP

ONE, TWO = "one process, two threads", "two processes, one thread each"


def searches(rounds: int) -> list[Result]:
    """DARTS (16, 8), batch 64: a step of the architecture (first order) and one of the weights."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.npz"
        _write_images(data)
        groups = {ONE: _Group(1, 2, data), TWO: _Group(2, 1, data)}
        try:
            rows = interleaved({n: g.step for n, g in groups.items()}, rounds, None, {TWO: 0.9})
            sent = groups[TWO].bytes_sent()
        finally:
            for group in groups.values():
                group.end()
    ideal = groups[TWO].ideal
    found = {"gradients and sums, the least": ideal, "sent by both, loopback": sent}
    return [*rows, *amounts(found)]


class _Group:
    """Processes of one search, which wait for a line."""

    def __init__(self, count: int, threads: int, data: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.members: list[subprocess.Popen[str]] = []
        for rank in range(count):
            own = {"RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
            own |= {"MASTER_PORT": str(port), "OMP_NUM_THREADS": str(threads)}
            command = [sys.executable, "-m", "benchmarks.processes", str(data)]
            member = subprocess.Popen(
                command,
                env={**os.environ, **OPENMP, **own},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self.members.append(member)
        self.ideal = max(float(line) for line in self._lines())

    def step(self) -> None:
        """One step of all members."""
        for member in self.members:
            assert member.stdin is not None
            member.stdin.write("\n")
            member.stdin.flush()
        self._lines()

    def bytes_sent(self) -> float:
        """The bytes that the loopback device carries in a step, of five."""
        before = _loopback()
        for _ in range(5):
            self.step()
        return (_loopback() - before) / 5

    def end(self) -> None:
        for member in self.members:
            member.kill()
            member.wait()

    def _lines(self) -> list[str]:
        found: list[str] = []
        for member in self.members:
            assert member.stdout is not None
            found.append(member.stdout.readline())
        return found


def _loopback() -> int:
    rows = Path("/proc/net/dev").read_text().splitlines()
    row = next(row for row in rows if row.strip().startswith("lo:"))
    return int(row.split()[9])


def _write_images(path: Path) -> None:
    import numpy as np

    source = np.random.default_rng(0)
    images = source.integers(256, size=(1280, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(1280) % 10
    np.savez(path, x_train=images, y_train=labels, x_test=images[:10], y_test=labels[:10])


def work(data: str) -> None:
    """Takes a step for each line; prints first the bytes that two processes have to exchange."""
    from dataclasses import replace

    from runners.experiment.build import build_search, stage_graph
    from runners.experiment.experiment import Experiment, Search
    from runners.experiment.learner import Moment
    from runners.experiment.supernet import Supernet

    built = build_search(Experiment(of="darts", search=Search(method="darts"), data=data))
    assert built.supernet is not None
    method = built.method
    graph = stage_graph(built.supernet, method, method.stages[0], {}, built.space)
    learner = Supernet(built, graph, print)
    learner.run.train()
    values = [*learner.weights, *learner.leaves]
    # Of two, each sends as many bytes as it reduces.
    print(2 * sum(value.numel() * value.element_size() for value in values), flush=True)
    tally = learner.task.tally()
    for number, _ in enumerate(sys.stdin):
        step = number % learner.task.steps(0)
        at = Moment(0, 0, 50, 0, step, purpose="weights")
        batch = learner.task.train(0, step)
        method.architect.step(learner, batch, replace(at, purpose="architect"))
        learner.logit_optimiser.zero_grad()
        learner.reseed(at)
        learner.learn(batch, learner.inputs(at), at, tally)
        print("done", flush=True)


def decoding(rounds: int) -> list[Result]:
    """JPEG images of 500x375 pixels to windows of 224: a batch of 64 in the main process."""
    import torch

    from runners.data.load import load_images
    from runners.experiment.recipe import ImagesSection
    from runners.machine.device import find_place
    from runners.task.batches import Batches

    with tempfile.TemporaryDirectory() as folder:
        _write_photos(Path(folder))
        images = load_images(f"imagenet:{folder}")

        def epoch(workers: int) -> Callable[[], object]:
            made = Batches(
                images.train,
                torch.arange(len(images.train)),
                images.statistics,
                find_place(workers=workers),
                name="train",
                seed=0,
                batch=64,
                augment=ImagesSection(flip=True, area=0.08),
            )
            return lambda: [made.at(0, step) for step in range(len(made))]

        cores = os.cpu_count() or 1
        names = {f"threads, {len(images.train)} images": 0, f"{cores} workers": cores}
        return interleaved({n: epoch(w) for n, w in names.items()}, max(3, rounds // 3))


def _write_photos(folder: Path, count: int = 512) -> None:
    import numpy as np
    from PIL import Image

    source = np.random.default_rng(0)
    for place in range(count):
        path = folder / "train" / f"n{place % 2}" / f"{place:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = source.integers(256, size=(24, 32, 3)).astype(np.uint8)
        Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
        if place < 2:
            test = folder / "val" / f"n{place}" / "0.jpg"
            test.parent.mkdir(parents=True, exist_ok=True)
            test.write_bytes(path.read_bytes())


if __name__ == "__main__":
    work(sys.argv[1])

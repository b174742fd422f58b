"""Settings that every test runs under."""

import os
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from runners.machine.machine import set_openmp_wait_policy
from runners.task import score

settings.register_profile("gate", derandomize=True, deadline=None, print_blob=True, max_examples=20)
settings.register_profile("full", settings.get_profile("gate"), max_examples=100)


def pytest_configure(config: pytest.Config) -> None:
    """Laws have all of their examples where they are asked for by hypothesis' own marker."""
    asked = "hypothesis" in str(config.getoption("markexpr"))
    settings.load_profile("full" if asked else "gate")


set_openmp_wait_policy()

# Tests look at what is measured, not at how steady it is.
score.WARM_UP, score.LEAST_RUNS, score.MOST_RUNS = 1, 1, 3

# A background job ignores interrupts, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Inductor's cache does not tell instruction sets apart: code for another one fails to compile.
if "ATEN_CPU_CAPABILITY" in os.environ and "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="nasir-inductor-")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = _compiled.name


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cached lies in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def one_thread() -> Generator[None]:
    """As many threads as other processes have: sums depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of two epochs, `search` and `evaluate`, which tests copy or only read."""
    from tests import searches, trainings

    folder = tmp_path_factory.mktemp("runs")
    searches.run(
        searches.tiny(values={"optimizer.lr": 0.05}, parts={"edges": "softmax"}),
        folder / "search",
    )
    trainings.train(trainings.small(), folder / "evaluate")
    return folder

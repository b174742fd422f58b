"""What networks draw depends on the seed, the epoch and the step alone."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from runners.machine.device import deterministic, reseed


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """torch as it was."""
    settings: Any = torch.utils.deterministic  # whose stub does not know its setting
    state, fill = torch.get_rng_state(), settings.fill_uninitialized_memory
    yield
    torch.set_rng_state(state)
    torch.use_deterministic_algorithms(False)
    settings.fill_uninitialized_memory = fill


def draw(seed: int, epoch: int, step: int) -> float:
    reseed(seed, epoch, step)
    return torch.rand(()).item()


def test_a_step_draws_the_same_whatever_was_drawn_before() -> None:
    first = draw(1, 2, 3)
    torch.rand(100)
    assert draw(1, 2, 3) == first


def test_seeds_epochs_and_steps_draw_differently() -> None:
    drawn = [draw(0, 0, 0), draw(1, 0, 0), draw(0, 1, 0), draw(0, 0, 1)]
    drawn += [draw(0, 1, 11), draw(0, 11, 1)]
    assert len(set(drawn)) == len(drawn)


def test_deterministic_asks_torch_for_it_and_says_how_many_threads_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    assert deterministic(7) == torch.get_num_threads()
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    first = torch.rand(())
    deterministic(7)
    assert torch.equal(torch.rand(()), first)

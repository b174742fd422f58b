"""The benchmark of supernets on a GPU, as far as it goes without one."""

import pytest
import torch

from benchmarks import gpu
from benchmarks.rows import BENCHMARKS

SETTING = gpu.Setting("cpu", batch=4, resolution=8, size=(("channels", 2), ("layers", 1)))


@pytest.mark.slow
def test_every_way_to_run_a_supernet_is_measured() -> None:
    rows = gpu.measured("nasbench201", SETTING, rounds=1)
    assert {row.unit for row in rows} == {"seconds", "images a second", "kernels"}
    assert len(rows) == 3 * len(gpu.steps("nasbench201", SETTING))
    assert all(row.median > 0 for row in rows)
    launched = {row.name: row.median for row in rows if row.unit == "kernels"}
    assert launched["nasbench201, eager"] < launched["nasbench201, as published"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    (row,) = (row for row in BENCHMARKS if row.name == "gpu")
    assert row.missing() == "there is no GPU"

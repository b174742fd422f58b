"""The stand-alone Python file as a file: what it needs, how it reads, and what it refuses."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

import nasir
from lowering.python import to_python
from lowering.python.rules import CODES, LAYERS, LOOPS
from lowering.torch import to_torch
from nasir import Graph
from nasir.ops import PRIMITIVES

BLOCKED = """
import importlib.abc
import runpy
import sys

OURS = ("nasir", "lowering", "runners", "safetensors", "numpy", "pydantic", "networkx")

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in OURS:
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
runpy.run_path(sys.argv[1], run_name="__main__")
assert not set(OURS).intersection(sys.modules), sorted(set(OURS).intersection(sys.modules))
"""

GOLDEN = '''\
class Cell(nn.Module):
    """The cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.n1_e0_avg_pool_3x3 = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.n2_e1_nor_conv_3x3 = NorConv3x3(channels)
        self.n3_e0_nor_conv_1x1 = NorConv1x1(channels)

    def forward(self, x: Tensor) -> Tensor:
        n1_e0 = self.n1_e0_avg_pool_3x3(x)
        n2 = x + self.n2_e1_nor_conv_3x3(n1_e0)
        return self.n3_e0_nor_conv_1x1(x) + n1_e0 + n2
'''
SMALL = (
    "|avg_pool_3x3~0|+|skip_connect~0|nor_conv_3x3~1|"
    "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
)


def exported(graph: Graph, path: Path) -> tuple[Path, Path]:
    return to_python(graph, to_torch(graph), path)


def small() -> Graph:
    return nasir.network(SMALL, channels=4, layers=1)


def run(code: str, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_every_primitive_but_fused_ones_has_one_rule() -> None:
    wanted = [op.name for op in PRIMITIVES.values() if "fused" not in op.traits]
    assert sorted([*LAYERS, *CODES, *LOOPS]) == sorted(wanted)


def test_the_file_runs_where_there_is_only_torch(tmp_path: Path) -> None:
    path, _ = exported(nasir.network("darts_v2", channels=4, layers=3), tmp_path / "net.py")
    result = run(BLOCKED, str(path), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "(1, 10)\n"


def test_the_class_of_a_cell_reads_like_this(tmp_path: Path) -> None:
    path, _ = exported(small(), tmp_path / "net.py")
    assert GOLDEN in path.read_text()


def test_the_weights_file_says_where_it_comes_from(tmp_path: Path) -> None:
    _, weights = exported(nasir.network("darts_v2", channels=4, layers=3), tmp_path / "net.py")
    with safe_open(weights, "pt") as file:
        about = json.loads(file.metadata()["nasir"])
        assert "c00/n2.e0/sep_conv_3x3/dw1.weight" in file.keys()  # noqa: SIM118 (no mapping)
    assert nasir.load_genotype(about["genotype"]) == nasir.load_genotype("darts_v2")
    assert about["space"] == "darts"
    assert about["version"] == nasir.__version__


def refused(path: Path) -> str:
    """Why the file in that folder does not load its weights."""
    with pytest.raises(ValueError, match=r"net\.safetensors") as caught:
        runpy.run_path(str(path / "net.py"))["load"]()
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 5, 8, 100, -1, -4000])
def test_a_truncated_weights_file_is_refused_in_one_line(size: int, tmp_path: Path) -> None:
    _, weights = exported(small(), tmp_path / "net.py")
    weights.write_bytes(weights.read_bytes()[:size])
    message = refused(tmp_path)
    assert "net.safetensors is truncated" in message
    assert "\n" not in message


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    exported(small(), tmp_path / "net.py")
    _, other = exported(nasir.network(SMALL, channels=8, layers=1), tmp_path / "other.py")
    other.replace(tmp_path / "net.safetensors")
    assert "has the shape [8, 3, 3, 3], not [4, 3, 3, 3]" in refused(tmp_path)
    less = nasir.network(SMALL.replace("nor_conv_3x3", "none"), channels=4, layers=1)
    _, other = exported(less, tmp_path / "other.py")
    other.replace(tmp_path / "net.safetensors")
    assert "has no weight for 'c00.n2_e1_nor_conv_3x3.conv.weight'" in refused(tmp_path)

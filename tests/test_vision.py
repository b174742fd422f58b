"""torchvision beside a torch that its compiled part does not fit, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import ROOT

pytestmark = pytest.mark.slow

DESCRIBES = """
import torch
for name in ("nms", "qnms"):
    @torch.library.register_fake(f"torchvision::{name}")
    def _(dets, scores, iou_threshold):
        return scores.new_empty(0)
"""
"""What torchvision does on its import; its compiled part, which declares these, is not there."""


def run(path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """A program that finds packages in a folder before all others."""
    setup = f"import sys; sys.path[:0] = [{str(path)!r}, {str(ROOT)!r}]\n"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", setup + code],
        check=False,
        capture_output=True,
        text=True,
    )


def package(path: Path, text: str) -> Path:
    """A folder with a package of that name."""
    (path / "torchvision").mkdir()
    (path / "torchvision" / "__init__.py").write_text("from torchvision import ops\n")
    (path / "torchvision" / "ops.py").write_text(text + "\nloaded = True\n")
    return path


def test_a_build_that_does_not_match_is_imported_and_its_ops_do_not_run(tmp_path: Path) -> None:
    done = run(
        package(tmp_path, DESCRIBES),
        "import torch\n"
        "from runners.data.load import import_torchvision\n"
        "assert import_torchvision().ops.loaded\n"
        "assert import_torchvision() is sys.modules['torchvision']\n"
        "try:\n"
        "    torch.ops.torchvision.nms(torch.rand(1, 4), torch.rand(1), 0.5)\n"
        "except NotImplementedError:\n"
        "    print('not run')\n",
    )
    assert (done.stdout, done.returncode) == ("not run\n", 0), done.stderr


def test_any_other_failure_of_its_import_is_e501(tmp_path: Path) -> None:
    done = run(
        package(tmp_path, "raise RuntimeError('something else')"),
        "from runners.data.load import import_torchvision\nimport_torchvision()\n",
    )
    assert done.returncode == 1
    assert "E501 torchvision cannot be imported: something else" in done.stderr


def test_the_installed_torchvision_transforms_images() -> None:
    done = run(
        ROOT,
        "import torch\nfrom runners.data.load import import_torchvision\nimport_torchvision()\n"
        "import torchvision.transforms\n"
        "print(tuple(torchvision.transforms.RandomCrop(2)(torch.rand(3, 4, 4)).shape))\n",
    )
    assert done.stdout == "(3, 2, 2)\n", done.stderr

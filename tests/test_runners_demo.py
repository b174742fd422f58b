"""The demonstration, on networks of its own kinds but smaller."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import nasir
from nasir.errors import NasirError
from runners.demo import CASES, Result, run_case
from runners.demo.__main__ import write_reports
from runners.demo.apart import run_file
from runners.demo.pictures import as_input, pictures, png
from runners.experiment.size import NetworkSize
from runners.forms.progress import Silent

SMALL = (
    NetworkSize(channels=4, layers=3),
    NetworkSize(channels=4, layers=3),
    NetworkSize(layers=1),
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Result, ...]]:
    """The directory with the reports, and the results."""
    directory = tmp_path_factory.mktemp("demo")
    cases = [replace(case, size=size) for case, size in zip(CASES, SMALL, strict=True)]
    results = tuple(
        run_case(case, directory / case.directory, Silent(), fast=False) for case in cases
    )
    write_reports(results, directory)
    return directory, results


def test_every_way_to_run_a_network_agrees(shown: tuple[Path, tuple[Result, ...]]) -> None:
    for result in shown[1]:
        assert len(result.runs) == 4
        assert all(run.difference < 1e-4 for run in result.runs if run.difference is not None)


def test_the_networks_tell_the_pictures_apart(shown: tuple[Path, tuple[Result, ...]]) -> None:
    for result in shown[1]:
        logits = result.runs[0].logits
        assert logits is not None
        assert np.abs(np.ptp(np.array(logits), axis=0)).max() > 0.01


def test_every_onnx_file_gave_its_genotype_back(shown: tuple[Path, tuple[Result, ...]]) -> None:
    assert all(result.returned for result in shown[1])


def test_the_cases_come_from_three_formats() -> None:
    darts, nnabla, benchmark = (nasir.load_genotype(case.genotype) for case in CASES)
    assert darts.space == nnabla.space == "darts"
    assert benchmark.space == "nasbench201"


def test_the_reports_name_files_that_are_there(shown: tuple[Path, tuple[Result, ...]]) -> None:
    directory, _ = shown
    page = (directory / "report.html").read_text(encoding="utf-8")
    text = (directory / "report.md").read_text(encoding="utf-8")
    links = re.findall(r'href="([^#"]+)"', page) + re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    assert all((directory / link).is_file() for link in links)
    assert set(json.loads((directory / "report.json").read_text())) == {
        case.directory for case in CASES
    }


def test_the_page_needs_no_other_file(shown: tuple[Path, tuple[Result, ...]]) -> None:
    page = (shown[0] / "report.html").read_text(encoding="utf-8")
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]+)"', page))
    assert "<script" not in page
    assert page.count("<section") == page.count("</section>") == 4


def test_pictures_have_colours_and_become_normalised_input() -> None:
    images = pictures()
    assert all(image.shape == (32, 32, 3) and image.std() > 0.05 for image in images.values())
    batch = as_input(images)
    assert batch.shape == (len(images), 3, 32, 32)
    assert batch.dtype == torch.float32
    assert png(next(iter(images.values()))).startswith(b"\x89PNG")


def test_a_file_that_fails_by_itself_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("import nasir_is_not_here\n")
    with pytest.raises(NasirError, match="No module named") as caught:
        run_file(path, torch.zeros(1))
    assert caught.value.code == "E504"

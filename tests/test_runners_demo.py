"""The demonstration, and the page of reports, on networks of its kinds but smaller."""

import re
from pathlib import Path

import pytest

from runners.experiment.sizes import NetworkSize
from runners.folder.display import Display
from runners.forms.demo import CASES, run_demo
from tests.command_line import RESNET, call

SMALL = {
    "darts_v2": NetworkSize(channels=4, layers=3),
    "nnabla": NetworkSize(channels=4, layers=3),
    "nasbench201": NetworkSize(layers=1),
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the demonstration."""
    cases = {
        name: (genotype, options.having(size=SMALL[name], compile=False))
        for name, (genotype, options) in CASES.items()
    }
    report, edit = run_demo(cases, tmp_path_factory.mktemp("demo"), Display())
    assert '"title": "DARTS_V2"' in edit.read_text(encoding="utf-8")
    return report


def test_the_page_links_files_that_are_there(shown: Path) -> None:
    links = re.findall(r'href="([^#"]+)"', shown.read_text(encoding="utf-8"))
    assert len(links) > 15
    assert all((shown.parent / link).is_file() for link in links)


def test_the_page_needs_no_other_file(shown: Path) -> None:
    page = shown.read_text(encoding="utf-8")
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]+)"', page))
    assert "<script" not in page
    assert page.count("<section") == page.count("</section>") == len(CASES)


def test_a_report_is_a_page_where_its_name_says_so(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    done = call("compile", RESNET, "--layers", "1", "--no-compile", "--report", path)
    assert f"wrote {path}" in done.out
    page = path.read_text(encoding="utf-8")
    assert page.count("<section") == 1
    assert all(form in page for form in ("eager", "folded"))

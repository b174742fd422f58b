"""Pages of `nasir view` without a browser: documents, tables of costs, errors, the server."""

import hashlib
import json
import re
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

import nasir
from nasir.cost_rows import Spent, cost_rows
from nasir.space import catalog
from nasir.space.own_skeletons import find_skeleton
from runners.view import html_page, serve
from runners.view.page import TEMPLATE
from tests.command_line import ROOT, call
from tests.run_directories import Course, write_run
from tests.test_nested_cells import SPACE as NESTED
from tests.test_totals import with_where

SPACES = {**catalog(), "nested": NESTED, "sizes": with_where("params > 0")}


def document_of(file: Path) -> Any:
    found = re.search(
        r'<script id="document" type="application/json">(.*?)</script>', file.read_text(), re.DOTALL
    )
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("name", SPACES)
def test_sums_of_the_tables_are_the_costs_of_any_genotype(name: str) -> None:
    space = SPACES[name]
    skeleton = find_skeleton(space.skeleton)
    rows = cost_rows(nasir.sample(space, 0), skeleton, {})
    assert rows.exact
    drawn = [nasir.sample(space, seed) for seed in range(1, 5)]
    expected = [Spent(*found[:2]) for found in nasir.costs(space, drawn)]
    assert [rows.spent(genotype) for genotype in drawn] == expected


def test_tables_are_of_the_skeleton_and_size_that_are_asked_for() -> None:
    rows = cost_rows(nasir.load_genotype("darts_v2"), find_skeleton("imagenet"), {"channels": 16})
    other = nasir.load_genotype("darts_v1")
    found = nasir.cost(nasir.network(other, "imagenet", channels=16))
    assert rows.spent(other) == (found.params, found.macs)


CONCATENATING = """
nasir: 1
space: wide
skeleton: cifar
cells:
  normal: {inputs: 2, nodes: 2, ops: [skip_connect, sep_conv_3x3], keep: 2, combine: concat,
           output: [3]}
  reduce: {like: normal}
"""


def test_tables_say_where_costs_are_no_sum() -> None:
    space = nasir.load_space(CONCATENATING)
    assert not cost_rows(nasir.sample(space, 0), find_skeleton("cifar"), {}).exact


def test_the_template_was_built_from_the_sources_that_are_there() -> None:
    folder = ROOT / "page"
    found = hashlib.sha256()
    for file in (*sorted((folder / "src").iterdir()), folder / "package-lock.json"):
        found.update(f"{file.relative_to(folder).as_posix()}\n".encode() + file.read_bytes())
    built = re.search(r'<meta name="sources" content="(\w+)">', TEMPLATE.read_text())
    assert built, "the template has no hash"
    assert built[1] == found.hexdigest(), "run `make page`"


def test_the_template_has_the_licences_of_what_is_in_it_and_loads_nothing() -> None:
    licences = TEMPLATE.with_name("page.licences.txt").read_text()
    lock = json.loads((ROOT / "page/package-lock.json").read_text())["packages"]
    for name in ("preact", "@dagrejs/dagre", "d3-scale", "d3-shape", "d3-array"):
        assert f"{name} {lock[f'node_modules/{name}']['version']} (" in licences
    page = TEMPLATE.read_text()
    assert not re.search(r"<(?:link|script|img)[^>]*(?:src|href)=[\"']?http", page)
    assert "default-src 'none'" in page
    assert len(page) < 1 << 20


def test_a_document_cannot_end_its_element() -> None:
    page = html_page({"kind": "run", "title": "</script><script>alert(1)</script><!--"})
    assert page.count("</script>") == TEMPLATE.read_text().count("</script>")


def test_a_page_of_each_kind_of_thing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Course("nasbench201", 3))
    made = {
        "genotype": ("darts_v1", "--layers", "3"),
        "space": ("nasbench201", "--draws", "10"),
        "run": (run,),
        "runs": (run, write_run(tmp_path / "other", Course("darts", 2))),
    }
    for kind, arguments in made.items():
        file = tmp_path / f"{kind}.html"
        done = call("view", *arguments, "-o", file, "--json")
        assert json.loads(done.out) == {"kind": kind, "file": str(file)}
        assert document_of(file)["kind"] == kind
        assert file.stat().st_size < 3 << 20


def test_a_genotype_outside_of_its_space_has_the_reasons(tmp_path: Path) -> None:
    text = "Genotype(normal=[[('none', 0)], [('none', 0)]], normal_concat=[2, 3], reduce=[[('none'"
    text += ", 0)], [('none', 0)]], reduce_concat=[2, 3])"
    done = call("view", text, "-o", tmp_path / "page.html", "--layers", "3")
    assert done.code == 0
    assert document_of(tmp_path / "page.html")["reasons"]


def test_wrong_arguments_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run = write_run(tmp_path / "run", Course("nasbench201", 2))
    for arguments, code in (
        ((tmp_path / "empty",), "E721"),
        (("darts_v1", "darts_v2"), "E505"),
        ((run, "--layers", "3"), "E505"),
        (("darts_v2", "--benchmark", run), "E505"),
        (("darts_v2", "-o", tmp_path), "E112"),
        (("dart_v2",), "E201"),
    ):
        done = call("view", *arguments)
        assert (done.code, code in done.err) == (2 if code != "E112" else 1, True), done.err


def test_the_page_is_served_on_this_machine_alone() -> None:
    with serve("<!doctype html>page") as server:
        Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        address = f"http://127.0.0.1:{port}"
        with urlopen(f"{address}/") as found:
            assert found.read() == b"<!doctype html>page"
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{address}/etc/passwd")
        server.shutdown()

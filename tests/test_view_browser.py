"""Pages of `nasir view` as a reader uses them: edits, costs, downloads, keys, narrow windows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nasir
from nasir import NasirError
from nasir.formats import FORMATS
from tests.command_line import RESNET, call
from tests.run_directories import Course, write_run
from tests.test_nested_cells import TEXT as NESTED
from tests.test_totals import SMALL as SMALL_SPACE
from tests.view_pages import Shown, browser

SMALL = ("--channels", "8", "--layers", "6")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


def shown(chromium: Any, folder: Path, *arguments: str | Path, **settings: Any) -> Shown:
    file = folder / "page.html"
    done = call("view", *arguments, "-o", file)
    assert done.code == 0, done.err
    return Shown(chromium, file, **settings)


def costs_of(text: str, folder: Path, *size: str) -> tuple[int, int]:
    file = folder / "edited.json"
    file.write_text(text, encoding="utf-8")
    found = json.loads(call("cost", file, *size, "--json").out)
    return found["params"], found["macs"]


def test_an_edit_costs_what_nasir_cost_says_and_can_be_undone(
    chromium: Any, tmp_path: Path
) -> None:
    view = shown(chromium, tmp_path, "darts_v2", *SMALL)
    page, first = view.page, view.totals()
    assert first == costs_of(view.download("nasir"), tmp_path, *SMALL)
    view.click("normal/5/1")
    page.get_by_label("op", exact=True).select_option("sep_conv_5x5")
    assert view.totals() != first
    page.get_by_label("source", exact=True).select_option("1")
    view.click("reduce/2/0")
    page.get_by_label("op", exact=True).select_option("skip_connect")
    text, edited = view.download("nasir"), view.totals()
    assert edited == costs_of(text, tmp_path, *SMALL)
    read = nasir.load_genotype(text)
    assert read.cell("normal").nodes[3][1] == nasir.Edge("sep_conv_5x5", 1)
    assert read.cell("reduce").nodes[0][0] == nasir.Edge("skip_connect", 0)
    for _ in range(3):
        page.keyboard.press("Control+z")
    assert view.totals() == first
    page.click("text=Redo")
    page.keyboard.press("Control+y")
    page.keyboard.press("Control+Shift+z")
    assert view.totals() == edited
    view.close()


def test_edges_are_edited_by_keys_alone(chromium: Any, tmp_path: Path) -> None:
    view = shown(chromium, tmp_path, RESNET, "--layers", "1")
    page = view.page
    while page.evaluate("document.activeElement.dataset.spot") != "cell/1/0":
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert "avg_pool_3x3~0|+" in view.download("nasbench201")
    page.keyboard.press("Control+z")
    view.spot("cell/2/1").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.tagName == 'SELECT'")
    page.keyboard.press("Home")
    assert "none~1" in view.download("nasbench201")
    assert view.totals() == costs_of(view.download("nasir"), tmp_path, "--layers", "1")
    view.close()


def test_what_the_pointer_is_on_tells_its_shapes_and_costs(chromium: Any, tmp_path: Path) -> None:
    view = shown(chromium, tmp_path, "darts_v2", *SMALL)
    view.page.click('[aria-label^="c05:"]')
    view.spot("normal/2/0").locator("rect").hover()
    tip = view.page.inner_text(".tip")
    assert "sep_conv_3x3" in tip
    assert "32×8×8 → 32×8×8 in layer c05" in tip
    rows = nasir.cost(nasir.network("darts_v2", channels=8, layers=6)).nodes
    edge = [row for row in rows if row.name.startswith("c05/n2.e0/")]
    assert f"{sum(row.params for row in edge):,} parameters" in tip
    assert f"{sum(row.macs for row in edge):,} multiply-adds" in tip
    view.close()


@pytest.mark.parametrize(
    "space",
    [
        "darts",
        "nasbench201",
        "darts_rnn",
        "nasnet",
        "nasbench101",
        "nasbench1shot1_1",
        "natsbench_size",
        "transnasbench101",
        "s2",
    ],
)
def test_every_format_is_written_as_nasir_writes_it(
    space: str, chromium: Any, tmp_path: Path
) -> None:
    file = tmp_path / "genotype.json"
    file.write_text(nasir.dump_genotype(nasir.sample(space, 3)))
    genotype = nasir.load_genotype(file)
    view = shown(chromium, tmp_path, file)
    written = dict(view.formats())
    assert {*written} == {n for n, row in FORMATS.items() if row.dump} | {"yaml", "svg"}
    for name, can in written.items():
        if name == "svg":
            assert view.download(name).startswith("<svg")
        elif name == "yaml":
            assert nasir.load_genotype(_written(tmp_path, view.download(name))) == genotype
        elif can:
            assert view.download(name) == nasir.dump_genotype(genotype, name), name
        else:
            with pytest.raises(NasirError):
                nasir.dump_genotype(genotype, name)
    view.close()


def _written(folder: Path, text: str) -> Path:
    file = folder / "genotype.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "space",
    [
        "darts",
        "nasbench201",
        "nasnet",
        "nasbench101",
        "s1",
        "nasbench1shot1_3",
        "natsbench_size",
        "darts_rnn",
        NESTED,
        SMALL_SPACE.format("params > 2k"),
    ],
)
def test_samples_of_a_space_are_its_own_and_cost_what_nasir_says(
    space: str, chromium: Any, tmp_path: Path
) -> None:
    given: str | Path = space
    if "\n" in space:
        given = tmp_path / "space.yaml"
        given.write_text(space)
    loaded = nasir.load_space(given)
    view = shown(chromium, tmp_path, given, "--draws", "20")
    seen: set[str] = set()
    for _ in range(6):
        view.page.click("text=Sample again")
        text = view.download("nasir")
        genotype = nasir.load_genotype(text)
        assert loaded.contains(genotype) == ()
        (found,) = nasir.costs(loaded, [genotype])
        assert view.totals() == (found.params, found.macs)
        seen.add(text)
    assert len(seen) > 3
    view.close()


def test_edges_of_modules_come_and_go_within_the_space(chromium: Any, tmp_path: Path) -> None:
    view = shown(chromium, tmp_path, "nasbench101", "--draws", "5")
    space = nasir.load_space("nasbench101")
    for place in ("cell/1/-1", "cell/2/-1", "cell/3/-1"):
        if not view.spot(place).count():
            continue
        view.click(place)
        ticks = view.page.locator(".inspector input:not(:disabled)")
        if ticks.count():
            ticks.last.click()
        view.page.get_by_label("op", exact=True).select_option("conv3x3-bn-relu")
        genotype = nasir.load_genotype(view.download("nasir"))
        assert space.contains(genotype) == ()
        (found,) = nasir.costs(space, [genotype])
        assert view.totals() == (found.params, found.macs)
    view.close()


def test_a_run_shows_the_cells_and_weights_of_the_epoch_under_the_slider(
    chromium: Any, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", Course("darts", 6, eigenvalues=True))
    view = shown(chromium, tmp_path, run)
    page = view.page
    assert "selection of epoch 5" in page.inner_text("main")
    page.get_by_label("epoch before").click()
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    assert "selection of epoch 0" in page.inner_text("main")
    weights = json.loads((run / "architecture.jsonl").read_text().splitlines()[0])["weights"]
    name, row = next(iter(weights.items()))
    found = page.locator(f'td[title^="{name}: "]')
    values = [float(found.nth(i).get_attribute("title").split()[-1]) for i in range(len(row))]
    assert values == pytest.approx(row, rel=1e-3)
    titles = page.locator("figcaption").all_inner_texts()
    assert {"loss (nats)", "accuracy (%)", "entropy of decisions (nats)", "skip connections"} <= {
        *titles
    }
    assert any("eigenvalue" in title for title in titles)
    view.close()


def test_runs_stand_side_by_side_with_one_slider(chromium: Any, tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / name, Course(space, 4, method=name))
        for name, space in (("darts", "nasbench201"), ("drnas", "nasbench201"))
    ]
    view = shown(chromium, tmp_path, *runs)
    view.page.get_by_label("epoch before").click()
    text = view.page.inner_text("main")
    assert text.count("selection of epoch 2") == 2
    assert "settings that differ" in text
    view.close()


def test_a_compilation_shows_its_passes_and_forms(chromium: Any, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    done = call("compile", RESNET, "--layers", "1", "--no-compile", "-o", folder)
    assert done.code == 0
    view = shown(chromium, tmp_path, folder)
    text = view.page.inner_text("main")
    report = json.loads((folder / "report.json").read_text())
    assert all(each["form"] in text for each in report["forms"])
    assert all(each["name"] in text for each in report["passes"])
    view.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_window_of_400_pixels(scheme: str, chromium: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Course("darts", 3))
    settings: dict[str, Any] = {"viewport": {"width": 400, "height": 800}, "color_scheme": scheme}
    for arguments in (("darts_v2",), ("nasbench201", "--draws", "20"), (run,)):
        view = shown(chromium, tmp_path, *arguments, **settings)
        background = view.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) < 200) == (scheme == "dark")
        view.close()


def test_names_from_files_are_text_and_nothing_else(chromium: Any, tmp_path: Path) -> None:
    name = "</script><img src=x onerror=alert(1)><!--"
    data = json.loads(nasir.dump_genotype("darts_v2"))
    data["genotype"] |= {"name": name, "source": "<script>alert(2)</script>"}
    file = tmp_path / "hostile.json"
    file.write_text(json.dumps(data))
    view = shown(chromium, tmp_path, file)
    assert view.page.inner_text("h1") == name
    assert view.page.locator("img").count() == 0
    assert nasir.load_genotype(view.download("nasir")).name == name
    view.close()

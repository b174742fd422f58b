"""Every method and every part goes from its search through plot, replay, resume and compile."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import nasir
from runners.experiment.method import METHODS, PARTS, part_name, read_method, with_parts
from runners.experiment.search import resume
from runners.experiment.trained import replay
from runners.folder.display import Display
from runners.folder.facts import read_facts
from runners.folder.logs import read_rows
from runners.plot import PLOTS, read_run
from tests.command_line import call
from tests.searches import ASKED, ENAS, run, tiny

SPACE = """\
nasir: 1
space: small
skeleton: cifar
cells:
  normal: {inputs: 2, nodes: 2, edges: all, ops: [none, skip_connect, nor_conv_1x1], keep: 2,
           output: [2, 3]}
  reduce: {inputs: 2, nodes: 2, edges: all, keep: 2, output: [2, 3],
           ops: [none, skip_connect, avg_pool_3x3, nor_conv_1x1]}
"""
"""Three options in one kind of cell, four in the other; a node with more edges than it keeps."""

SEARCHES: dict[str, dict[str, Any]] = {
    **{name: {"method": name, **ASKED.get(name, {})} for name in METHODS},
    "edges": {"method": "drnas", "parts": {"edges": "softmax", "regularise": "kl"}},
    "pgd, projected edges": {
        "parts": {"edges": "softmax", "perturb": "pgd", "select": "projection"},
        "epochs": 3,
    },
    "stopped": {"parts": {"stop": "eigenvalue"}, "drop_path": 0.2, "channels_fraction": "1/2"},
    "gumbel, projected": {"parts": {"mixture": "gumbel", "select": "projection"}},
}
FAST = ("drnas-progressive", "enas", "pgd, projected edges")
"""Those whose parts leave most of their own: stages, a controller, projections of edges."""


def test_every_part_occurs_in_a_search() -> None:
    used = {(kind, name) for each in SEARCHES.values() for kind, name in _parts(each)}
    used |= {("value", "table"), ("value", "supernet")}  # tests/test_queries.py
    assert used >= {(kind, name) for kind, parts in PARTS.items() for name in parts}


@pytest.mark.parametrize(
    "name",
    [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SEARCHES],
)
def test_a_search_is_drawn_repeated_gone_on_with_and_compiled(name: str, tmp_path: Path) -> None:
    space = tmp_path / "small.yaml"
    space.write_text(SPACE)
    (tmp_path / "enas.yaml").write_text(ENAS)
    given: dict[str, Any] = {
        "measure": "last",
        "sizes": {"channels": 12, "layers": 3},
        **SEARCHES[name],
    }
    if given.get("method") == "enas":
        given["method"] = str(tmp_path / "enas.yaml")
    found = run(tiny(str(space), **given), tmp_path / "run")
    assert nasir.load_space(space).contains(found.genotype) == ()
    epochs = len(read_rows(tmp_path / "run" / "metrics.jsonl"))
    facts: Any = read_facts(tmp_path / "run")
    assert epochs == found.plan.epochs == facts["plan"]["epochs"]
    if found.plan.stages:
        assert epochs == SEARCHES[name].get("epochs", 2)
        _check_figures(tmp_path / "run")
    assert replay(tmp_path / "run").difference == ""
    _check_resumed(tmp_path / "run")
    size = ("--channels", "4", "--layers", "3", "--no-compile", "-o", tmp_path / "out")
    done = call("compile", tmp_path / "run", *size)
    assert done.code == 0, done.err


def _check_figures(folder: Path) -> None:
    """Everything is drawn but what the method has not."""
    shown = read_run(folder)
    for name in ("curves", "entropy", "trajectory"):
        figure = PLOTS[name](shown)
        assert isinstance(figure, Figure)
        assert figure.axes, name
    for row in shown.architecture:
        assert row.weights.keys() == shown.choices.keys()


def _check_resumed(folder: Path) -> None:
    """The run as a kill after its first epoch leaves it ends as it did."""
    whole = {name: (folder / name).read_bytes() for name in ("genotype.json",)}
    rows = read_rows(folder / "metrics.jsonl")
    for path in sorted((folder / "checkpoints").glob("*"))[1:]:
        path.unlink()
    resume(folder, {}, Display())
    assert {name: (folder / name).read_bytes() for name in whole} == whole
    assert read_rows(folder / "metrics.jsonl") == rows


def _parts(given: dict[str, Any]) -> list[tuple[str, str]]:
    """The parts of a search by kind and name."""
    method = with_parts(read_method(given.get("method", "darts"), "cifar"), given.get("parts", {}))
    parts = {kind: getattr(method, kind) for kind in PARTS}
    return [
        (kind, "none" if part is None else part_name(kind, part)) for kind, part in parts.items()
    ]

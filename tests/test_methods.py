"""The files of search methods against the constants of their papers' code."""

from pathlib import Path

import pytest

from nasir import NasirError
from runners.experiment.architect import Projection
from runners.experiment.fields import RENAMED, with_values
from runners.experiment.method import (
    METHODS,
    Method,
    read_method,
    with_epochs,
    with_fraction,
    with_parts,
)
from runners.experiment.mixture import UniformNoise
from runners.experiment.recipe import Settings, Stage
from tests.refusals import fails_with


def test_a_skeleton_has_stages_of_its_own() -> None:
    found = {
        skeleton: read_method("drnas-progressive", skeleton).stages
        for skeleton in ("cifar", "imagenet_search", "nasbench201")
    }
    assert found["cifar"] == (
        Stage(epochs=25, warm_up=10, parts=6),
        Stage(epochs=25, warm_up=10, options=4, parts=4),
    )
    assert found["imagenet_search"] == (
        Stage(epochs=25, warm_up=10, parts=6),
        Stage(epochs=25, warm_up=10, options=4, parts=3),
    )
    assert found["nasbench201"] == (
        Stage(epochs=50, warm_up=10, parts=4),
        Stage(epochs=50, warm_up=10, options=3, parts=2),
    )


def test_norms_cover_logits_and_weights_go_first_where_the_rows_code_has_it() -> None:
    """DARTS-PT's logits are no parameters of its model; some methods train nothing."""
    apart = {"darts-pt", "sdarts-rs-pt", "blank-pt"}
    for name in METHODS:
        found = read_method(name, "nasbench201")
        if not found.stages:
            continue
        assert found.optimizer.clip_covers == ("weights" if name in apart else "all")
        assert found.logits.order == ("weights-first" if name == "gdas" else "architecture-first")
    for skeleton, covers in (("cifar", "all"), ("nasbench1shot1", "weights"), ("rnn", "weights")):
        found = read_method("gdas", skeleton)
        order = "weights-first" if covers == "all" else "architecture-first"
        assert (found.optimizer.clip_covers, found.logits.order) == (covers, order)
    assert read_method("darts", "cifar").optimizer.clip_covers == "weights"


@pytest.mark.parametrize(
    ("name", "parts", "why"),
    [
        ("darts", {"mixture": "uniform"}, "no gradient for an architect"),
        ("enas", {"architect": "frozen"}, "belong together"),
        ("darts", {"architect": "reinforce"}, "belong together"),
        ("drnas", {"perturb": "noise"}, "moves the weights of a softmax"),
        ("gdas", {"select": "projection"}, "one op runs at a time"),
        ("darts", {"regularise": "kl"}, "Dirichlet"),
        ("blank-pt", {"stop": "eigenvalue"}, "do not learn"),
        ("darts", {"select": "draw"}, "needs no training"),
        ("random", {"select": "best-of"}, "nothing is trained"),
        ("random-ws", {"select": "argmax"}, "prefers nothing"),
    ],
)
def test_parts_that_mean_nothing_together_are_an_error_that_says_why(
    name: str, parts: dict[str, str], why: str
) -> None:
    with fails_with("E505", why) as caught:
        with_parts(read_method(name, "cifar"), parts)
    assert caught.value.hint


def test_an_unknown_method_or_part_is_an_error_with_the_nearest() -> None:
    with pytest.raises(NasirError, match="unknown method 'dart'") as caught:
        read_method("dart", "cifar")
    assert (caught.value.code, caught.value.hint) == ("E201", "did you mean 'darts'?")
    with pytest.raises(NasirError, match="unknown part 'noize' for 'perturb'") as caught:
        read_method("darts", "cifar").having(perturb="noize")
    assert (caught.value.code, caught.value.hint) == ("E201", "did you mean 'noise'?")


@pytest.mark.parametrize("epochs", [2, 3, 7, 10, 50, 120])
def test_fewer_epochs_shrink_stages_and_warm_ups_in_proportion(epochs: int) -> None:
    found = with_epochs(read_method("drnas-progressive", "cifar"), epochs)
    assert sum(stage.epochs for stage in found.stages) == epochs
    for stage, full in zip(
        found.stages, read_method("drnas-progressive", "cifar").stages, strict=True
    ):
        assert abs(stage.epochs - full.epochs * epochs / 50) <= 1
        assert stage.warm_up <= stage.epochs
        assert abs(stage.warm_up - 10 * epochs / 50) <= 0.5
        assert (stage.options, stage.parts) == (full.options, full.parts)


def test_too_few_epochs_and_odd_fractions_are_errors() -> None:
    with pytest.raises(NasirError, match="1 epochs are too few for 2 stages"):
        with_epochs(read_method("drnas-progressive", "cifar"), 1)
    with pytest.raises(NasirError, match="is 1/K, not 2/3"):
        with_fraction(Method(name="x"), "2/3")
    assert with_fraction(Method(name="x"), "1/4").stages[0].parts == 4


FILE = """\
method: mine
like: darts
perturb:
  part: noise
select: projection
stages:
  - {epochs: 4, warm_up: 1, parts: 6}
  - {epochs: 4, options: 3, parts: 4}
optimizer: {lr: 0.05}
train: {batch: 32, drop_path: 0.2}
"""


def _written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_method_in_a_file_is_a_row_with_other_parts_and_numbers(tmp_path: Path) -> None:
    found = read_method(_written(tmp_path, FILE), "cifar")
    assert found.name == "mine"
    assert found.perturb == UniformNoise()
    assert isinstance(found.select, Projection)
    assert found.train.drop_path == 0.2
    assert read_method(str(tmp_path / "mine.yaml"), "nasbench201").stages == (found.stages)
    assert found.stages == (
        Stage(epochs=4, warm_up=1, parts=6),
        Stage(epochs=4, warm_up=0, options=3, parts=4),
    )
    assert (found.optimizer.lr, found.train.batch) == (0.05, 32)


@pytest.mark.parametrize("text", ["settings: {rate: 0.05}\n", "settings:\n  rate: fast\n"])
def test_a_setting_of_version_0_1_is_an_error_with_its_name_now(tmp_path: Path, text: str) -> None:
    with pytest.raises(NasirError) as caught:
        read_method(_written(tmp_path, text), "cifar")
    assert (caught.value.code, caught.value.hint) == ("E109", "it is optimizer.lr now")
    for old, new in RENAMED.items():
        section, _, key = new.partition(".")
        assert not key or hasattr(getattr(Settings(), section), key), old
    for old in ("logit_rate", "logits.rate"):
        with pytest.raises(NasirError) as caught:
            with_values(Method(name="x"), {old: 1})
        assert caught.value.hint == "it is logits.lr now"
    with pytest.raises(NasirError) as caught:
        with_values(Method(name="x"), {"optimizer.rate_warm_up": 1})
    assert caught.value.hint == "it is schedule.warm_up now"

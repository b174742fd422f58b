"""Scores and correlations: from Python, from the command line, and as a figure."""

import json
import math
import re
from pathlib import Path

import pytest

import nasir
from nasir import NasirError
from runners.experiment.proxies import score_of
from runners.experiment.scoring import Agreement, Correlation, Estimate
from runners.plot.comparisons import scatter
from tests.command_line import RESNET, ROOT, call

NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
SMALL = ("--channels", "4", "--layers", "1", "--batch", "8")


def table(path: Path, rows: dict[str, float]) -> Path:
    lines = ["architecture,accuracy", *(f'"{text}",{value}' for text, value in rows.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def by_parameters(path: Path) -> tuple[Path, list[str]]:
    texts = [nasir.dump_genotype(nasir.sample("nasbench201", i), "nasbench201") for i in range(9)]
    counts = {
        text: nasir.cost(nasir.run_passes(nasir.network(text), ["dead-code"])[0]).params
        for text in texts
    }
    return table(path, {text: count / 1e5 for text, count in counts.items()}), texts


def test_score_prints_a_row_for_each_genotype() -> None:
    arguments = ("score", RESNET, NONE, "--proxy", "params,naswot", *SMALL)
    done = call(*arguments, "--json")
    rows = json.loads(done.out)
    assert [row["genotype"] for row in rows] == [RESNET, NONE]
    assert rows[0]["params"] == nasir.cost(nasir.network(RESNET, channels=4, layers=1)).params
    assert rows[0]["naswot"] > 0
    assert rows[1]["naswot"] is None
    lines = call(*arguments).out.splitlines()
    assert lines[0].split() == ["genotype", "params", "naswot"]
    assert lines[2].split()[-1] == "-"


def test_every_proxy_is_listed_and_in_its_page() -> None:
    page = (ROOT / "docs/score.md").read_text(encoding="utf-8")
    rows = [
        row for row in page.splitlines() if row.startswith("| `") and not row.startswith("| `--")
    ]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split(" | ")[0])]
    names = [row["name"] for row in json.loads(call("score", "--list", "--json").out)]
    assert names == named
    assert call("score").code == 2


def test_scores_of_python_and_the_command_line_are_equal() -> None:
    found = nasir.score([RESNET], ["snip"], batch=8, seed=5, channels=4, layers=1)
    done = call("score", RESNET, "--proxy", "snip", "--seed", "5", *SMALL, "--json")
    assert json.loads(done.out)[0]["snip"] == found["snip"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((RESNET, "--proxy", "synflo"), "did you mean 'synflow'"),
        ((RESNET, "--classes", "7"), "the data has 10 classes, not 7"),
        (("DARTS_V2_none",), "unknown genotype"),
    ],
)
def test_wrong_calls_of_score_are_errors(arguments: tuple[str, ...], message: str) -> None:
    done = call("score", *arguments, "--batch", "8")
    assert done.code == 2
    assert message in done.err


def test_a_recurrent_genotype_is_not_scored() -> None:
    with pytest.raises(NasirError, match="not recurrent ones"):
        nasir.score([nasir.sample("darts_rnn", 0)], ["snip"])


def test_a_proxy_that_orders_as_the_table_does_correlates_fully(tmp_path: Path) -> None:
    path, texts = by_parameters(tmp_path / "table.csv")
    found = nasir.correlate(
        "nasbench201", ["params", "snip"], path, batch=8, channels=4, layers=1, count=50
    )
    assert sorted(found.architectures) == sorted(texts)
    first = found.rows[0]
    assert (first.proxy, first.undefined) == ("params", 0)
    assert [first.spearman.value, first.kendall.value] == pytest.approx([1, 1])
    other = found.rows[1].spearman
    assert -1 <= other.low < other.value < other.high <= 1


def test_a_sample_depends_on_the_seed_and_equal_functions_are_scored_once(tmp_path: Path) -> None:
    """A skip connection that nothing reads makes no other function."""
    same = [
        "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
        "|none~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|none~1|none~2|",
    ]
    path = table(tmp_path / "table.csv", {RESNET: 94.0, same[0]: 80.0, same[1]: 81.0, NONE: 10.0})

    def drawn(seed: int, count: int) -> nasir.Correlation:
        return nasir.correlate(
            "nasbench201", ["snip"], path, batch=8, channels=4, layers=1, count=count, seed=seed
        )

    found = drawn(0, 4)
    assert found.networks == 3
    scores = dict(zip(found.architectures, found.scores["snip"], strict=True))
    assert scores[same[0]] == scores[same[1]] != scores[RESNET]
    assert drawn(0, 3).architectures == drawn(0, 3).architectures
    assert len({drawn(seed, 3).architectures for seed in range(5)}) > 1


def test_correlate_prints_coefficients_and_writes_a_figure(tmp_path: Path) -> None:
    path, _ = by_parameters(tmp_path / "table.csv")
    plot = tmp_path / "figure.svg"
    arguments = ("correlate", "nasbench201", "--table", path, "--proxy", "params,naswot", *SMALL)
    done = call(*arguments, "--plot", plot)
    assert "nasbench201: 9 architectures" in done.out
    row = next(line for line in done.out.splitlines() if line.startswith("params"))
    assert row.split()[1:5] == ["1.000", "(1.000", "to", "1.000)"]
    assert "params: 1.000" in plot.read_text(encoding="utf-8")
    facts = json.loads(call(*arguments, "--json").out)
    assert facts["proxies"][0]["spearman"]["value"] == pytest.approx(1)
    assert set(facts["architectures"][0]["scores"]) == {"params", "naswot"}
    refused = call(*arguments, "--plot", tmp_path / "figure.txt")
    assert "ends in .png, .svg or .pdf" in refused.err
    assert refused.code == 2


def test_equal_scores_have_no_coefficient(tmp_path: Path) -> None:
    path, _ = by_parameters(tmp_path / "table.csv")
    with nasir.use(nasir.Extension(name="own", proxies={"constant": lambda probe: 1.0})):
        found = nasir.correlate(
            "nasbench201", ["constant"], path, batch=8, channels=4, layers=1, count=3
        )
        done = call("correlate", "nasbench201", "--table", path, "--proxy", "constant", *SMALL)
    assert math.isnan(found.rows[0].spearman.value)
    assert done.out.splitlines()[-1].split() == ["constant", "-", "-", "0"]


def test_a_benchmark_is_a_table(tmp_path: Path) -> None:
    texts = [RESNET, NONE, RESNET.replace("avg_pool_3x3", "none")]
    lines = [f"{i},{text},{90 - i},50" for i, text in enumerate(texts)]
    path = tmp_path / "bench.csv"
    path.write_text("\n".join(["index,arch,cifar10_test_200,cifar10_test_12", *lines, ""]))
    given = ("nasbench201", ["params"], path)
    found = nasir.correlate(*given, dataset="cifar10", batch=8, channels=4, layers=1)
    accuracies = dict(zip(found.architectures, found.accuracies, strict=True))
    assert accuracies == {text: 90 - i for i, text in enumerate(texts)}
    with pytest.raises(NasirError, match="no data set 'digits'") as caught:
        nasir.correlate(*given)
    assert "--dataset" in caught.value.hint


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([f"{RESNET},good", f"{NONE},1"], "an accuracy is 'good'"),
        ([f"{RESNET},1", f"{RESNET},2"], "occurs twice"),
        ([f"{RESNET},1", f"{NONE},2"], "needs three architectures, and there are 2"),
        ([f"{RESNET},1", f"{NONE},2", "nothing,3"], "'nothing' cannot be read"),
    ],
)
def test_wrong_tables_are_errors(tmp_path: Path, rows: list[str], message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["architecture,accuracy", *rows, ""]), encoding="utf-8")
    done = call("correlate", "nasbench201", "--table", path, *SMALL)
    assert done.code == 2
    assert message in done.err
    assert "table.csv" in done.err


def test_the_batch_is_the_seeds_first_without_augmentation() -> None:
    """A search that asks `score_of` with the same batch gets the same scores."""
    from runners.experiment.recipe import Recipe
    from runners.machine.device import find_place
    from runners.task.task import training_task

    recipe = Recipe().having(train={"batch": 8})
    first = training_task("nasbench201", recipe, "digits", find_place(), 2).train(0, 0)
    size = {"channels": 4, "layers": 1, "resolution": 8, "classes": 10}
    genotype = nasir.load_genotype(RESNET)
    found = score_of(["snip"], [genotype], first, 2, size)
    assert found == nasir.score([genotype], ["snip"], batch=8, seed=2, channels=4, layers=1)


def test_the_last_panel_of_each_column_has_labels() -> None:
    rows = (1.0, 2.0, 3.0)
    name = Estimate(0.5, 0.4, 0.6)
    agreed = tuple(Agreement(f"p{i}", name, name, 0) for i in range(5))
    found = Correlation("s", ("a", "b", "c"), rows, {a.proxy: rows for a in agreed}, 3, agreed)
    panels = [axes for axes in scatter(found).axes if axes.get_visible()]
    labelled = [axes.xaxis.get_tick_params()["labelbottom"] for axes in panels]
    assert labelled == [False, True, True, True, True]

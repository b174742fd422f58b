"""Searches without a supernet: what they ask for, and what tells it."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import nasir
from nasir import Genotype, NasirError
from nasir.space import Space
from runners.experiment.asking import (
    Asker,
    Evolution,
    Halving,
    History,
    Known,
    LocalSearch,
    Pareto,
    Query,
    RandomQueries,
    Teller,
    Told,
    queries,
)
from runners.experiment.experiment import Experiment, Search
from runners.experiment.predictor import Predictor, paths
from runners.experiment.proxies import members, ranked
from runners.experiment.search import resume
from runners.experiment.values import ValuePart
from runners.folder.display import Display
from runners.folder.logs import read_rows
from runners.folder.run_folder import RunFolder
from runners.plot import PLOTS, read_run
from tests.command_line import call
from tests.processes import end_on_ray_despite_a_kill, needs_ray
from tests.searches import run, tiny

SPACE = nasir.load_space("nasbench201")
GOAL = nasir.load_genotype(
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
    "+|nor_conv_3x3~0|avg_pool_3x3~1|nor_conv_1x1~2|",
    SPACE,
)
METHODS = ("random", "evolution", "local-search", "bananas", "successive-halving", "nsga2")
ASKERS: dict[str, Asker] = {
    "random": RandomQueries(),
    "evolution": Evolution(population=30, sample=10, initial=10),
    "local": LocalSearch(),
    "predictor": Predictor(epochs=60),
    "halving": Halving(),
    "pareto": Pareto(population=20),
}


def agreement(genotype: Genotype) -> float:
    """The number of edges, of six, that have the goal's op."""
    pairs = zip(ops(genotype), ops(GOAL), strict=True)
    return float(sum(own == goal for own, goal in pairs))


def ops(genotype: Genotype) -> list[str]:
    return [edge.op for node in genotype.cells[0].nodes for edge in node]


def told(asked: Sequence[Query]) -> Iterator[Told]:
    for query in asked:
        yield Told(agreement(query.genotype))


def played(asker: Asker, most: int, seed: int = 0, space: Space = SPACE) -> History:
    history = History(space, seed)
    for _ in queries(asker, history, told, most):
        pass
    return history


class KnownValue(ValuePart):
    """The agreement; raises KeyboardInterrupt in the place of answer `of`."""

    def open(self, experiment: Experiment, space: Space) -> Teller:
        left = [int(self.of or "-1")]

        def answer(query: Query, _: Path) -> Told:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return Told(agreement(query.genotype))

        return Teller(answer, "", "edges")


@pytest.mark.parametrize(("name", "most"), [("evolution", 250), ("local", 100), ("predictor", 150)])
def test_the_optimum_of_fifteen_thousand_is_found(name: str, most: int) -> None:
    assert [played(ASKERS[name], most, seed).best.value for seed in range(3)] == [6.0] * 3


@pytest.mark.parametrize("name", ["evolution", "local", "predictor"])
def test_a_hundred_queries_beat_random_ones(name: str) -> None:
    best, random = (
        [played(ASKERS[each], 100, seed).best.value for seed in range(4)]
        for each in (name, "random")
    )
    assert fmean(best) >= fmean(random) + 1


@pytest.mark.parametrize("name", ASKERS)
def test_equal_functions_are_asked_for_once(name: str) -> None:
    rows = played(ASKERS[name], 80).rows
    asked = Counter((nasir.canonical_id(row.query.genotype), row.query.share) for row in rows)
    assert len(rows) == 80
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("name", ["random", "evolution", "local", "predictor", "pareto"])
def test_a_search_ends_when_a_space_has_no_more_functions(name: str, tmp_path: Path) -> None:
    """Of 27 genotypes, those that lead nothing to the output, for one, are equal functions."""
    path = tmp_path / "few.yaml"
    path.write_text(
        "{nasir: 1, space: few, skeleton: nasbench201, cells: {cell: {inputs: 1, nodes: 2, "
        "edges: all, ops: [none, skip_connect, nor_conv_1x1], output: [2]}}}"
    )
    space = nasir.load_space(path)
    history = History(space, 0)
    for _ in queries(ASKERS[name], history, lambda asked: map(_nothing, asked), 50):
        pass
    functions = {nasir.canonical_id(each) for each in nasir.enumerate_genotypes(space)}
    assert len(history.rows) == len(functions) < 27


def test_the_oldest_member_of_a_population_dies_and_the_best_of_a_sample_has_a_child() -> None:
    asker = Evolution(population=5, sample=50, initial=3)  # the sample misses none of five
    history = played(asker, 40)
    for row in history.rows[3:]:
        alive = history.rows[max(0, row.number - 5) : row.number]
        parent = next(each for each in alive if each.number == row.query.parent)
        assert parent.value == max(each.value for each in alive)
        changed = zip(ops(row.query.genotype), ops(_parent(history, row)), strict=True)
        assert sum(own != old for own, old in changed) == 1


def test_a_climb_goes_to_the_first_better_neighbour_and_starts_again_at_an_optimum() -> None:
    rows = played(LocalSearch(initial=4), 120).rows
    assert [row.query.parent for row in rows[:4]] == [None] * 4
    centre = max(rows[:4], key=lambda row: row.value)
    restarts = 0
    for row in rows[4:]:
        if row.query.parent is None:
            restarts += 1
            continue
        if restarts:
            break
        assert row.query.parent == centre.number
        centre = row if row.value > centre.value else centre
    assert centre.value == 6.0
    assert restarts == 4


def test_halving_sends_the_best_third_to_three_times_the_length() -> None:
    rows = played(Halving(), 39).rows
    shares = [row.query.share for row in rows]
    assert shares == [1 / 9] * 27 + [1 / 3] * 9 + [1.0] * 3
    for first, count, passed in ((0, 27, rows[27:36]), (27, 9, rows[36:])):
        rung = sorted(rows[first : first + count], key=lambda row: row.value, reverse=True)
        assert [row.query.parent for row in passed] == [each.number for each in rung[: count // 3]]
    history = played(Halving(), 40)
    assert history.rows[39].query.share == 1 / 9
    assert history.best.query.share == 1.0


def test_the_front_is_what_no_other_dominates() -> None:
    asker = Pareto(population=20)
    history = played(asker, 120)
    front: Any = asker.summary(history)["front"]
    points = [(-row.value, row.cost or 0.0) for row in history.rows]
    expected = {row.number for row in history.rows if not _dominated(row, points)}
    assert {row["query"] for row in front} == expected
    totals = nasir.cost(nasir.network(history.rows[0].query.genotype))
    assert history.rows[0].cost == totals.params
    by_macs = Pareto(against="macs").cost(SPACE, history.rows[0].query.genotype)
    assert by_macs == totals.macs
    assert 0 < Pareto(against="latency").cost(SPACE, history.rows[0].query.genotype) < 10


def test_a_front_of_two_hundred_queries_is_better_than_that_of_random_ones() -> None:
    asker, gains = Pareto(population=20), list[float]()
    for seed in range(3):
        random = History(SPACE, seed)
        for query in random.sampled(200):
            random.add(query, agreement(query.genotype), asker.cost(SPACE, query.genotype))
        gains.append(_volume(played(asker, 200, seed)) / _volume(random))
    assert min(gains) >= 1
    assert fmean(gains) > 1.1


def test_the_paths_of_a_cell_are_its_ops_in_order() -> None:
    """Node 1 reads 0; 2 reads 0 and 1; 3 reads 0, 1 and 2. Nothing passes through `none`."""
    text = "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
    genotype = nasir.load_genotype(text, SPACE)
    short = ("cell", "0", "avg_pool_3x3")
    long = ("cell", "0", "nor_conv_1x1", "skip_connect", "nor_conv_3x3")
    assert paths(genotype) == {short, long}
    assert paths(genotype, length=2) == {short}


def test_the_paths_of_ops_on_nodes_and_of_two_inputs_have_their_labels() -> None:
    found = paths(nasir.load_genotype("darts_v2"))
    assert {path[1:] for path in found if path[0] == "normal"} == {
        ("0", "skip_connect"),
        ("0", "sep_conv_3x3"),
        ("1", "sep_conv_3x3"),
        ("0", "sep_conv_3x3", "dil_conv_3x3"),
        ("1", "sep_conv_3x3", "dil_conv_3x3"),
    }
    cell = nasir.sample("nasbench101", 0)
    assert max(map(len, paths(cell))) <= 2 + 5
    assert all("" not in path for path in paths(cell))


def test_a_predictor_learns_a_sum_of_paths() -> None:
    """The sample of 40 cells orders 40 others by the number of their paths with a convolution."""
    import torch
    from scipy import stats

    from lowering import generator

    cells = [nasir.sample(SPACE, seed) for seed in range(80)]
    values = [float(sum("conv_3x3" in str(path) for path in paths(cell))) for cell in cells]
    history = History(SPACE, 0)
    for cell, value in zip(cells[:40], values[:40], strict=True):
        history.add(Query(cell), value)
    asker: Any = Predictor()
    known, new = asker._encoded(history.rows, cells[40:])
    y = torch.tensor(values[:40])
    y = (y - y.mean()) / y.std()
    predicted = asker._predicted(known, y, new, generator(0, "test"))
    assert predicted.shape == (5, 40)
    correlation: Any = stats.spearmanr(predicted.mean(0), values[40:])
    assert correlation.statistic > 0.6


@pytest.mark.parametrize("method", METHODS)
def test_a_search_stopped_within_a_batch_ends_as_if_it_had_not_been(
    method: str, tmp_path: Path
) -> None:
    parts = {"value": {"known": KnownValue()}}
    with nasir.use(nasir.Extension(name="known", parts=parts)):
        given: Any = {"method": method, "queries": 95}
        whole = run(_experiment(**given, value="known"), tmp_path / "whole")
        assert len(read_rows(tmp_path / "whole" / "metrics.jsonl")) == 95
        with pytest.raises(KeyboardInterrupt):
            run(_experiment(**given, value="known:67"), tmp_path / "run")
        _unstop(tmp_path / "run")
        found = resume(tmp_path / "run", {}, Display())
    assert found.genotype == whole.genotype
    for name in ("metrics.jsonl", "genotype.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_rows_have_the_genotype_its_value_and_the_best_so_far(tmp_path: Path) -> None:
    experiment = _experiment(method="evolution", value="proxy:params", queries=25)
    found = run(experiment, tmp_path / "run")
    rows: Any = read_rows(tmp_path / "run" / "metrics.jsonl")
    values = [row["value"] for row in rows]
    assert [row["best"] for row in rows] == list(np.maximum.accumulate(values))
    for row in rows:
        genotype = nasir.load_genotype(row["genotype"], SPACE)
        assert row["value"] == nasir.cost(nasir.network(genotype, classes=10)).params
    best = rows[int(np.argmax(values))]["genotype"]
    assert nasir.canonical_id(best) == nasir.canonical_id(found.genotype)
    figure = PLOTS["queries"](read_run(tmp_path / "run"))
    assert isinstance(figure, Figure)
    [line] = [each for each in figure.axes[0].lines if each.get_label() == "best so far"]
    assert list(np.asarray(line.get_ydata())) == [row["best"] for row in rows]


def test_a_table_tells_the_accuracy_that_a_query_shows(tmp_path: Path) -> None:
    lines = ["index,arch,cifar10_test_200,cifar10_valid_12"]
    for index, genotype in enumerate(nasir.enumerate_genotypes(SPACE)):
        text = nasir.dump_genotype(genotype, "nasbench201")
        lines.append(f"{index},{text},{10 + agreement(genotype)},{agreement(genotype)}")
    table = tmp_path / "nasbench201.csv"
    table.write_text("\n".join(lines) + "\n")
    given = ("nasbench201", "--method", "local-search", "--value", f"table:{table}")
    done = call("search", *given, "--queries", "60", "-o", tmp_path / "run")
    assert done.code == 0, done.err
    rows: Any = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert rows[-1]["best"] == 6.0
    for row in rows:
        assert row["test"]["accuracy"] == 10 + row["value"] == 10 + row["valid"]["accuracy"]
    assert call("replay", tmp_path / "run").code == 0
    halving = ("nasbench201", "--method", "successive-halving", *given[3:])
    short = call("search", *halving, "-o", tmp_path / "short")
    assert "E601" in short.err
    assert "after 12 epochs alone" in short.err


def test_a_recipe_tells_the_held_out_accuracy_after_a_short_training(tmp_path: Path) -> None:
    experiment = _experiment(
        method="successive-halving",
        value="recipe:digits",
        queries=2,
        ask="halving",
        values={"train.epochs": 9, "network.channels": 4, "network.layers": 1},
        run={"limit": 64, "steps": 1},
    )
    run(experiment, tmp_path / "run")
    rows: Any = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert [row["value"] for row in rows] == [row["valid"]["accuracy"] for row in rows]
    assert all(0 <= row["value"] <= 100 and "test" in row for row in rows)
    genotype = nasir.load_genotype(rows[0]["genotype"], SPACE)
    again = nasir.evaluate(
        genotype,
        tmp_path / "again",
        Display(),
        recipe="digits",
        values={
            "train.epochs": 1,
            "train.validation": 0.1,
            "network.channels": 4,
            "network.layers": 1,
        },
        run={"limit": 64, "steps": 1},
    )
    assert again.summary["valid"] == rows[0]["valid"]
    assert list((tmp_path / "run" / "answering").iterdir()) == []


def test_a_supernet_tells_the_score_with_its_weights(tmp_path: Path) -> None:
    run(tiny(), tmp_path / "net")
    value = f"supernet:{tmp_path / 'net'}"
    run(_experiment(method="random", value=value, queries=3), tmp_path / "run")
    from runners.experiment.search import load_supernet

    supernet = load_supernet(tmp_path / "net")
    rows: Any = read_rows(tmp_path / "run" / "metrics.jsonl")
    for row in rows:
        score = supernet.score_of(nasir.load_genotype(row["genotype"], SPACE), 0)
        assert row["value"] == score.measures["accuracy"]


def test_a_search_with_measured_latencies_goes_on_and_is_not_replayed(tmp_path: Path) -> None:
    path = tmp_path / "front.yaml"
    ask = "{part: pareto, population: 2, against: latency}"
    path.write_text(f"nasir: 1\nlike: nsga2\nask: {ask}\nvalue: {{part: proxy, of: params}}\n")
    given = {"network.channels": 4, "network.layers": 1}
    run(_experiment(method=str(path), queries=3, values=given), tmp_path / "run")
    costs = [row["cost"] for row in read_rows(tmp_path / "run" / "metrics.jsonl")]
    resume(tmp_path / "run", {}, Display())
    assert [row["cost"] for row in read_rows(tmp_path / "run" / "metrics.jsonl")] == costs
    with pytest.raises(NasirError, match="cannot be repeated"):
        nasir.replay(tmp_path / "run")


@pytest.mark.parametrize("proxy", ["params+l2_norm", "az_nas"])
def test_an_ensemble_ranks_each_query_among_all_so_far(proxy: str, tmp_path: Path) -> None:
    given: Any = {"network.channels": 4, "network.layers": 1, "train.batch": 8}
    value, queries = f"proxy:{proxy}", 14
    search = _experiment(method="evolution", value=value, queries=queries, values=given)
    found = run(search, tmp_path / "run")
    rows: Any = read_rows(tmp_path / "run" / "metrics.jsonl")
    names = members([proxy])
    scores = {name: [row["scores"][name] for row in rows] for name in names}
    scores = {n: [-math.inf if x is None else x for x in column] for n, column in scores.items()}
    for count, row in enumerate(rows, start=1):
        so_far = ranked([scores[name][:count] for name in names])
        assert row["value"] == pytest.approx(so_far[-1])
        assert row["best"] == pytest.approx(max(so_far))
    best = rows[int(np.argmax(ranked(list(scores.values()))))]["genotype"]
    assert nasir.canonical_id(best) == nasir.canonical_id(found.genotype)


def test_a_search_with_an_ensemble_resumes_to_the_same_rows(tmp_path: Path) -> None:
    given: Any = {"network.channels": 4, "network.layers": 1}
    search = _experiment(
        method="evolution", value="proxy:params+flops", queries=40, values=given, together=4
    )
    whole = run(search, tmp_path / "whole")
    folder = tmp_path / "run"
    run(search, folder)
    with RunFolder.open(folder) as opened:
        (folder / "checkpoints/0039.pt").unlink()
        opened.rewind(38)
    assert len(read_rows(folder / "metrics.jsonl")) == 39
    assert resume(folder, {}, Display()).genotype == whole.genotype
    for name in ("metrics.jsonl", "genotype.json"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("killed", ["driver", "worker"])
def test_workers_of_ray_tell_what_one_process_would(tmp_path: Path, killed: str) -> None:
    """Although one of them, or the search itself, is killed within a training."""
    given = ("search", "nasbench201", "--method", "random", "--value", "recipe:digits")
    given += ("--queries", "3", "--together", "2", "--limit", "64", "--steps", "2")
    given += ("--epochs", "30", "--batch", "32", "--channels", "4", "--layers", "1")
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert call(*given, "-o", whole).code == 0
    again = ("search", "--resume", out, "--ray", "local")
    command = (*given, "-o", out, "--ray", "local")
    end_on_ray_despite_a_kill(killed, command, again, out / "answering", "summary.json")
    for name in ("metrics.jsonl", "genotype.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert list((out / "answering").iterdir()) == []


def test_workers_have_nothing_to_tell_a_search_with_a_supernet(tmp_path: Path) -> None:
    done = call("search", "nasbench201", "--ray", "local", "-o", tmp_path / "run")
    assert done.code == 2
    assert "E505 method 'darts' asks for no values" in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "bananas"}, "nothing tells them"),
        ({"method": "darts", "value": "proxy:params"}, "nothing asks for values"),
        ({"method": "darts", "ask": "evolution"}, "instead of training a supernet"),
        ({"method": "random", "queries": 3}, "has no value to ask for"),
        ({"method": "evolution", "value": "tables:x"}, "unknown part 'tables' for 'value'"),
        ({"method": "nsga2", "value": "proxy:params", "together": 2}, "own number of queries"),
        ({"method": "evolution", "value": "proxy:sinflow"}, "unknown proxy 'sinflow'"),
        ({"method": "evolution", "value": "table:absent.csv"}, "absent.csv"),
        ({"method": "evolution", "value": "supernet:absent"}, "no such run"),
        ({"method": "evolution", "value": "recipe:digitz"}, "unknown recipe 'digitz'"),
        ({"method": "successive-halving", "value": "proxy:params"}, "one value for a genotype"),
    ],
)
def test_what_cannot_be_asked_is_an_error(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(NasirError) as caught:
        run(_experiment(**given), tmp_path / "run")
    assert message in str(caught.value).replace('"', "'")


def _nothing(query: Query) -> Told:
    del query
    return Told(0.0)


def _experiment(**given: Any) -> Experiment:
    named = {name: given.pop(name) for name in list(given) if name in Search.model_fields}
    return Experiment(of="nasbench201", search=Search(**named), **given)


def _unstop(folder: Path) -> None:
    """The run's facts with the value that raises nothing."""
    path = folder / "run.json"
    facts = json.loads(path.read_text())
    facts["experiment"]["search"]["value"] = "known"
    facts["method"].pop("value_values", None)
    facts["method"]["value_values"] = {"of": ""}
    path.write_text(json.dumps(facts))


def _parent(history: History, row: Known) -> Genotype:
    assert row.query.parent is not None
    return history.rows[row.query.parent].query.genotype


def _dominated(row: Known, points: Sequence[tuple[float, float]]) -> bool:
    value, cost = -row.value, row.cost or 0.0
    return any(v <= value and c <= cost and (v, c) != (value, cost) for v, c in points)


def _volume(history: History) -> float:
    """The area under the best agreement within a number of parameters, up to 1.6 million."""
    best, area, last = 0.0, 0.0, 0.0
    for row in sorted(history.rows, key=lambda row: row.cost or 0.0):
        area += best * ((row.cost or 0.0) - last)
        best, last = max(best, row.value), row.cost or 0.0
    return area + best * (1.6e6 - last)

"""The search without a supernet in a run directory: a row for each query."""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import nasir
from nasir import Genotype, NasirError, Space
from nasir.errors import json_text
from runners.experiment.asking import History, Query, Teller, Told, queries
from runners.experiment.build import BuiltSearch, build_search
from runners.experiment.experiment import Experiment
from runners.experiment.run import Run, restoring
from runners.folder.display import genotype_lines
from runners.folder.logs import read_rows
from runners.folder.run_folder import METRICS
from runners.inputs import short_text
from runners.machine.cluster import Cluster, joined

ANSWERING = "answering"
"""The folder of unfinished work on queries, in a run directory."""

Answers = Callable[[Sequence[Query]], Iterator[Told]]


def ask_all(run: Run, built: BuiltSearch, ray: str | None) -> Genotype:
    """Asks for values; returns the genotype of the best one. Resumes from the rows.

    Workers of Ray answer queries that are asked for together, if there is an address.
    """
    assert isinstance(built.task, Teller), "a method with values"
    folder = run.folder.path / ANSWERING
    if ray is None:
        return _ask_all(run, built, built.task, partial(_one_by_one, built.task, folder))
    gpus = float(built.place.device.type == "cuda")
    with joined(ray, "nasir search --ray", gpus=gpus) as cluster:
        return _ask_all(
            run, built, built.task, partial(_by_workers, cluster, built.experiment, folder)
        )


def _one_by_one(teller: Teller, folder: Path, asked: Sequence[Query]) -> Iterator[Told]:
    """Yields answers in order. A query's folder is removed once its row is written."""
    for query in asked:
        own = folder / _key(query)
        yield teller.answer(query, own)
        shutil.rmtree(own, ignore_errors=True)


def _by_workers(
    cluster: Cluster, experiment: Experiment, folder: Path, asked: Sequence[Query]
) -> Iterator[Told]:
    """The same by Ray's workers: what they answer out of order waits."""
    found: dict[int, Told] = {}
    following = 0
    work = partial(_answered, json_text(experiment.facts()), folder.absolute())
    for place, answer in cluster.ended(work, asked):
        if isinstance(answer, NasirError):
            raise answer
        found[place] = answer
        while following in found:
            yield found.pop(following)
            shutil.rmtree(folder / _key(asked[following]), ignore_errors=True)
            following += 1


def _answered(experiment: str, folder: Path, query: Query) -> Told:
    return _teller(experiment).answer(query, folder / _key(query))


@lru_cache(maxsize=1)
def _teller(experiment: str) -> Teller:
    """Returns what answers, opened once in a worker."""
    task = build_search(Experiment(**json.loads(experiment))).task
    assert isinstance(task, Teller), "a method with values"
    return task


def _key(query: Query) -> str:
    text = f"{nasir.dump_genotype(query.genotype)} {query.share}"
    return sha256(text.encode()).hexdigest()[:16]


def _ask_all(run: Run, built: BuiltSearch, teller: Teller, answers: Answers) -> Genotype:
    asker, space = built.method.ask, built.space
    assert asker is not None, "values are asked for"
    run.display.say(built.plan.words)
    history = History(space, built.experiment.seed, teller.ranking)
    pending: list[Query] = []
    checkpoint = run.folder.latest()
    if checkpoint is not None:
        run.done = checkpoint.epoch + 1
    run.folder.rewind(run.done - 1)
    with restoring(run.folder.path):
        for row in read_rows(run.folder.path / METRICS):
            run.row = row
            value = -math.inf if run.row["value"] is None else run.row["value"]
            history.add(_query(row, space), value, run.row.get("cost"), run.row)
        if checkpoint is not None:
            pending = [_query(row, space) for row in checkpoint.state["pending"]]
    run.display.start(built.plan.queries, run.done)
    for known, answer, left in queries(asker, history, answers, built.plan.queries, pending):
        best = history.best
        if best is known:
            run.text = genotype_lines(known.query.genotype)
            run.folder.write_genotype(nasir.dump_genotype(known.query.genotype), known.number)
        run.row = {
            "epoch": known.number,
            "phase": "query",
            **_facts(known.query),
            "value": known.value,
            "best": best.value,
            **({} if known.cost is None else {"cost": known.cost}),
            **answer.measures,
        }
        run.finish(known.number, {"pending": list(map(_facts, left))})
    if len(history.rows) < built.plan.queries:
        run.display.say(f"no new function was found after {len(history.rows)} queries")
    summary = asker.summary(history)
    if summary:
        run.folder.write_final("summary.json", f"{json_text(summary, indent=2)}\n".encode())
    return history.best.query.genotype


def _facts(query: Query) -> dict[str, Any]:
    found = {"genotype": short_text(query.genotype), "parent": query.parent, "share": query.share}
    return {name: value for name, value in found.items() if value is not None}


def _query(row: Mapping[str, Any], space: Space) -> Query:
    genotype = nasir.load_genotype(row["genotype"], space)
    return Query(genotype, row.get("parent"), float(row["share"]))

"""The search without a supernet in a run directory: a row for each query."""

import math
from collections.abc import Mapping
from typing import Any

import nasir
from nasir import Genotype, Space
from nasir.errors import json_text
from runners.experiment.asking import History, Query, Teller, queries
from runners.experiment.build import BuiltSearch
from runners.experiment.run import Run, restoring
from runners.folder.display import genotype_lines
from runners.folder.logs import read_rows
from runners.folder.run_folder import METRICS
from runners.inputs import short_text

ANSWERING = "answering"
"""The folder of unfinished work on a query, in a run directory."""


def ask_all(run: Run, built: BuiltSearch) -> Genotype:
    """Asks for values; returns the genotype of the best one. Resumes from the rows."""
    asker, task, space = built.method.ask, built.task, built.space
    assert isinstance(task, Teller), "a method with values"
    assert asker is not None, "values are asked for"
    run.display.say(built.plan.words)
    history, pending = History(space, built.experiment.seed), list[Query]()
    checkpoint = run.folder.latest()
    if checkpoint is not None:
        run.done = checkpoint.epoch + 1
    run.folder.rewind(run.done - 1)
    with restoring(run.folder.path):
        for row in read_rows(run.folder.path / METRICS):
            run.row = row
            value = -math.inf if run.row["value"] is None else run.row["value"]
            history.add(_query(row, space), value, run.row.get("cost"))
        if checkpoint is not None:
            pending = [_query(row, space) for row in checkpoint.state["pending"]]
    run.display.start(built.plan.queries, run.done)
    folder, most = run.folder.path / ANSWERING, built.plan.queries
    for known, answer, left in queries(
        asker, history, lambda asked: task.answer(asked, folder), most, pending
    ):
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

"""Runs whose files were edited or lost: an error that names the place, and no other end."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from nasir import NasirError
from runners.experiment import search as loop
from runners.experiment import train as training
from runners.experiment.experiment import experiment_in
from runners.experiment.sizes import NetworkSize
from runners.experiment.trained import find_trained, searched_sizes
from runners.folder.display import Display
from runners.folder.facts import facts_of, read_facts
from runners.folder.run_folder import describe_progress
from runners.plot import read_run
from tests.refusals import fails_with

VALUES: tuple[Any, ...] = (None, "x", -1, 10**14, [], {"x": 1})

KINDS = ("search", "evaluate")


def edits(facts: Any, at: list[str | int] | None = None) -> Iterator[tuple[str, Any]]:
    """Every edited copy of the facts, by what was edited: fields left out, and of other values."""
    at = at or []
    inner: Any = facts
    for key in at:
        inner = inner[key]
    if isinstance(inner, dict | list) and len(at) < 4:
        keys: Any = list(inner) if isinstance(inner, dict) else range(min(len(inner), 2))
        keys = keys[:1] if at == ["choices"] else keys
        for key in keys:
            yield from edits(facts, [*at, key])
    for value in ("<left out>", *VALUES) if at else ():
        changed = copy.deepcopy(facts)
        parent: Any = changed
        for key in at[:-1]:
            parent = parent[key]
        if value == "<left out>":
            del parent[at[-1]]
        else:
            parent[at[-1]] = value
        yield f"{'.'.join(map(str, at))} = {value}", changed


def readers(kind: str, folder: Path) -> Iterator[Callable[[], object]]:
    """Everything that reads run.json, but for what then trains."""
    yield lambda: describe_progress(folder, kind)
    yield lambda: read_run(folder).description
    yield lambda: find_trained(folder, NetworkSize(), None)
    if kind == "search":
        yield lambda: experiment_in(folder, facts_of(folder, "search"))
        yield lambda: searched_sizes(str(folder))
    else:
        yield lambda: experiment_in(folder, facts_of(folder, "evaluate"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_of_run_json_that_is_edited_is_fine_or_an_error(
    kind: str, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished / kind, tmp_path / "run")
    seen = 0
    for what, facts in [*edits(read_facts(finished / kind))][::3]:
        (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
        for read in readers(kind, tmp_path / "run"):
            try:
                read()
            except NasirError:
                seen += 1
            except Exception as error:
                raise AssertionError(what) from error
    assert seen > 100


def resumed(kind: str, folder: Path) -> None:
    """Goes on with the run, without a word."""
    {"search": loop.resume, "evaluate": training.resume}[kind](folder, {}, Display())


def check_resumes(kind: str, finished: Path, folder: Path, count: int | None) -> None:
    """Goes on with edited runs, so many of them, drawn."""
    found = list(edits(read_facts(finished / kind)))
    for what, facts in found if count is None else Random(0).sample(found, count):
        shutil.copytree(finished / kind, folder)
        (folder / "run.json").write_text(json.dumps(facts))
        try:
            resumed(kind, folder)
        except NasirError:
            pass
        except Exception as error:
            raise AssertionError(what) from error
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_run_goes_on_or_is_an_error(kind: str, finished: Path, tmp_path: Path) -> None:
    check_resumes(kind, finished, tmp_path / "run", 8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_edited_run_goes_on_or_is_an_error(kind: str, finished: Path, tmp_path: Path) -> None:
    check_resumes(kind, finished, tmp_path / "run", None)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"seed": ' + "9" * 5000 + "}", '{"a": 1e999}'])
@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl"])
def test_deep_and_long_values_are_errors(
    text: str, name: str, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished / "search", tmp_path / "run")
    rest = (tmp_path / "run" / name).read_text() if name == "metrics.jsonl" else ""
    (tmp_path / "run" / name).write_text(f"{text}\n{rest}")
    for read in (lambda: resumed("search", tmp_path / "run"), lambda: read_run(tmp_path / "run")):
        with pytest.raises(NasirError, match="E604"):
            read()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lost", ["removed", "damaged"])
def test_a_run_that_lost_its_checkpoints_does_not_begin_anew(
    kind: str, lost: str, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished / kind, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").glob("*"):
        if lost == "removed":
            path.unlink()
        else:
            path.write_bytes(b"")
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(NasirError, match="E604") as caught:
        resumed(kind, tmp_path / "run")
    assert "2 epochs were done" in caught.value.message
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_stopped_in_its_first_epoch_begins_anew(
    kind: str, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished / kind, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "times.jsonl").unlink()
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "metrics.jsonl").write_text(rows[0])
    resumed(kind, tmp_path / "run")
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == "".join(rows)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("search", "metrics.jsonl"), ("search", "architecture.jsonl"), ("evaluate", "metrics.jsonl")],
)
def test_a_log_that_is_missing_is_noticed(
    kind: str, name: str, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished / kind, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    with pytest.raises(NasirError, match="no row of epoch 0") as caught:
        resumed(kind, tmp_path / "run")
    assert (caught.value.code, Path(caught.value.where.file).name) == ("E604", name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_version_0_1_is_refused(kind: str, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / kind, tmp_path / "run")
    facts = {key: value for key, value in read_facts(finished / kind).items() if key != "format"}
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts | {"nasir": "0.1.0"}))
    for read in (lambda: resumed(kind, tmp_path / "run"), lambda: read_run(tmp_path / "run")):
        with fails_with("E721", "written by nasir"):
            read()

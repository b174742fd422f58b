"""Trained networks on the disk: what they are, where their weights lie, what they learnt from."""

import json
import re
import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from nasir import NasirError, Where
from nasir.source import read_source
from runners.experiment.experiment import experiment_in
from runners.experiment.recipe import Recipe, recipe_of
from runners.experiment.size import NetworkSize
from runners.folder.facts import damaged, facts_of, read_facts
from runners.inputs import is_run

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Trained:
    """A network to be measured. What is None is not known.

    `limit` is how many tokens of each text, or images of each part, the run took: of texts that
    decides the vocabulary.
    """

    size: NetworkSize
    weights: Path | None = None
    recipe: Recipe | None = None
    data: str | None = None
    limit: int | None = None


def find_trained(argument: str | Path, size: NetworkSize, weights: Path | None) -> Trained:
    """What the argument of a command, a run directory or not, and a weights file say together.

    What the caller names wins. Of a training's run directory come size, weights, recipe and data,
    of a weights file that nasir wrote its size. Raises E755 for a run that has not ended.
    """
    found = Trained(size, weights)
    if is_run(argument):
        found = _of_run(Path(argument), found)
    elif str(argument).endswith(".onnx") and weights is None:
        found = replace(found, size=_filled(size, _model_size(Path(argument))))
    about = {} if found.weights is None else weights_about(found.weights)
    if "size" in about:
        head = {"auxiliary": json.loads(about.get("auxiliary", "false"))}
        found = replace(found, size=_filled(found.size, {**json.loads(about["size"]), **head}))
    return found


def weights_about(path: Path) -> dict[str, str]:
    """What nasir noted in a safetensors file; nothing of others, and of what is no such file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 1 << 26)))
        return dict(json.loads(header["__metadata__"]["nasir"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _of_run(run: Path, asked: Trained) -> Trained:
    """With what a training's run says; a search's says nothing. Raises E722 for a damaged one."""
    if read_facts(run).get("kind") != "evaluate":
        return asked
    facts = facts_of(run, "evaluate")
    experiment = experiment_in(run, facts)
    try:
        return Trained(
            _filled(asked.size, {**facts["size"], "auxiliary": facts["auxiliary"]}),
            asked.weights or weights_of(run),
            recipe_of(facts["recipe"]),
            facts["data"]["text"],
            experiment.run.limit,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(run, str(error)) from None


def _model_size(path: Path) -> dict[str, Any]:
    """The size of the network in an ONNX file of nasir's, which was read before."""
    from nasir.formats import onnx_model

    facts = onnx_model.facts_of(read_source(path))
    numbers = {name: int(value) for name, value in facts.items() if _NUMBER.fullmatch(value)}
    return {**numbers, "skeleton": facts.get("skeleton", "")}


def weights_of(run: Path) -> Path:
    """The file of a training's weights. Raises E755 where it has not ended."""
    path = run / "weights.safetensors"
    if not path.is_file():
        hint = f"nasir evaluate --resume {shlex.quote(str(run))}"
        raise NasirError("E755", "the training has not ended", Where(str(run)), hint)
    return path


def _filled(size: NetworkSize, known: dict[str, Any]) -> NetworkSize:
    """The size with what it leaves open, where that is known."""
    changed = {
        field.name: known[field.name]
        for field in fields(NetworkSize)
        if field.name in known and not getattr(size, field.name)
    }
    return replace(size, **changed)

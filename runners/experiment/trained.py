"""Trained networks on disk: size, weights, recipe and data; inherited weights; replays."""

import json
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nasir import NasirError, Where, load_space
from nasir.arguments import checked
from nasir.files import read_source
from nasir.space.own_skeletons import find_skeleton
from nasir.table import brought
from runners.experiment.experiment import OBJECTS, Experiment, experiment_in, with_objects
from runners.experiment.recipe import Recipe
from runners.experiment.sizes import NetworkSize
from runners.folder.display import Display
from runners.folder.facts import damaged, facts_in, facts_of, read_facts, require_extensions
from runners.folder.logs import read_rows
from runners.inputs import is_run

if TYPE_CHECKING:
    from torch import Tensor

    from lowering import Network

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network to measure; None: unknown.

    `limit` is the run's maximum of tokens of each text, which decides its vocabulary, or of images
    per split.
    """

    size: NetworkSize
    weights: Path | None = None
    recipe: Recipe | None = None
    data: str | None = None
    limit: int | None = None


def find_trained(argument: str | Path, size: NetworkSize, weights: Path | None) -> Trained:
    """Combines a command's argument (a run directory or not) with a weights file.

    The caller's values win. A training's run directory has size, weights, recipe and data, a
    weights file of nasir's its size. Raises an error for a run that has not ended.
    """
    found = Trained(size, weights)
    if is_run(argument):
        found = _of_run(Path(argument), found)
    elif str(argument).endswith(".onnx") and weights is None:
        found = replace(found, size=_fill_sizes(size, _model_size(Path(argument))))
    about = {} if found.weights is None else weights_about(found.weights)
    if "size" in about:
        head = {"auxiliary": json.loads(about.get("auxiliary", "false"))}
        found = replace(found, size=_fill_sizes(found.size, {**json.loads(about["size"]), **head}))
    return found


def weights_about(path: Path) -> dict[str, str]:
    """Returns nasir's metadata of a safetensors file; {} for other files."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 1 << 26)))
        return dict(json.loads(header["__metadata__"]["nasir"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _of_run(run: Path, asked: Trained) -> Trained:
    """Adds the facts of a training's run; a search has none. Raises an error for a damaged one."""
    if read_facts(run).get("kind") != "evaluate":
        return asked
    facts = facts_of(run, "evaluate")
    experiment = experiment_in(run, facts)
    try:
        return Trained(
            _fill_sizes(asked.size, {**facts["size"], "auxiliary": facts["auxiliary"]}),
            asked.weights or weights_of(run),
            Recipe(**facts["recipe"]),
            data_of(run),
            experiment.run.limit,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(run, str(error)) from None


def data_of(run: Path) -> str | None:
    """Returns the data of a run; None for Python objects, unless they are given again."""
    text = facts_in(run).data.text
    return None if text == OBJECTS and OBJECTS not in brought("task") else text


def _model_size(path: Path) -> dict[str, Any]:
    """Reads the size of the network from an ONNX file of nasir's."""
    from nasir.formats.own import model_facts

    facts = model_facts(read_source(path))
    numbers = {name: int(value) for name, value in facts.items() if _NUMBER.fullmatch(value)}
    return {**numbers, "skeleton": facts.get("skeleton", "")}


def weights_of(run: Path) -> Path:
    """Returns the weights file of a training. Raises an error if the training has not ended."""
    path = run / "weights.safetensors"
    if not path.is_file():
        hint = f"nasir evaluate --resume {shlex.quote(str(run))}"
        raise NasirError("E721", "the training has not ended", Where(str(run)), hint)
    return path


def _fill_sizes(size: NetworkSize, known: dict[str, Any]) -> NetworkSize:
    """Fills in open sizes with known ones."""
    changed = {name: known[name] for name, value in size if name in known and not value}
    return size.having(**changed)


SIZES = ("channels", "layers", "hidden")
"""The sizes of a network that are the search's."""


def load_initial(module: "Network", experiment: Experiment) -> str:
    """Loads the initial weights of a training; returns a line for the log.

    Raises an error if a search's or a file's weights do not fit.
    """
    if experiment.inherit:
        return inherit(module, experiment.inherit)
    if experiment.weights:
        from lowering import load_weights  # not at the top: it loads torch

        load_weights(module, experiment.weights, head=not experiment.without_head)
        return f"begins with {experiment.weights}{', without head' * experiment.without_head}"
    return ""


def searched_sizes(run: str) -> dict[str, int]:
    """Returns the sizes of a search's supernet. Raises an error for a run of another kind."""
    facts = _search_facts(run)
    experiment = experiment_in(Path(run), facts)
    space = load_space(experiment.of)
    skeleton = find_skeleton(space.skeleton, space)
    asked = cast("dict[str, int | None]", facts["settings"]["network"])
    found: dict[str, int] = {
        name: getattr(skeleton.search or skeleton.default, name, 0) for name in SIZES
    }
    return {name: asked.get(name) or value for name, value in found.items() if value}


def inherit(module: "Network", run: str) -> str:
    """Copies the weights shared with a search's last checkpoint; returns a summary.

    Keys are equal in network and supernet. Affine parameters of batch norms, which supernets lack,
    keep their initial values. Raises an error if nothing fits, or shapes differ.
    """
    from runners.folder.checkpoint import last_checkpoint  # not at the top: it loads torch

    _search_facts(run)
    checkpoint = last_checkpoint(Path(run))
    if checkpoint is None:
        raise NasirError("E503", "the search has no checkpoint", Where(run))
    found: Mapping[str, Tensor] = checkpoint.state["weights"]
    state = module.state_dict()
    shared = [key for key in state if key in found]
    apart = [key for key in shared if found[key].shape != state[key].shape]
    if apart:
        key = apart[0]
        raise NasirError(
            "E503",
            f"'{key}' has shape {list(found[key].shape)} in the search, and "
            f"{list(state[key].shape)} in the network ({len(apart)} differ)",
            Where(run),
            hint="the sizes of the search, and one whose ops saw all channels",
        )
    if not any("/" in key for key in shared):
        message = "the search has no weights of the network's cells"
        raise NasirError("E503", message, Where(run), hint="a genotype of that search's space")
    module.load_state_dict({key: found[key] for key in shared}, strict=False)
    return f"{len(shared)} of {len(state)} weights are inherited, the others begin anew"


def _search_facts(run: str) -> dict[str, Any]:
    if read_facts(run).get("kind") == "evaluate":
        raise NasirError("E503", "the run is not a search", Where(run), hint="use --weights")
    return facts_of(Path(run), "search")


FILES = {
    "search": ("metrics.jsonl", "architecture.jsonl", "genotype.json"),
    "evaluate": ("metrics.jsonl", "genotype.json", "confusion.json", "weights.safetensors"),
}
"""The files that must be equal, by kind of run."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The number of epochs, and the first difference; "" if the run repeats."""

    epochs: int
    difference: str


@checked
def replay(out: str | Path, display: Display | None = None, **objects: Any) -> Replay:
    """Repeats a finished run and compares its files line by line, bit by bit.

    `objects` are those that the run was started with: `method`, `recipe`, `data`. Raises an error
    for other folders or for data whose order cannot be repeated, and the run's own errors.
    """
    from runners.experiment.search import search
    from runners.experiment.train import evaluate

    out = Path(out)
    kind = "evaluate" if read_facts(out).get("kind") == "evaluate" else "search"
    facts = facts_of(out, kind)
    if not facts.get("repeats", True):
        reason, hint = "the order of the run's data is its loader's", "give data sets, not loaders"
        if kind == "search" and facts["plan"].get("queries"):
            reason, hint = "what the run asked for was measured", ""
        raise NasirError("E505", f"{reason}, and cannot be repeated", Where(str(out)), hint)
    with with_objects(**objects), tempfile.TemporaryDirectory() as parent:
        require_extensions(out, facts)
        experiment = experiment_in(out, facts).having(run={"track": "none"})
        again = Path(parent) / "run"
        (evaluate if experiment.search is None else search)(experiment, again, display)
        epochs = len(read_rows(out / "metrics.jsonl"))
        return Replay(epochs, _difference(out, again, FILES[kind]))


def _difference(one: Path, other: Path, names: Sequence[str]) -> str:
    """Returns the first difference between these files of two runs; "" if they are equal."""
    for name in names:
        before, after = _lines(one / name), _lines(other / name)
        for number, (a, b) in enumerate(zip(before, after, strict=False), start=1):
            if a != b:
                return f"{name}, line {number}: {_excerpt(a, b)}"
        if len(before) != len(after):
            return f"{name} has {len(before)} lines, then {len(after)}"
    return ""


def _lines(path: Path) -> list[str]:
    """Returns the lines of a text, or the hash of a file of tensors."""
    if not path.exists():
        return []
    if path.suffix == ".safetensors":
        from hashlib import sha256

        return [sha256(path.read_bytes()).hexdigest()]
    return path.read_text(encoding="utf-8").splitlines()


def _excerpt(one: str, other: str) -> str:
    """Returns an excerpt of both lines where they first differ."""
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    start = max(0, at - 30)
    return f"…{one[start : at + 20]}… became …{other[start : at + 20]}…"

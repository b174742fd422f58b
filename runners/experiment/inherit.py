"""Weights that a training begins with: a search's, a file's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from lowering import Network, load_weights
from nasir import NasirError, Where, load_space
from nasir.space.skeletons import find_skeleton
from runners.experiment.experiment import Experiment, experiment_in
from runners.folder.checkpoint import last_checkpoint
from runners.folder.facts import facts_of, read_facts

SIZES = ("channels", "layers", "hidden")
"""Of a network, those that its search had."""


def begin(module: Network, experiment: Experiment) -> str:
    """Gives the network the weights that a training begins with; a line to say of them.

    Raises E754 and E727 for a search's that do not fit, E101, E104 and E503 for a file's.
    """
    if experiment.inherit:
        return inherit(module, experiment.inherit)
    if experiment.weights:
        load_weights(module, experiment.weights)
        return f"begins with {experiment.weights}"
    return ""


def searched_sizes(run: str) -> dict[str, int]:
    """The sizes of a search's supernet. Raises E721, E722, and E754 for a run of another kind."""
    facts = _search_facts(run)
    experiment = experiment_in(Path(run), facts)
    skeleton = find_skeleton(load_space(experiment.of).skeleton)
    asked = cast("dict[str, int]", facts["settings"]["network"])
    found: dict[str, int] = {name: getattr(skeleton.search, name, 0) for name in SIZES}
    return {name: asked.get(name) or value for name, value in found.items() if value}


def inherit(module: Network, run: str) -> str:
    """Copies the weights of a search's last checkpoint that the network has too; how many.

    A network's weights have the keys that they had in the supernet. Affine parts of batch norms,
    which supernets lack, begin anew. Raises E754 where nothing fits, or shapes differ, and E727.
    """
    _search_facts(run)
    checkpoint = last_checkpoint(Path(run))
    if checkpoint is None:
        raise NasirError("E754", "the search has no checkpoint", Where(run))
    found: Mapping[str, Tensor] = checkpoint.state["weights"]
    state = module.state_dict()
    shared = [key for key in state if key in found]
    apart = [key for key in shared if found[key].shape != state[key].shape]
    if apart:
        key = apart[0]
        raise NasirError(
            "E754",
            f"'{key}' has shape {list(found[key].shape)} in the search, and "
            f"{list(state[key].shape)} in the network ({len(apart)} differ)",
            Where(run),
            hint="the sizes of the search, and one whose ops saw all channels",
        )
    if not any("/" in key for key in shared):
        message = "the search has no weights of the network's cells"
        raise NasirError("E754", message, Where(run), hint="a genotype of that search's space")
    _copy(state, {key: found[key] for key in shared})
    return f"{len(shared)} of {len(state)} weights are inherited, the others begin anew"


def _copy(state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for key, value in values.items():
            state[key].copy_(value)


def _search_facts(run: str) -> dict[str, Any]:
    if read_facts(run).get("kind") == "evaluate":
        raise NasirError("E754", "the run is no search", Where(run), hint="--weights takes others")
    return facts_of(Path(run), "search")

"""The supernet of a stage: which options, which part of the channels; and from one to the next."""

from collections.abc import Mapping

from torch import Tensor

import lowering
import nasir
from nasir import PASSES, Graph, Space
from runners.experiment.decided import OPS
from runners.experiment.learner import Learner
from runners.experiment.method import Method
from runners.experiment.parts.mixture import Sampled, Uniform
from runners.experiment.settings import Stage

Kept = Mapping[str, tuple[int, ...]]
"""Of pruned choices, the options that are left."""


def stage_graph(supernet: Graph, method: Method, stage: Stage, kept: Kept, space: Space) -> Graph:
    """The supernet that a stage lowers. Raises E505 for what the space cannot have."""
    graph = supernet
    if kept:
        graph, _ = nasir.run_passes(nasir.restrict(graph, kept), (PASSES["dead-code"],))
    if stage.parts > 1:
        graph = nasir.partial_channels(graph, stage.parts)
    weighs = method.edges is not None and not isinstance(method.edges, (Uniform, Sampled))
    if weighs and not any(cell.on_nodes for cell in space.cells):  # these weigh inputs anyway
        graph = nasir.edge_weights(graph, space)
    if method.settings.train.drop_path:
        graph = nasir.drop_path(graph)
    return graph


def pruned(learner: Learner, options: int) -> dict[str, tuple[int, ...]]:
    """Of each choice of ops the options with the largest logits, as many as stay, in order."""
    kept: dict[str, tuple[int, ...]] = {}
    for name, choice in learner.decided.choices.items():
        live = learner.decided.options(name)
        if choice.kind not in OPS or len(live) <= options:
            continue
        row = learner.logits[name].detach()
        best = sorted(live, key=lambda option: -float(row[option]))[:options]
        kept[name] = tuple(sorted(best))
    return kept


def enter(learner: Learner, graph: Graph, kept: Kept, seed: int) -> None:
    """The learner goes on with a wider or smaller supernet, weights and momentum carried over.

    As DrNAS does between its stages: pruned logits are set to 0 and the mixture leaves them out;
    Adam's state stays; channels grow by `lowering.widen`.
    """
    old = dict(learner.module.state_dict())
    buffers = momentum(learner)
    learner.decided.kept = dict(kept)
    for name, options in kept.items():
        row = learner.logits[name]
        for option in set(range(len(row))) - set(options):
            row.data[option] = 0.0
    rate = learner.rate
    learner.lower(graph)
    keys = tuple(learner.module.state_dict())
    grown = lowering.widen(
        {key: old[key] for key in keys},
        graph,
        seed,
        {key: value for key, value in buffers.items() if key in keys},
    )
    learner.module.load_state_dict(grown.state)
    set_momentum(learner, grown.momentum)
    learner.set_rate(rate)


def momentum(learner: Learner) -> dict[str, Tensor]:
    """The momentum buffers of the weights by key; those that are there."""
    found: dict[str, Tensor] = {}
    for key, weight in zip(learner.module.keys, learner.weights, strict=True):
        buffer = learner.optimiser.state.get(weight, {}).get("momentum_buffer")
        if buffer is not None:
            found[key] = buffer
    return found


def set_momentum(learner: Learner, buffers: Mapping[str, Tensor]) -> None:
    """Puts momentum buffers in their places."""
    for key, weight in zip(learner.module.keys, learner.weights, strict=True):
        if key in buffers:
            value = buffers[key].to(weight.device, weight.dtype).clone()
            learner.optimiser.state[weight] = {"momentum_buffer": value}

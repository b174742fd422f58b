"""An original's tensors under nasir's stable keys."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

import lowering
import nasir
from nasir import Graph, NasirError
from nasir.errors import quoted
from nasir.space.stack import Design
from runners.originals.family import Family, family_of
from runners.originals.unit import Below, TensorGroup, in_order


@dataclass(frozen=True, slots=True)
class Translated:
    """The weights by key, in the network's order, and the tensors that the network has no use for.

    Each tensor of the original is one of the network's or was left out; none has two places.
    """

    weights: Mapping[str, Tensor]
    left_out: tuple[str, ...]
    family: str


def translate(design: Design, graph: Graph, state: Mapping[str, Tensor]) -> Translated:
    """The state of an original as that of the genotype's network, or of the space's supernet.

    Raises E761 for a state of no known network, E762 for one of another genotype or size.
    """
    family = family_of(state)
    _check_amount(graph, state)
    known = dict(lowering.to_torch(graph).state_dict())
    found: dict[str, Tensor] = {}
    used = _tied(family, state)
    names, keys = Below(state), Below(known)
    for unit in family.units(design, graph):
        theirs = in_order(name for name in names(unit.theirs) if name not in used)
        ours = [key for start in unit.ours for key in keys(start)]
        if not ours and unit.theirs in family.optional:
            continue
        _check(unit, theirs, ours, state, known)
        used |= set(theirs)
        found |= {key: state[name] for key, name in zip(ours, theirs, strict=True)}
    left = [name for name in state if name not in used]
    strange = [n for n in left if not n.startswith(family.optional or ("\0",))]
    missing = [key for key in known if key not in found]
    if strange or missing:
        what = f"{quoted(strange[0])} has no place" if strange else f"'{missing[0]}' gets nothing"
        raise _misfit(f"{what} ({len(strange)} tensors are left, {len(missing)} are missing)")
    weights = {key: found[key].to(known[key].dtype) for key in known}
    return Translated(weights, tuple(left), family.name)


def _check_amount(graph: Graph, state: Mapping[str, Tensor]) -> None:
    """Raises E762 where the network is larger than the file, before it takes any memory."""
    wanted, there = nasir.cost(graph).params, sum(value.numel() for value in state.values())
    if wanted > there:
        raise _misfit(f"it has {wanted:,} parameters, and the file {there:,} numbers")


def _tied(family: Family, state: Mapping[str, Tensor]) -> set[str]:
    """The tensors that are others. Raises E762 where one is not equal to its other."""
    for name, other in family.tied.items():
        if name in state and not torch.equal(state[name], state[other]):
            raise _misfit(f"{quoted(name)} should be {quoted(other)}, and differs")
    return {name for name in family.tied if name in state}


def _check(
    unit: TensorGroup,
    theirs: list[str],
    ours: list[str],
    state: Mapping[str, Tensor],
    known: Mapping[str, Tensor],
) -> None:
    """Raises E762 unless the tensors of a part pair off, with equal shapes."""
    if len(theirs) != len(ours):
        raise _misfit(
            f"{quoted(unit.theirs)} has {len(theirs)} tensors, and '{unit.ours[0]}' takes "
            f"{len(ours)}"
        )
    for name, key in zip(theirs, ours, strict=True):
        if not state[name].is_floating_point():
            raise _misfit(f"{quoted(name)} is of {state[name].dtype}, which are no weights")
        if state[name].shape != known[key].shape:
            raise _misfit(
                f"{quoted(name)} has shape {list(state[name].shape)}, and '{key}' takes "
                f"{list(known[key].shape)}"
            )


def _misfit(message: str) -> NasirError:
    return NasirError(
        "E762",
        f"the weights do not fit the network: {message}",
        hint="the genotype that they were trained for; sizes are read from the file",
    )

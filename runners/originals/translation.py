"""An original's tensors under nasir's stable keys."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

import lowering
from nasir import Genotype, Graph, NasirError
from nasir.errors import quoted
from runners.originals.family import Family, family_of
from runners.originals.unit import Unit, in_order, is_below


@dataclass(frozen=True, slots=True)
class Translated:
    """The weights by key, in the network's order, and the tensors that the network has no use for.

    Each tensor of the original is one of the network's or was left out; none has two places.
    """

    weights: Mapping[str, Tensor]
    left_out: tuple[str, ...]
    family: str


def translate(genotype: Genotype, graph: Graph, state: Mapping[str, Tensor]) -> Translated:
    """The state of an original as that of the genotype's network.

    Raises E761 for a state of no known network, E762 for one of another genotype or size.
    """
    family = family_of(state)
    known = dict(lowering.to_torch(graph).state_dict())
    found: dict[str, Tensor] = {}
    used = _tied(family, state)
    for unit in family.units(genotype, graph):
        below = (name for name in state if is_below(name, unit.theirs) and name not in used)
        theirs = in_order(below)
        ours = [key for start in unit.ours for key in known if is_below(key, start)]
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


def _tied(family: Family, state: Mapping[str, Tensor]) -> set[str]:
    """The tensors that are others. Raises E762 where one is not equal to its other."""
    for name, other in family.tied.items():
        if name in state and not torch.equal(state[name], state[other]):
            raise _misfit(f"{quoted(name)} should be {quoted(other)}, and differs")
    return {name for name in family.tied if name in state}


def _check(
    unit: Unit,
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

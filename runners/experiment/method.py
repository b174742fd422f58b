"""A search method: its parts and settings, and the parts by name."""

from dataclasses import dataclass
from typing import Any

from nasir import NasirError
from nasir.errors import nearest, quoted
from runners.experiment.parts.architect import Architect, FirstOrder, Frozen, Reinforce, SecondOrder
from runners.experiment.parts.mixture import (
    Dirichlet,
    HardGumbel,
    MixturePart,
    Sampled,
    SoftGumbel,
    Softmax,
    Uniform,
)
from runners.experiment.parts.perturb import Ascent, Perturbation, UniformNoise
from runners.experiment.parts.regularise import L2, BetaDecay, KullbackLeibler, Regulariser
from runners.experiment.parts.select import Argmax, BestOf, Draw, Projection, Selection
from runners.experiment.parts.stop import EigenvalueStop
from runners.experiment.settings import Settings
from runners.fields import Ranged


@dataclass(frozen=True, slots=True)
class Method(Ranged):
    """The parts and settings of a search on one skeleton.

    `edges` weighs edges into nodes, which only some methods do; inputs and outputs of cells with
    ops on nodes are always weighed, by softmax unless `edges` says otherwise. `skeletons` are those
    on which the method's file has other values.
    """

    name: str
    about: str = ""
    paper: str = ""
    mixture: MixturePart = Softmax()
    edges: MixturePart | None = None
    perturb: Perturbation | None = None
    architect: Architect = FirstOrder()
    regularise: Regulariser = L2()
    select: Selection = Argmax()
    stop: EigenvalueStop | None = None
    settings: Settings = Settings()
    skeletons: tuple[str, ...] = ()

    @property
    def ranks(self) -> bool:
        """Whether the mixture's expected weights prefer some options to others."""
        return not isinstance(self.mixture, (Uniform, Sampled))


PARTS: dict[str, dict[str, Any]] = {
    "mixture": {
        "softmax": Softmax(),
        "dirichlet": Dirichlet(),
        "gumbel": SoftGumbel(),
        "hard-gumbel": HardGumbel(),
        "uniform": Uniform(),
        "controller": Sampled(),
    },
    "edges": {
        "none": None,
        "softmax": Softmax(),
        "uniform": Uniform(),
        "controller": Sampled(),
    },
    "perturb": {"none": None, "noise": UniformNoise(), "pgd": Ascent()},
    "architect": {
        "first": FirstOrder(),
        "second": SecondOrder(),
        "frozen": Frozen(),
        "reinforce": Reinforce(),
    },
    "regularise": {"l2": L2(), "kl": KullbackLeibler(), "beta": BetaDecay()},
    "select": {
        "argmax": Argmax(),
        "projection": Projection(),
        "best-of": BestOf(),
        "draw": Draw(),
    },
    "stop": {"none": None, "eigenvalue": EigenvalueStop()},
}
"""The parts by kind and name, as the command line and YAML files name them."""


def find_part(kind: str, name: str) -> Any:
    """The part of that kind and name. Raises E742."""
    known = PARTS[kind]
    if name not in known:
        message = f"unknown part {quoted(name)} for '{kind}'"
        raise NasirError("E742", message, hint=nearest(name, known))
    return known[name]


def part_name(kind: str, part: object) -> str:
    """The name of a part, whatever its fields."""
    return next(name for name, known in PARTS[kind].items() if type(known) is type(part))

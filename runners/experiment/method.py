"""Search methods: each published one is a row of parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nasir import NasirError
from nasir.errors import nearest, quoted
from nasir.table import Table
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
from runners.experiment.parts.regularise import L2, KullbackLeibler, Regulariser
from runners.experiment.parts.select import Argmax, BestOf, Draw, Projection, Selection
from runners.experiment.parts.stop import EigenvalueStop
from runners.experiment.settings import Settings, Stage
from runners.fields import Ranged, Share

NO_STAGES = Settings(stages=())


@dataclass(frozen=True, slots=True)
class Method(Ranged):
    """A row: parts, and what it trains with on each skeleton.

    `settings` are those of the `cifar` skeleton, `elsewhere` those of others; a skeleton that is
    not listed takes `settings`. `edges` weighs edges into nodes, which only some methods do; inputs
    and outputs of cells with ops on nodes are always weighed, by softmax unless `edges` says
    otherwise. `drop_path` is the largest probability, reached in the last epoch.
    """

    name: str
    title: str
    paper: str
    mixture: MixturePart = Softmax()
    edges: MixturePart | None = None
    perturb: Perturbation | None = None
    architect: Architect = FirstOrder()
    regularise: Regulariser = L2()
    select: Selection = Argmax()
    stop: EigenvalueStop | None = None
    drop_path: Share = 0.0
    settings: Settings = Settings()
    elsewhere: Mapping[str, Settings] = field(default_factory=dict[str, Settings])
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    @property
    def ranks(self) -> bool:
        """Whether the mixture's expected weights prefer some options to others."""
        return not isinstance(self.mixture, (Uniform, Sampled))

    def settings_for(self, skeleton: str) -> Settings:
        """What it trains with on that skeleton."""
        return self.elsewhere.get(skeleton, self.settings)

    def on(self, skeleton: str) -> "Method":
        """The method with the parts that its code has on that skeleton."""
        return replace(self, **self.variants.get(skeleton, {}))


# Constants: each row's own code; algorithms.md lists them. NAS-Bench-201 rows train at .025, and
# clip logits with the weights where the code has them among the model's parameters.
_DARTS = Settings()
_RNN = Settings(
    batch=256,
    rate=20.0,
    minimum=20.0,
    momentum=0.0,
    decay=5e-7,
    clip=0.25,
    logit_rate=3e-3,
    betas=(0.9, 0.999),
)
_SHOT = Settings(batch=96)
_TABULAR = Settings(clip_covers="all", stages=(Stage(100),))
_AUTODL = Settings(nesterov=True, decay=5e-4, clip_covers="all", stages=(Stage(250),))
_COMMON = {"nasbench201": _TABULAR, "nasbench1shot1": _SHOT, "rnn": _RNN}
_PC = Settings(batch=256, rate=0.1, minimum=0.0, logit_rate=6e-4, stages=(Stage(50, 15, parts=4),))
_PC_IMAGENET = Settings(
    batch=1024,
    rate=0.5,
    minimum=0.0,
    rate_warm_up=5,
    logit_rate=6e-3,
    logit_clip=5.0,
    stages=(Stage(50, 35, parts=2),),
)
_DRNAS = Settings(rate=0.1, minimum=0.0, logit_rate=6e-4)
_GROWING = replace(
    _DRNAS,
    stages=(Stage(25, 10, parts=6), Stage(25, 10, 4, 4)),
    sizes=(("channels", 36), ("layers", 20)),
)
_GROWING_IMAGENET = Settings(
    batch=512,
    rate=0.5,
    minimum=0.0,
    rate_warm_up=5,
    logit_rate=6e-3,
    logit_clip=5.0,
    stages=(Stage(25, 10, parts=6), Stage(25, 10, 4, 3)),
    sizes=(("channels", 48), ("layers", 14)),
)
_GROWING_TABULAR = replace(_TABULAR, stages=(Stage(50, 10, parts=4), Stage(50, 10, 3, 2)))
_PROJECTED = {**_COMMON, "nasbench201": replace(_TABULAR, clip_covers="weights")}

METHODS: Table[Method] = Table(
    Method(
        "darts",
        "Softmax over ops, architecture gradient of first order",
        "arXiv:1806.09055",
        settings=_DARTS,
        elsewhere=_COMMON,
    ),
    Method(
        "darts-2nd",
        "Softmax over ops, architecture gradient after an unrolled step",
        "arXiv:1806.09055",
        architect=SecondOrder(),
        settings=_DARTS,
        elsewhere=_COMMON,
    ),
    Method(
        "pc-darts",
        "A part of the channels, weighted edges",
        "arXiv:1907.05737",
        edges=Softmax(),
        settings=_PC,
        elsewhere={
            "imagenet_search": _PC_IMAGENET,
            "nasbench201": replace(_TABULAR, stages=(Stage(100, 15, parts=4),)),
        },
    ),
    Method(
        "drnas",
        "A Dirichlet distribution over mixtures",
        "arXiv:2006.10355",
        mixture=Dirichlet(),
        settings=_DRNAS,
        elsewhere=_COMMON,
    ),
    Method(
        "drnas-progressive",
        "The same, in stages: fewer ops, more channels",
        "arXiv:2006.10355",
        mixture=Dirichlet(),
        settings=_GROWING,
        elsewhere={"imagenet_search": _GROWING_IMAGENET, "nasbench201": _GROWING_TABULAR},
    ),
    Method(
        "sdarts-rs",
        "Weights trained at randomly perturbed mixtures",
        "arXiv:2002.05283",
        perturb=UniformNoise(),
        settings=_DARTS,
        elsewhere=_COMMON,
    ),
    Method(
        "sdarts-adv",
        "Weights trained at adversarially perturbed mixtures",
        "arXiv:2002.05283",
        perturb=Ascent(),
        settings=_DARTS,
        elsewhere=_COMMON,
    ),
    Method(
        "darts-pt",
        "DARTS, then edges decided one by one by what their removal costs",
        "arXiv:2108.04392",
        select=Projection(),
        settings=_DARTS,
        elsewhere=_PROJECTED,
    ),
    Method(
        "sdarts-rs-pt",
        "SDARTS-RS, then the same",
        "arXiv:2108.04392",
        perturb=UniformNoise(),
        select=Projection(),
        settings=_DARTS,
        elsewhere=_PROJECTED,
    ),
    Method(
        "blank-pt",
        "A supernet whose logits never learn, then the same",
        "arXiv:2108.04392",
        architect=Frozen(),
        select=Projection(),
        settings=_DARTS,
        elsewhere=_PROJECTED,
    ),
    Method(
        "gdas",
        "One op an edge at a time, by Gumbel's maximum",
        "arXiv:1910.04465",
        mixture=HardGumbel(),
        settings=replace(_DARTS, clip_covers="all", order="weights-first"),
        elsewhere={
            "nasbench201": replace(_AUTODL, order="weights-first"),
            "nasbench1shot1": replace(_SHOT, stages=(Stage(100),)),
            "rnn": _RNN,
        },
    ),
    Method(
        "snas",
        "The concrete distribution, with falling temperature",
        "arXiv:1812.09926",
        mixture=SoftGumbel(),
        settings=_DARTS,
        elsewhere=_COMMON,
    ),
    Method(
        "enas",
        "A controller that is rewarded for what it draws",
        "arXiv:1802.03268",
        mixture=Sampled(),
        edges=Sampled(),
        architect=Reinforce(),
        select=BestOf(count=100, batches=1, finalists=1),
        settings=replace(_AUTODL, decay=3e-4),
        elsewhere={"nasbench201": _AUTODL, "nasbench1shot1": _SHOT, "rnn": _RNN},
    ),
    Method(
        "random-ws",
        "Random architectures share weights; the best of many",
        "arXiv:1902.07638",
        mixture=Uniform(),
        edges=Uniform(),
        architect=Frozen(),
        select=BestOf(),
        settings=_DARTS,
        elsewhere={
            "nasbench201": _AUTODL,
            "nasbench1shot1": replace(_SHOT, batch=64, clip=0.25, stages=(Stage(50),)),
            "rnn": _RNN,
        },
        variants={"nasbench201": {"select": BestOf(count=100, batches=1, finalists=1)}},
    ),
    Method(
        "random",
        "A genotype drawn from the space; nothing is trained",
        "arXiv:1902.07638",
        mixture=Uniform(),
        edges=Uniform(),
        architect=Frozen(),
        select=Draw(),
        settings=NO_STAGES,
    ),
)

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
    "regularise": {"l2": L2(), "kl": KullbackLeibler()},
    "select": {
        "argmax": Argmax(),
        "projection": Projection(),
        "best-of": BestOf(),
        "draw": Draw(),
    },
    "stop": {"none": None, "eigenvalue": EigenvalueStop()},
}
"""The parts by kind and name, as the command line and YAML files name them."""


def find_method(name: str) -> Method:
    """The row of that name. Raises E742."""
    if name not in METHODS:
        raise NasirError("E742", f"unknown method {quoted(name)}", hint=nearest(name, METHODS))
    return METHODS[name]


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

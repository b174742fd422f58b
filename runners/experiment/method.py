"""Search methods: their parts, settings, files and rules."""

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache, partial
from typing import Annotated, Any, Self, cast

from pydantic import BeforeValidator, model_validator

from nasir import NasirError
from nasir.arguments import checked
from nasir.document import check_version, parse_document
from nasir.errors import nearest, quoted
from nasir.files import Source
from nasir.space.own_skeletons import find_skeleton
from nasir.table import Table
from runners.experiment.architect import (
    L2,
    Architect,
    Argmax,
    BestOf,
    BetaDecay,
    Draw,
    EigenvalueStop,
    FirstOrder,
    Frozen,
    KullbackLeibler,
    Projection,
    Regulariser,
    Reinforce,
    SecondOrder,
    Selection,
    Stop,
)
from runners.experiment.asking import (
    Asker,
    Evolution,
    Halving,
    LocalSearch,
    Pareto,
    RandomQueries,
)
from runners.experiment.fields import (
    FieldError,
    like_file,
    named_fields,
    named_source,
    with_place,
)
from runners.experiment.mixture import (
    Ascent,
    Dirichlet,
    HardGumbel,
    MixturePart,
    Perturbation,
    Sampled,
    SoftGumbel,
    Softmax,
    Uniform,
    UniformNoise,
    WholeGenotype,
)
from runners.experiment.predictor import Predictor
from runners.experiment.recipe import METHODS, Settings
from runners.experiment.values import (
    ProxyValue,
    RecipeValue,
    SupernetValue,
    TableValue,
    ValuePart,
)

_SHIPPED: dict[str, dict[str, Any]] = {
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
    "ask": {
        "none": None,
        "random": RandomQueries(),
        "evolution": Evolution(),
        "local": LocalSearch(),
        "predictor": Predictor(),
        "halving": Halving(),
        "pareto": Pareto(),
    },
    "value": {
        "none": None,
        "table": TableValue(),
        "recipe": RecipeValue(),
        "proxy": ProxyValue(),
        "supernet": SupernetValue(),
    },
}

PARTS = {kind: Table.of(parts, kind) for kind, parts in _SHIPPED.items()}
"""The parts by kind and name, as on the command line and in YAML files."""


def _part(kind: str, given: Any) -> Any:
    """Returns the part of a name, or of a mapping with `part` (its name) and fields.

    `table:FILE` is the value `table` of FILE. Raises an error for an unknown name.
    """
    if not isinstance(given, str | dict):
        return given
    name, colon, rest = given.partition(":") if isinstance(given, str) else ("", "", "")
    own: dict[str, Any] = {"part": given}
    if isinstance(given, dict):
        own = dict(cast("dict[str, Any]", given))
    elif kind == "value" and colon:
        own = {"part": name, "of": rest}
    if "part" not in own:
        raise FieldError("E109", "a part with fields of its own needs `part`, its name")
    name, known, path = str(own.pop("part")), PARTS[kind], ("part",) * isinstance(given, dict)
    if name not in known:
        message = f"unknown part {quoted(name)} for '{kind}'"
        raise FieldError("E201", message, nearest(name, known), path)
    if known[name] is None and own:
        raise FieldError("E109", f"the part of `{kind}` is none, which has no fields")
    return known[name].having(**own) if own else known[name]


def part_name(kind: str, part: object) -> str:
    """Returns the name of a part, whatever its fields."""
    names = (name for name, known in PARTS[kind].items() if type(known) is type(part))
    return next(names, type(part).__name__)


class Method(Settings):
    """The parts and settings of a search on one skeleton.

    `edges` weights edges into nodes, which only some methods do; inputs and outputs of cells with
    ops on nodes are always weighted, by default by softmax. The method's file has other values on
    `skeletons`. Raises an error for an unknown part or an invalid combination of parts.
    """

    name: str
    about: str = ""
    paper: str = ""
    mixture: Annotated[MixturePart, BeforeValidator(partial(_part, "mixture"))] = Softmax()
    edges: Annotated[MixturePart | None, BeforeValidator(partial(_part, "edges"))] = None
    perturb: Annotated[Perturbation | None, BeforeValidator(partial(_part, "perturb"))] = None
    architect: Annotated[Architect, BeforeValidator(partial(_part, "architect"))] = FirstOrder()
    regularise: Annotated[Regulariser, BeforeValidator(partial(_part, "regularise"))] = L2()
    select: Annotated[Selection, BeforeValidator(partial(_part, "select"))] = Argmax()
    stop: Annotated[Stop | None, BeforeValidator(partial(_part, "stop"))] = None
    ask: Annotated[Asker | None, BeforeValidator(partial(_part, "ask"))] = None
    value: Annotated[ValuePart | None, BeforeValidator(partial(_part, "value"))] = None
    skeletons: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for wrong, why, hint in _rules(self):
            if wrong:
                raise FieldError("E505", f"method '{self.name}': {why}", hint)
        return self


def with_parts(method: Method, changes: Mapping[str, Any]) -> Method:
    """Returns the method with other parts, by kind, and other settings.

    Edges follow a mixture that samples whole genotypes. Raises an error (E1xx for settings).
    """
    found = method.having(**changes)
    if "mixture" not in changes or "edges" in changes:
        return found
    if isinstance(found.mixture, WholeGenotype):
        return found.having(edges=found.mixture)
    return found.having(edges=None) if isinstance(found.edges, WholeGenotype) else found


def with_fraction(method: Method, text: str) -> Method:
    """Returns the method with 1/K of the channels in all stages. Raises an error unless 1/K."""
    try:
        fraction = Fraction(text)
    except (ValueError, ZeroDivisionError):
        message = f"{quoted(text)} is not a fraction"
        raise NasirError("E505", message, hint="for example 1/4") from None
    if fraction.numerator != 1:
        message = f"a fraction of channels is 1/K, not {fraction}"
        raise NasirError("E505", message, hint="for example 1/4")
    return method.having(stages=[s.having(parts=fraction.denominator) for s in method.stages])


def with_epochs(method: Method, epochs: int) -> Method:
    """Returns the method with `epochs` epochs; stages and warm-ups scale in proportion."""
    total = method.epochs
    if not total or epochs == total:
        return method
    if epochs < len(method.stages):
        message = f"{epochs} epochs are too few for {len(method.stages)} stages"
        raise NasirError("E505", message, hint="each stage needs an epoch")
    ends = [0]
    for number, stage in enumerate(method.stages, start=1):
        left = len(method.stages) - number
        end = ends[-1] + max(1, round(stage.epochs * epochs / total))
        ends.append(epochs if not left else min(end, epochs - left))
    stages = tuple(
        stage.having(
            epochs=end - start,
            warm_up=min(round(stage.warm_up * epochs / total), end - start),
        )
        for stage, start, end in zip(method.stages, ends[:-1], ends[1:], strict=True)
    )
    return method.having(stages=stages)


def _rules(method: Method) -> tuple[tuple[bool, str, str], ...]:
    """Returns for each rule whether it is broken, the message, and a hint."""
    mixture = method.mixture
    whole = isinstance(mixture, WholeGenotype)
    learns = isinstance(method.architect, (FirstOrder, SecondOrder))
    training = (
        (
            learns and whole,
            "its mixture does not depend on logits, so there is no gradient for an architect",
            "--architect frozen, or a mixture of logits (softmax, dirichlet, gumbel, hard-gumbel)",
        ),
        (
            isinstance(mixture, Sampled) != isinstance(method.architect, Reinforce),
            "a controller's samples and the architect that rewards it belong together",
            "--mixture controller --architect reinforce",
        ),
        (
            method.perturb is not None and not isinstance(mixture, Softmax),
            "a perturbation moves the weights of a softmax; other mixtures are drawn or one-hot",
            "--mixture softmax, or --perturb none",
        ),
        (
            isinstance(method.select, Projection) and (whole or isinstance(mixture, HardGumbel)),
            "projection measures what an op's removal costs, and here one op runs at a time",
            "--mixture softmax, dirichlet or gumbel",
        ),
        (
            isinstance(method.regularise, KullbackLeibler) and not isinstance(mixture, Dirichlet),
            "the KL term is that of a Dirichlet distribution",
            "--mixture dirichlet, or --regularise l2",
        ),
        (
            isinstance(method.stop, EigenvalueStop) and not learns,
            "the eigenvalue is that of the loss by the logits, which do not learn here",
            "--stop none",
        ),
    )
    return (*training, *_stage_rules(method))


def _stage_rules(method: Method) -> tuple[tuple[bool, str, str], ...]:
    """Returns those of what is trained, asked for and selected by."""
    return (
        (
            isinstance(method.select, Draw) and bool(method.stages),
            "drawing from the space needs no training",
            "--method random",
        ),
        (
            not method.stages and not isinstance(method.select, Draw),
            "nothing is trained, so there is nothing to select by",
            "give it stages, or --select draw",
        ),
        (
            method.ask is not None and bool(method.stages),
            "values are asked for instead of training a supernet",
            "--method evolution, or --ask none",
        ),
        (
            method.value is not None and method.ask is None,
            "nothing asks for values",
            "--ask evolution, or --method evolution",
        ),
        (
            isinstance(method.select, Argmax) and isinstance(method.mixture, WholeGenotype),
            "its mixture prefers nothing, so there is no best op",
            "--select best-of",
        ),
    )


CHANGES = (*Settings.model_fields, *PARTS)
"""The fields in which a method's file may differ from its base, on all skeletons or on one."""


@checked
def read_method(text: str, skeleton: str, outer: tuple[str, ...] = ()) -> Method:
    """Returns the published method of that name, or that of a YAML or JSON file, on a skeleton.

    Fields of a file: `method:` (its name), `about:`, `paper:`, `like:` (the base, another method),
    and `CHANGES`: parts by kind (`perturb: pgd`, or a mapping with `part:` and the part's fields),
    `stages:` (a list of epochs, warm_up, options, parts), and the sections of `Settings` by field.
    `on:` has `CHANGES` by skeleton, which override the others there. Raises an error with its place
    (E1xx for the file), also if the file is in `outer`, the files that are `like` it.
    """
    found = METHODS.get(text)
    if isinstance(found, Method):
        return found
    source, within = named_source(text, METHODS, outer)
    return (_read if within else _shipped)(source, skeleton, within)


def _read(source: Source, skeleton: str, outer: tuple[str, ...] = ()) -> Method:
    root = parse_document(source).root
    read = partial(read_method, skeleton=skeleton, outer=outer)
    base, changes = like_file(root, "method", ("about", "paper"), ("on", *CHANGES), read)
    if "nasir" in root.entries("a method"):
        check_version(root, "a method")
    base = base or Method(name="")
    skeletons = list(base.skeletons)
    on = root.entries("a method")["on"].entries("`on`") if "on" in changes else {}
    changes.pop("on", None)
    method = found = with_place(root, partial(with_parts, base, changes))
    for key, row in on.items():
        with_place(row, partial(find_skeleton, key))
        named_fields(row, "what differs on a skeleton", CHANGES)
        there = with_place(row, partial(with_parts, method, cast("dict[str, Any]", row.value)))
        skeletons.append(key)
        found = there if key == skeleton else found
    return found.having(skeletons=tuple(dict.fromkeys(skeletons)))


_shipped = lru_cache(maxsize=128)(_read)

"""A search method: its parts and settings, and the parts by name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from nasir import NasirError
from nasir.document import Cursor, check_version, parse_document
from nasir.errors import nearest, quoted
from nasir.source import read_source
from nasir.space.skeletons import find_skeleton
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
)
from runners.experiment.fields import (
    RENAMED,
    Ranged,
    check_names,
    filled,
    named_file,
    placed,
    sections,
    shipped_names,
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
from runners.experiment.recipe import Settings, Stage


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


def with_parts(method: Method, parts: Mapping[str, str]) -> Method:
    """The method with other parts, by kind and name. Raises E742 and E743."""
    return _replaced(method, {kind: find_part(kind, name) for kind, name in parts.items()})


def _replaced(method: Method, changed: dict[str, Any]) -> Method:
    """The method with these parts; edges follow a mixture that draws whole genotypes."""
    mixture = changed.get("mixture")
    if isinstance(mixture, WholeGenotype):
        changed.setdefault("edges", mixture)
    elif mixture is not None and isinstance(method.edges, WholeGenotype):
        changed.setdefault("edges", None)
    return checked(replace(method, **changed) if changed else method)


def with_fraction(settings: Settings, text: str) -> Settings:
    """The same with 1/K of the channels in all stages. Raises E743 unless the text is 1/K."""
    try:
        fraction = Fraction(text)
    except (ValueError, ZeroDivisionError):
        message = f"{quoted(text)} is no fraction of channels"
        raise NasirError("E743", message, hint="for example 1/4") from None
    if fraction.numerator != 1:
        message = f"a fraction of channels is 1/K, not {fraction}"
        raise NasirError("E743", message, hint="for example 1/4")
    stages = tuple(replace(stage, parts=fraction.denominator) for stage in settings.stages)
    return replace(settings, stages=stages)


def with_epochs(settings: Settings, epochs: int) -> Settings:
    """The same in so many epochs; stages and warm-ups shrink or grow in proportion."""
    total = settings.epochs
    if not total or epochs == total:
        return settings
    if epochs < len(settings.stages):
        message = f"{epochs} epochs are too few for {len(settings.stages)} stages"
        raise NasirError("E743", message, hint="each stage needs an epoch")
    ends = [0]
    for number, stage in enumerate(settings.stages, start=1):
        left = len(settings.stages) - number
        end = ends[-1] + max(1, round(stage.epochs * epochs / total))
        ends.append(epochs if not left else min(end, epochs - left))
    stages = tuple(
        replace(
            stage,
            epochs=end - start,
            warm_up=min(round(stage.warm_up * epochs / total), end - start),
        )
        for stage, start, end in zip(settings.stages, ends[:-1], ends[1:], strict=True)
    )
    return replace(settings, stages=stages)


def checked(method: Method) -> Method:
    """The method, if its parts mean something together. Raises E743 that says why not."""
    for wrong, why, hint in _rules(method):
        if wrong:
            raise NasirError("E743", f"method '{method.name}': {why}", hint=hint)
    return method


def _rules(method: Method) -> tuple[tuple[bool, str, str], ...]:
    """Whether each rule is broken, what it says, and what to try."""
    mixture = method.mixture
    whole = isinstance(mixture, WholeGenotype)
    learns = isinstance(method.architect, (FirstOrder, SecondOrder))
    controlled = isinstance(mixture, Sampled)
    return (
        (
            learns and whole,
            "its mixture does not depend on logits, so there is no gradient for an architect",
            "--architect frozen, or a mixture of logits (softmax, dirichlet, gumbel, hard-gumbel)",
        ),
        (
            controlled != isinstance(method.architect, Reinforce),
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
            method.stop is not None and not learns,
            "the eigenvalue is that of the loss by the logits, which do not learn here",
            "--stop none",
        ),
        (
            isinstance(method.select, Draw) and bool(method.settings.stages),
            "drawing from the space needs no training",
            "--method random",
        ),
        (
            not method.settings.stages and not isinstance(method.select, Draw),
            "nothing is trained, so there is nothing to select by",
            "give it stages, or --select draw",
        ),
        (
            isinstance(method.select, Argmax) and whole,
            "its mixture prefers nothing, so there is no best op",
            "--select best-of",
        ),
    )


SHIPPED = Path(__file__).parent / "methods"

method_names = partial(shipped_names, SHIPPED)

SECTIONS = tuple(sections(Settings()))

CHANGES = ("stages", *SECTIONS, *PARTS)
"""What a file may change of the method that it is like, on all skeletons or on one."""


def read_method(text: str, skeleton: str, outer: tuple[str, ...] = ()) -> Method:
    """The published method of that name, or the one of a YAML or JSON file, on that skeleton.

    A file says `method:` (its name), `about:`, `paper:`, `like:` (another method, which it
    overrides), and `CHANGES`: parts by kind (`perturb: pgd`, or a mapping with `part:` and the
    part's own fields), `stages:` (a list of epochs, warm_up, options, parts), and the sections of
    `Settings` by field. `on:` has `CHANGES` by skeleton, which override the file's others there.
    Raises E742, E743, and E1xx for the file, with the place.
    `outer` are the files that are `like` this one, E109 where it is among them.
    """
    path, within = named_file(text, SHIPPED, "E742", outer)
    return (_read if within else _shipped)(path, skeleton, within)


def _read(path: Path, skeleton: str, outer: tuple[str, ...] = ()) -> Method:
    root = parse_document(read_source(path)).root
    words = ("method", "about", "paper")
    _check_settings(root)
    entries = root.fields("a method", (), ("nasir", *words, "like", "on", *CHANGES))
    if "nasir" in entries:
        check_version(root, "a method")
    like, on = entries.get("like"), entries.get("on")
    said = {name: entries[name].text(f"`{name}`") for name in words if name in entries}
    name = said.pop("method", path.stem)
    base = Method(name)
    if like is not None:
        base = placed(like, partial(read_method, like.text("`like`"), skeleton, outer))
    base = replace(base, name=name, **said)
    method = _changed(base, root, entries)
    for key, row in (on.entries("`on`") if on else {}).items():
        placed(row, partial(find_skeleton, key))
        check_names(row, "a method", ("pictures",))
        there = _changed(method, row, row.fields("what differs on a skeleton", (), CHANGES))
        base = replace(base, skeletons=(*base.skeletons, key))
        method = there if key == skeleton else method
    return replace(method, skeletons=tuple(dict.fromkeys(base.skeletons)))


_shipped = lru_cache(maxsize=128)(_read)


def _check_settings(root: Cursor) -> None:
    """Raises E109 for the settings of version 0.1, with their names now."""
    check_names(root, "a method", ("drop_path", "pictures"))
    entries = root.entries("a method")
    if "settings" in entries:
        found = entries["settings"].entries("`settings`")
        check_names(entries["settings"], "a method", tuple(set(found) & set(RENAMED)))
        hint = f"the sections are {', '.join(SECTIONS)}"
        raise entries["settings"].fault("E109", "a method has no field `settings`", hint)


def _changed(method: Method, at: Cursor, entries: Mapping[str, Cursor]) -> Method:
    """The method with the `CHANGES` among the entries."""
    parts = {kind: _part(kind, entries[kind]) for kind in PARTS if kind in entries}
    own: Any = method.settings
    for name in SECTIONS:
        if name in entries:
            section = filled(getattr(own, name), entries[name].entries(f"`{name}`"))
            own = replace(own, **{name: section})
    if "stages" in entries:
        items = entries["stages"].items("`stages`")
        rows = tuple(filled(Stage(1), row.entries("a stage")) for row in items)
        own = placed(entries["stages"], partial(replace, own, stages=rows))
    return placed(at, partial(_replaced, replace(method, settings=own), parts))


def _part(kind: str, cursor: Cursor) -> Any:
    """The part that an entry names, with the fields that it gives."""
    if not isinstance(cursor.value, Mapping):
        return placed(cursor, partial(find_part, kind, cursor.text("a part")))
    entries = dict(cursor.entries("a part"))
    if "part" not in entries:
        raise cursor.fault("E109", "a part with fields of its own needs `part`, its name")
    name = entries.pop("part")
    part = placed(name, partial(find_part, kind, name.text("`part`")))
    if part is None and entries:
        raise cursor.fault("E109", f"the part of `{kind}` is none, which has no fields")
    return filled(part, entries) if entries else part

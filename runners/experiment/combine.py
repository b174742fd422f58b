"""Methods with other parts and other numbers, and what goes together."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from nasir import NasirError
from runners.experiment.method import Method, find_part
from runners.experiment.parts.architect import FirstOrder, Reinforce, SecondOrder
from runners.experiment.parts.mixture import Dirichlet, HardGumbel, Sampled, Softmax, Uniform
from runners.experiment.parts.regularise import KullbackLeibler
from runners.experiment.parts.select import Argmax, Draw, Projection
from runners.experiment.settings import Settings


def with_parts(method: Method, parts: Mapping[str, str]) -> Method:
    """The method with other parts, by kind and name. Raises E742 and E743."""
    changed = {kind: find_part(kind, name) for kind, name in parts.items()}
    whole_draws = ("uniform", "controller")
    if parts.get("mixture") in whole_draws and "edges" not in parts:
        changed["edges"] = changed["mixture"]
    elif "mixture" in parts and isinstance(method.edges, (Uniform, Sampled)):
        changed.setdefault("edges", None)
    return checked(replace(method, **changed) if changed else method)


def with_fraction(settings: Settings, fraction: Fraction) -> Settings:
    """The same with 1/K of the channels in all stages. Raises E743 unless it is 1/K."""
    if fraction.numerator != 1:
        raise NasirError(
            "E743", f"a fraction of channels is 1/K, not {fraction}", hint="for example 1/4"
        )
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
    whole = isinstance(mixture, (Uniform, Sampled))
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

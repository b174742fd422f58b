"""Mixtures whose live options the host knows, and networks that run these alone.

Which branches are live changes at every step, so no program is written: the rules are called node
by node, with values in the place of names.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from torch import Tensor, nn

from lowering.torch.code import Code
from lowering.torch.program import find_rule
from lowering.torch.rule import TorchEmitter
from nasir import Graph, Node
from nasir.ops import Attrs, OpSpec
from nasir.template import make_attrs
from nasir.types import (
    ImageType,
    SequenceType,
    SignalType,
    TokenType,
    Type,
    VectorType,
    WeightsType,
)

Live = Mapping[str, Sequence[int]]
"""The live options of some choices, by name; of other choices all are live."""

Weights = Callable[[str], Tensor]
"""The weight of a key."""


@dataclass(frozen=True)
class Mixture(Mapping[str, Tensor]):
    """For each choice the weights of its options, and which of them are live.

    A network that is called with it computes live options alone and takes the weights of others as
    zeros, whatever they are; it never reads a weight on the host.
    """

    weights: Mapping[str, Tensor]
    live: Live = field(default_factory=dict[str, Sequence[int]])

    def __getitem__(self, name: str) -> Tensor:
        return self.weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)


def places(module: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """The module of each parameter and buffer, and its name there, by key."""
    found: dict[str, tuple[nn.Module, str]] = {}
    for key, _ in (*module.named_parameters(), *module.named_buffers()):
        path, _, name = key.rpartition(".")
        found[key] = (module.get_submodule(path), name)
    return found


@dataclass(frozen=True, slots=True)
class Immediate(TorchEmitter):
    """Calls functions of values at once."""

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The result."""
        return function(*args, **kwargs)

    def once(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result."""
        return function(*args)


@dataclass(frozen=True, slots=True)
class SampledStep:
    """A value to be computed, of live options alone; without a node it is zero.

    `last` are the values that no later step reads.
    """

    name: str
    node: Node | None
    last: tuple[str, ...]


class SampledGraph:
    """A graph with some options live: a function of weights by key and of the graph's inputs."""

    def __init__(
        self,
        graph: Graph,
        outputs: Sequence[str],
        live: Live,
        *,
        training: bool,
        follow: bool = True,
        together: bool = False,
    ) -> None:
        self.graph = graph
        self.outputs = outputs
        self.live = live
        self.training = training
        self.follow = follow
        self.together = together
        self.steps = _steps(graph, outputs, live)
        self._emitter = self._emitter_of(None)

    def __call__(self, weights: Weights, inputs: Sequence[Tensor]) -> Any:
        """The outputs, one alone or a tuple."""
        names = (name for name, _ in self.graph.inputs)
        values: dict[str, Tensor | None] = dict(zip(names, inputs, strict=True))
        for step in self.steps:
            values[step.name] = self._run(step.node, values, weights, inputs)
            for name in step.last:
                del values[name]
        results = tuple(self._given(name, values, inputs) for name in self.outputs)
        return results[0] if len(results) == 1 else results

    def _run(
        self,
        node: Node | None,
        values: Mapping[str, Tensor | None],
        weights: Weights,
        inputs: Sequence[Tensor],
    ) -> Tensor | None:
        """The node's value; None if it is zero because of what is not live."""
        if node is None:
            return None
        names = node.inputs
        if any(values[name] is None for name in names):
            present = tuple(name for name in names if values[name] is not None)
            data = tuple(n for n in present if not isinstance(self.graph.types[n], WeightsType))
            if not data and _keeps_zero(node):
                return None
            names = present if node.has("sum") and present else names
        arguments: tuple[Any, ...] = tuple(self._given(name, values, inputs) for name in names)
        own: tuple[Any, ...] = tuple(weights(ref.key) for ref in node.params)
        emitter = self._emitter_of(node) if node.body else self._emitter
        assert isinstance(node.op, OpSpec)
        result: Any = find_rule(node.op)(emitter, node.attrs, *arguments, *own)
        return result

    def _given(
        self, name: str, values: Mapping[str, Tensor | None], inputs: Sequence[Tensor]
    ) -> Tensor:
        """The value, or zeros of its type for as many examples as the inputs have."""
        value = values[name]
        if value is not None:
            return value
        type_ = self.graph.types[name]
        floats = next(x for x in inputs if x.is_floating_point())
        return floats.new_zeros((*self._batch(inputs, type_), *type_.shape))

    def _batch(self, inputs: Sequence[Tensor], wanted: Type) -> tuple[int, ...]:
        """(examples,), or (time, examples) for a sequence."""
        for (_, type_), value in zip(self.graph.inputs, inputs, strict=True):
            if isinstance(type_, (TokenType, SequenceType)):
                sizes = tuple(value.shape[:2])
                return sizes if isinstance(wanted, SequenceType) else sizes[1:]
            if isinstance(type_, (ImageType, VectorType, SignalType)):
                return tuple(value.shape[:1])
        raise AssertionError("a graph reads something that is no choice's weights")

    def _emitter_of(self, node: Node | None) -> Immediate:
        function = partial(self._body, node, follow=self.follow)
        replay = partial(self._body, node, follow=False)
        modes = (self.training, self.follow, self.together)
        return Immediate(_NOTHING, *modes, "", function, replay)

    def _body(self, node: Node | None, body: Graph, *, follow: bool) -> Callable[..., Any]:
        """The function of the node's body, of its inputs and then of its weights."""
        assert node is not None
        pairs = zip(body.inputs, node.inputs, strict=True)
        live = {inner: self.live[outer] for (inner, _), outer in pairs if outer in self.live}
        run = SampledGraph(
            body,
            body.outputs,
            live,
            training=self.training,
            follow=follow,
            together=self.together,
        )
        count, keys = len(body.inputs), [ref.key for ref in body.params]

        def function(*arguments: Tensor) -> Any:
            own = dict(zip(keys, arguments[count:], strict=True))
            return run(own.__getitem__, arguments[:count])

        return function


_NOTHING = Code()
"""Raises: calls that are executed at once have no text."""


def _steps(graph: Graph, outputs: Iterable[str], live: Live) -> tuple[SampledStep, ...]:
    """The nodes that the outputs need, in order."""
    needed = set(outputs)
    steps: list[SampledStep] = []
    for node in reversed(graph.nodes):
        if node.name not in needed:
            continue
        running = _of_live(node, live) if node.has("mixture") else node
        last = {*running.inputs} - needed if running else set[str]()
        needed |= last
        steps.append(SampledStep(node.name, running, tuple(last)))
    return tuple(reversed(steps))


def _of_live(mix: Node, live: Live) -> Node | None:
    """The mixture of its live options; None if it has none."""
    choice, *values = mix.inputs
    if choice not in live:
        return mix
    options: tuple[int, ...] = dict(mix.attrs)["options"]
    alive = frozenset(live[choice])
    kept = tuple((v, o) for v, o in zip(values, options, strict=True) if o in alive)
    if not kept:
        return None
    attrs = _mixing(mix.op, tuple(o for _, o in kept))
    return replace(mix, inputs=(choice, *(v for v, _ in kept)), attrs=attrs)


@cache
def _mixing(op: OpSpec, options: tuple[int, ...]) -> Attrs:
    return make_attrs(op, {"options": options})


def _keeps_zero(node: Node) -> bool:
    """True if it is zero of zeros."""
    if node.has("sum") or node.has("keeps_zero"):
        return True
    return node.has("linear") and all(ref.name != "bias" for ref in node.params)

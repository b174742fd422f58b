"""The network as an ordinary nn.Module."""

import gc
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from inspect import Parameter, Signature
from typing import Any

import torch
from torch import Tensor, nn

from lowering.torch.entrance import Entrance, without_unread
from lowering.torch.fused import flat_weights
from lowering.torch.policies import policy
from lowering.torch.program import Function, Mode, Program, make_program
from lowering.torch.ranks import BatchPart
from lowering.torch.sampled import Live, Mixture, SampledGraph, places
from lowering.torch.store import FlatWeights, Store, register
from nasir import Feature, Graph, NasirError, run_passes
from nasir.arguments import checked
from nasir.errors import quoted
from nasir.passes import (
    EVALUATION,
    MEMORY,
    PASSES,
    PLAIN,
    SHARED,
    TIDY,
    TRAINED,
    MemoryLevel,
    Pass,
    shared,
    summed,
)
from nasir.passes.supernet import PROBABILITY, check_picks

Finish = Callable[[Function], Function]


class Network(nn.Module):
    """A lowered graph. `state_dict` keys are the graph's stable keys.

    `module(image)` with image (N, 3, H, W) gives logits (N, classes); in training mode, if the
    graph has auxiliary outputs, the tuple (logits, auxiliary logits). A language model's
    `module(tokens, hidden)` with tokens (T, N) and hidden (N, units) gives log-probabilities
    (T, N, vocabulary) and the next hidden (N, units). A supernet takes a mixture last, which maps
    the name of each choice to the weights of its options, shape (options,). Weights that the passes
    left without a reader stay parameters, so that the state is the same whatever passes ran.

    `graph` is what training mode runs, and evaluation mode unless `evaluation` gives passes: then
    it runs the graph that these make of `plain`; `sampling` are those for the training of a mixture
    with few live options. With `channels_last` images are brought into that memory format first,
    with `together` batch norms use the statistics of all processes' batches.

    The arguments of a call are checked: an error says what is taken and what was given, what a
    mixture lacks, or that a batch of one leaves a batch norm a single value.
    """

    def __init__(
        self,
        graph: Graph,
        store: Store,
        *,
        trainable: bool = True,
        plain: Graph | None = None,
        evaluation: tuple[Pass, ...] = (),
        sampling: tuple[Pass, ...] = (),
        channels_last: bool = False,
        together: bool = False,
    ) -> None:
        super().__init__()
        self.channels_last = channels_last
        self._together = together
        self.graph = graph
        self._plain = plain or graph
        self._entrance = Entrance(self._plain, together=together)
        self._drop_path = 0.0
        self._evaluation = evaluation
        self._sampling = sampling
        self._trainable = trainable
        self._last: tuple[Pass, ...] = ()
        self._finish: Finish | None = None
        self._sources: dict[bool, Program] = {}
        self._programs: dict[bool, Callable[..., Any]] = {}
        self._functions: dict[tuple[bool, bool], Callable[..., Any]] = {}
        self._places: dict[str, tuple[nn.Module, str]] = {}
        self._laid: dict[tuple[str, ...], FlatWeights] = {}  # those of all that share the weights
        self._flat: dict[str, tuple[FlatWeights, FlatWeights]] = {}
        self._graphs: dict[str, Graph] = {}
        self._written(training=trainable)
        register(self, store)
        object.__setattr__(self, "__class__", _with_arguments(self._entrance.names))

    def forward(self, *inputs: Any) -> Any:
        """The outputs for a batch of inputs; of a supernet, the last of these is the mixture.

        Arguments are named as the graph's inputs are (`image`), and the last `mixture`.

        Of a `Mixture` that says what is live, nothing else runs; an error says what is wrong with
        it. Such a call keeps all that its branches need for backward, whatever the level.
        """
        if _is_sampled(inputs):
            sampled = self._sampled(inputs)
            weight = self._given(self.leaves) if self._flat else self._weight
            return sampled(weight, self._arguments(sampled.graph, inputs))
        program = self._program(training=self.training)
        return program(self, *self._arguments(self._running, inputs))

    @property
    def _running(self) -> Graph:
        """The graph that the present mode runs."""
        return self._lowered(training=self.training)[0]

    @property
    def drop_path(self) -> float:
        """The probability that training drops a path of an example (`nasir.drop_path`); first 0.

        It may change between calls: nothing is compiled again. Setting raises an error outside [0,
        1), or for more than 0 where the graph has no paths that are dropped.
        """
        return self._drop_path

    @drop_path.setter
    def drop_path(self, value: float) -> None:
        if not 0 <= value < 1:
            message = f"a probability to drop paths is 0 or more and less than 1, not {value}"
            raise NasirError("E107", message)
        if value and PROBABILITY not in self.graph.types:
            raise NasirError(
                "E505",
                f"the probability to drop paths cannot be {value}: the network drops none",
                hint="lower nasir.drop_path(graph) instead of the graph",
            )
        self._drop_path = value

    @property
    def part(self) -> BatchPart | None:
        """The examples of a batch that calls are given, if other processes have the rest.

        What is drawn at random is drawn for the batch, so that it does not depend on the parts.
        """
        return self._entrance.part

    @part.setter
    def part(self, value: BatchPart | None) -> None:
        self._entrance.part = value

    @property
    def feature_info(self) -> tuple[Feature, ...]:
        """`graph.features`: names, channels and strides of the outputs, if they are stages'."""
        return self.graph.features

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the weights that are learned, in the order of `parameters()`."""
        return tuple(key for key, _ in self.named_parameters())

    def flatten_parameters(self) -> list[Tensor]:
        """Lays the weights of each mixed sum into one tensor that trains for them; see `leaves`.

        Returns the leaves. From then on training computes gradients by these alone, so that a step
        of a supernet moves some dozens of tensors instead of more than a thousand. Parameters and
        buffers stay, with their keys, and share the memory. What is to be frozen has to be before.
        Evaluation reads the parameters.
        """
        if not self._flat:
            found = flat_weights(self._graph("trained"), self._owners(), self._laid)
            self.__dict__.update(_nothing_made(), _flat=found)
        for each in self._laid.values():
            if each.apart:
                each.gather()
        return self.leaves

    @property
    def leaves(self) -> list[Tensor]:
        """The tensors that training moves: `parameters()`, or after `flatten_parameters` fewer."""
        return list(self._leaves().values())

    def by_key(self, values: Sequence[Tensor]) -> dict[str, Tensor]:
        """Tensors that are laid out like the leaves, and in their order, apart by weights' keys."""
        found = dict(zip(self._leaves(), values, strict=True))
        for weights, _ in self._flat.values():
            found |= zip(weights.keys, weights.pieces(found[weights.key]), strict=True)
        return found

    def _leaves(self) -> dict[str, Tensor]:
        """The leaves, each by the key of its first weight."""
        found: dict[str, Tensor] = dict(self.named_parameters())
        for weights, _ in self._flat.values():
            for key in weights.keys[1:]:
                del found[key]
            found[weights.key] = weights.value
        return found

    def call(self, weights: Sequence[Tensor], *inputs: Any) -> Any:
        """The outputs with these weights, in the order of `leaves`, instead of its own.

        Running statistics are the module's, and follow the batch's in training.
        """
        return self._called(weights, inputs, follow=True)

    def call_apart(self, weights: Sequence[Tensor], *inputs: Any) -> Any:
        """Calls the network without changing running statistics."""
        return self._called(weights, inputs, follow=False)

    def _arguments(self, graph: Graph, inputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
        """The inputs of a lowered graph, in its order, from those of the network."""
        training = self.training and self._trainable
        if training and not torch.compiler.is_compiling():
            self._check_flat()
        given = self._entrance(inputs, graph, training=training, drop_path=self._drop_path)
        return tuple(map(_channels_last, given)) if self.channels_last else given

    @property
    def programs(self) -> dict[bool, Callable[..., Any]]:
        """The functions of (module, inputs), by whether they train; made at the first call."""
        return {training: self._program(training=training) for training in (True, False)}

    def _program(self, *, training: bool) -> Callable[..., Any]:
        if training not in self._programs:
            with _nothing_collected():
                self._programs[training] = self._written(training=training).function()
        return self._programs[training]

    def with_programs(self, programs: Mapping[bool, Callable[..., Any]]) -> "Network":
        """A module with the same weights (shared, not copied) that runs other functions."""
        return self._twin(_programs=dict(programs))

    def with_bodies(self, passes: tuple[Pass, ...], finish: Finish) -> "Network":
        """A module with the same weights that runs what these passes make of its graphs.

        `finish` is applied to the functions of bodies, of those that apply no other.
        """
        return self._twin(**_nothing_made(), _last=passes, _finish=finish)

    def with_graph(self, graph: Graph) -> "Network":
        """A module with the same weights (shared, not copied) that runs another graph as it is.

        The graph consists of primitives and has no other inputs or weights: a part of the network,
        for example, or one whose outputs are values within it.
        """
        entrance = Entrance(graph)
        plain = {"_evaluation": (), "_sampling": (), "_last": ()}
        return self._twin(**_nothing_made(), **plain, graph=graph, _plain=graph, _entrance=entrance)

    def _twin(self, **changed: Any) -> "Network":
        """A module with the same weights and other attributes."""
        twin = self.__class__.__new__(self.__class__)
        twin.__dict__.update(self.__dict__)
        twin.__dict__.update(changed)
        return twin

    def lie_channels_last(self) -> "Network":
        """Switches weights and inputs to channels_last in place; returns self."""
        moved: Any = self
        moved.to(memory_format=torch.channels_last)  # a form that torch's types lack
        self.channels_last = True
        return self

    def source(self, *, training: bool = False) -> str:
        """The Python that runs, for reading."""
        return self._written(training=training).text

    def _written(self, *, training: bool) -> Program:
        """A program; a network for inference only runs the same one in both modes."""
        training = training and self._trainable
        if training not in self._sources:
            self._sources[training] = make_program(
                *self._lowered(training=training),
                self._mode(training=training),
                flat=self._flat if training else {},
            )
        return self._sources[training]

    def _called(self, weights: Sequence[Tensor], inputs: tuple[Any, ...], *, follow: bool) -> Any:
        if not _is_sampled(inputs):
            function = self._function(follow=follow)
            if self._flat and not self.training:  # where parts are one tensor in training alone
                weights = list(self.by_key(weights).values())
            return function(self, *self._arguments(self._running, inputs), *weights)
        sampled = self._sampled(inputs, follow=follow)
        return sampled(self._given(weights), self._arguments(sampled.graph, inputs))

    def _given(self, leaves: Sequence[Tensor]) -> Callable[[str], Tensor]:
        """The weight of a key, from tensors in the place of the leaves; or the buffer."""
        given = self.by_key(leaves)
        return lambda key: given[key] if key in given else self._weight(key)

    def _sampled(self, inputs: tuple[Any, ...], *, follow: bool = True) -> SampledGraph:
        """Returns the part of the graph that runs for the live options of the mixture."""
        training = self.training and self._trainable
        live: Live = inputs[-1].live
        check_picks(self._plain, live)
        graph = self._graph("sampled" if training else "evaluated")
        outputs = (*graph.outputs, *graph.auxiliary) if training else graph.outputs
        return SampledGraph(
            graph, outputs, live, training=training, follow=follow, together=self._together
        )

    def _weight(self, key: str) -> Tensor:
        """The parameter or buffer of a key."""
        module, name = self._owners()[key]
        return getattr(module, name)

    def _owners(self) -> dict[str, tuple[nn.Module, str]]:
        if not self._places:
            self._places.update(places(self))
        return self._places

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        super()._apply(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType] - torch's is untyped
        for each in self._laid.values():
            each.gather()
        return self

    def requires_grad_(self, requires_grad: bool = True) -> "Network":
        """As of any module; flat weights, too."""
        super().requires_grad_(requires_grad)
        for each in self._laid.values():
            each.follow()
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As of any module; of flat weights, too."""
        super().zero_grad(set_to_none)
        for each in self._laid.values():
            if set_to_none:
                each.value.grad = None
            elif each.value.grad is not None:
                each.value.grad.detach_().zero_()

    def _check_flat(self) -> None:
        for weights, running in self._flat.values():
            if weights.apart or running.apart:
                raise NasirError(
                    "E505",
                    f"'{weights.key}' is no longer a part of the flat weights, which train for it",
                    hint="call flatten_parameters() again after weights were replaced",
                )

    def _function(self, *, follow: bool) -> Callable[..., Any]:
        """The function of (module, inputs, weights in the order of `leaves`), made at the first."""
        training = self.training and self._trainable
        if (training, follow) not in self._functions:
            mode = self._mode(training=training, follow=follow)
            flat = self._flat if training else {}
            keys = self._leaves() if training else self.by_key(self.leaves)
            program = make_program(*self._lowered(training=training), mode, keys, flat)
            self._functions[training, follow] = program.function()
        return self._functions[training, follow]

    def _lowered(self, *, training: bool) -> tuple[Graph, tuple[str, ...]]:
        """The graph that runs, and its outputs, always the same for inference only."""
        if training and self._trainable:
            graph = self._graph("trained")
            return graph, (*graph.outputs, *graph.auxiliary)
        graph = self._graph("ran")
        return graph, graph.outputs

    def _graph(self, use: str) -> Graph:
        """The graph for a use: it is `trained`, `sampled` in training, or `evaluated`, or `ran`."""
        if use not in self._graphs:
            made: dict[str, Callable[[], tuple[Graph, tuple[Pass, ...]]]] = {
                "trained": lambda: (self.graph, self._last),
                "sampled": lambda: (self._plain, self._sampling),
                "evaluated": lambda: (self._plain, (*self._evaluation, *EVALUATION)),
                "ran": lambda: (self._graph("evaluated"), self._last),
            }
            graph, passes = made[use]()
            self._graphs[use] = without_unread(run_passes(graph, passes)[0])
        return self._graphs[use]

    def _mode(self, *, training: bool, follow: bool = True) -> Mode:
        mode = Mode(training, follow, self._together)
        return mode if self._finish is None else replace(mode, finish=self._finish)

    def __reduce__(self) -> tuple[Any, ...]:
        return _bare, (self._entrance.names,), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | _nothing_made() | {"_places": {}, "_laid": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def extra_repr(self) -> str:
        about = self.graph.about
        facts = [about.get(name, "") for name in ("name", "skeleton")]
        return ", ".join(fact for fact in facts if fact)


@cache
def _with_arguments(names: tuple[str, ...]) -> type[Network]:
    """The class whose `forward` has these arguments: torch.export reads its signature.

    A wrong number of them is left to `Network.forward`, which says what is taken.
    """
    arguments = ", ".join(f"{name}=..." for name in names)
    given = f"[x for x in ({', '.join(names)}, *__more) if x is not ...]"
    scope: dict[str, Any] = {"__run": Network.forward}  # names that no identifier() is
    exec(f"def forward(__self, {arguments}, *__more):\n return __run(__self, *{given})", scope)
    forward = scope["forward"]
    plain = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("self", *names)]
    forward.__signature__ = Signature(plain)
    forward.__doc__ = Network.forward.__doc__
    members = {"forward": forward, "__module__": __name__, "__doc__": Network.__doc__}
    return type(Network.__name__, (Network,), members)


def _nothing_made() -> dict[str, Any]:
    """What a network makes of its graph when it is first called, before that."""
    return {"_programs": {}, "_sources": {}, "_functions": {}, "_graphs": {}, "_flat": {}}


def _bare(names: tuple[str, ...]) -> Network:
    """A network without anything yet, for pickle."""
    made = _with_arguments(names)
    return made.__new__(made)


def _channels_last(value: Tensor) -> Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value


def _is_sampled(inputs: tuple[Any, ...]) -> bool:
    return bool(inputs) and isinstance(inputs[-1], Mixture) and bool(inputs[-1].live)


@checked
def to_torch(
    graph: Graph,
    seed: int = 0,
    optimise: bool = True,
    memory: MemoryLevel = "none",
    device: str | torch.device = "cpu",
    together: bool = False,
) -> Network:
    """The network in torch, on the device in float32, in training mode.

    Each weight's initial value depends on `seed` and its key alone. `optimise=False` runs the
    papers' sequence of operations, nothing shared; results are bitwise the same in float64.
    `memory` says what training keeps for the backward pass (see `nasir.passes.memory`). A
    supernet is lowered as the policy for the device says; moved to another one, it runs there too.
    `together`, in one of several processes that torch.distributed joins, makes batch norms use the
    statistics of all processes' batches in training.
    """
    try:
        place = torch.device(device)
    except RuntimeError:
        raise NasirError("E502", f"unknown device {quoted(device)}") from None
    with _nothing_collected():
        return _lowered(graph, seed, optimise, memory, place.type, together).to(place)


@contextmanager
def _nothing_collected() -> Generator[None]:
    """Suspends the garbage collector, which would look through all that torch holds."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _lowered(
    graph: Graph, seed: int, optimise: bool, memory: MemoryLevel, device: str, together: bool
) -> Network:
    plain, _ = run_passes(graph, PLAIN)
    store = Store(plain.params, seed)
    plain, _ = run_passes(plain, TRAINED)
    if not optimise:
        kept, _ = run_passes(plain, MEMORY[memory])
        return Network(kept, store, plain=plain, together=together)
    cse = PASSES["cse"]
    if not graph.choices:
        lowered, _ = run_passes(plain, (*SHARED, *MEMORY[memory], cse))
        evaluation = (*TIDY, cse)
        return Network(lowered, store, plain=plain, evaluation=evaluation, together=together)
    chosen = policy(device)
    passes = summed(memory) if chosen.mixed_sums.taken else shared(memory)
    lowered, _ = run_passes(plain, passes)
    return Network(
        lowered,
        store,
        plain=plain,
        evaluation=(*TIDY, cse),
        sampling=(cse,),
        channels_last=chosen.channels_last.taken,
        together=together,
    )

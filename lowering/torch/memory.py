"""Values that are computed a second time for the backward pass, instead of what they are made of.

The checkpoints of Chen et al., arXiv:1604.06174; here the second run leaves running statistics
alone, and repeats the random draws of the first. `saved_bytes` measures what autograd keeps.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lowering.torch.code import Variable
from lowering.torch.rule import Emit, TorchEmitter
from nasir.arguments import checked
from nasir.graph import graph_of
from nasir.ops.fused import CallAttrs

Function = Callable[..., Tensor]
Values = tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class Runs:
    """`first` and `again` compute one value; only the first moves running statistics.

    `buffers` are the places of the arguments that no gradient reaches and that change in place;
    `random` says whether the runs draw.
    """

    first: Function
    again: Function
    buffers: frozenset[int]
    random: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The state of a run beside its arguments: autocast, and the generators where it draws."""

    device: torch.device
    autocast: tuple[torch.dtype, bool, bool]
    states: tuple[Tensor, ...]

    @classmethod
    def now(cls, value: Tensor, *, random: bool) -> "Surroundings":
        """Returns the present state, for a run on the value's device."""
        kind = value.device.type
        enabled, cached = torch.is_autocast_enabled(kind), torch.is_autocast_cache_enabled()
        autocast = (torch.get_autocast_dtype(kind), enabled, cached)
        return cls(value.device, autocast, _states(value.device) if random else ())

    @contextmanager
    def restored(self) -> Generator[None]:
        """Restores the surroundings of the run, and afterwards the present ones."""
        dtype, enabled, cached = self.autocast
        later = _states(self.device) if self.states else ()
        with torch.autocast(self.device.type, dtype, enabled, cached):
            _set_states(self.device, self.states)
            try:
                yield
            finally:
                _set_states(self.device, later)


def _states(device: torch.device) -> tuple[Tensor, ...]:
    """The states of the generators that a run on the device may draw from."""
    host = torch.get_rng_state()
    return (host, torch.cuda.get_rng_state(device)) if device.type == "cuda" else (host,)


def _set_states(device: torch.device, states: tuple[Tensor, ...]) -> None:
    for place, state in enumerate(states):
        torch.cuda.set_rng_state(state, device) if place else torch.set_rng_state(state)


class Recomputed(torch.autograd.Function):
    """`first(*arguments)`, whose backward pass is that of `again(*arguments)`."""

    @staticmethod
    def forward(ctx: Any, runs: Runs, *arguments: Tensor) -> Tensor:
        """The value; of the arguments, all but the buffers are saved."""
        ctx.runs = runs
        ctx.around = Surroundings.now(arguments[0], random=runs.random)
        ctx.kept = {place: arguments[place] for place in runs.buffers}
        ctx.save_for_backward(*(x for i, x in enumerate(arguments) if i not in runs.buffers))
        return runs.first(*arguments)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator hides names
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        """The gradients of the arguments that need one."""
        needed: tuple[bool, ...] = ctx.needs_input_grad[1:]
        saved = iter(ctx.saved_tensors)
        arguments = [
            ctx.kept[i] if i in ctx.kept else next(saved).detach().requires_grad_(need)
            for i, need in enumerate(needed)
        ]
        with torch.enable_grad(), ctx.around.restored():
            result = ctx.runs.again(*arguments)
        if not result.requires_grad:  # a body of zeros reads its inputs for their shape alone
            return (None, *(None for _ in needed))
        wanted = [x for x, need in zip(arguments, needed, strict=True) if need]
        found = iter(torch.autograd.grad(result, wanted, gradients, allow_unused=True))
        return (None, *(next(found) if need else None for need in needed))


def _recompute(e: TorchEmitter, a: CallAttrs, *values: Variable) -> Variable:
    """In evaluation, the body alone."""
    first = e.function(graph_of(a.body))
    if not e.training:
        return e.call(first, *values)
    first_weight = len(values) - len(a.body.params)
    buffers = (first_weight + i for i, ref in enumerate(a.body.params) if ref.buffer)
    runs = Runs(first, e.replay(graph_of(a.body)), frozenset(buffers), a.body.has("random"))
    return e.call(_recomputed(runs, e.name), *values)


def _recomputed(runs: Runs, name: str) -> Function:
    """`Recomputed` of these runs, under the name of its node."""

    def recomputed(*arguments: Tensor) -> Tensor:
        # torch's own annotation of `apply` is partly unknown.
        return Recomputed.apply(runs, *arguments)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    recomputed.__name__ = f"recomputed_{name}"
    return recomputed


def _call(e: TorchEmitter, a: CallAttrs, *values: Variable) -> Variable:
    return e.call(e.function(graph_of(a.body)), *values)


RULES: Mapping[str, Emit] = {"recompute": _recompute, "call": _call}


@dataclass(frozen=True, slots=True)
class SavedBytes:
    """The bytes that one forward pass keeps, and the number of tensors that keep them.

    In `bytes` memory that several tensors keep counts once, and that of parameters and buffers,
    which are there anyway, does not count. `tensors` counts each time that one is kept.
    """

    bytes: int
    tensors: int


@checked
def saved_bytes(module: nn.Module, *inputs: Any) -> SavedBytes:
    """Measures what a call of the module with these inputs keeps for backward.

    In training mode the call updates running statistics, as any does.
    """
    own = {_place(value) for value in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}
    count = 0

    def note(value: Tensor) -> Tensor:
        nonlocal count
        count += 1
        place = _place(value)
        if place not in own:
            kept[place] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, _same), torch.enable_grad():
        results = module(*inputs)
    del results  # only now may memory be used again: a place names one storage while it is alive
    return SavedBytes(sum(kept.values()), count)


def _same(value: Tensor) -> Tensor:
    return value


def _place(value: Tensor) -> int:
    return value.untyped_storage().data_ptr()

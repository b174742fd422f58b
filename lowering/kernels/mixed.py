"""Mixed sums as a differentiable torch function: several, of which later ones read earlier ones."""

import ctypes
import functools
import math
import weakref
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lowering.kernels.build import library
from lowering.kernels.pool import POOL, lend
from lowering.kernels.units import KernelChain, SumLayout, lay_out, weight_count

_Grads = tuple[Tensor | None, ...]


class SumPlan:
    """A layout as the library holds it."""

    def __init__(
        self,
        layout: SumLayout,
        images: int,
        weights: tuple[tuple[int, ...], ...],
        dtype: torch.dtype,
    ) -> None:
        functions = library()
        functions.nasir_plan.restype = ctypes.c_void_p
        code = (ctypes.c_long * len(layout.code))(*layout.code)
        numbers = (ctypes.c_double * max(1, len(layout.numbers)))(*layout.numbers)
        self.handle = ctypes.c_void_p(functions.nasir_plan(code, numbers, dtype.itemsize))
        weakref.finalize(self, functions.nasir_forget, self.handle)
        functions.nasir_kept.restype = ctypes.c_long
        self.kept: int = functions.nasir_kept(self.handle)
        self.dtype = dtype
        self.terms = layout.terms
        self.out = (images, *layout.out)
        self.channels = sum(layout.norms)
        self.weights = [math.prod(shape) for shape in weights]
        self.running = [channels for channels in layout.norms for _ in range(2)]
        self.forward: Any = getattr(functions, f"nasir_forward_{_KINDS[dtype]}")
        self.backward: Any = getattr(functions, f"nasir_backward_{_KINDS[dtype]}")


class SharedValue:
    """A value (N, C, H, W) that several sums read, which add up the gradients of it themselves.

    `tensor` is the value under a name of its own, which nothing but sums reads: autograd hands on
    what the first of them returns in a backward pass only when all of them have added theirs.
    """

    __slots__ = ("_left", "_readers", "_sum", "_task", "tensor", "value")

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self.tensor = value.view_as(value)
        self._readers = 0
        self._left = 0
        self._task = -1
        self._sum: Tensor | None = None

    def expect(self) -> None:
        """Notes one more reader."""
        self._readers += 1

    def gradient(self, like: Tensor) -> tuple[Tensor, bool]:
        """The tensor for the sum of gradients, and whether others have added theirs already."""
        task: int = _torch_c._current_graph_task_id()
        found, begun = self._sum, self._task == task
        if found is None or not begun:
            found, begun = lend(like.shape, like.dtype), False
            self._task, self._left = task, self._readers
        self._left -= 1
        self._sum = found if self._left else None
        return found, begun


_torch_c: Any = torch._C  # pyright: ignore[reportPrivateUsage] - a backward pass has no public number


class SumStep(NamedTuple):
    """A sum among several: the places of its values among those given and the sums before it.

    `recompute`: backward makes again what it needs, instead of keeping it.
    """

    plan: SumPlan
    sources: tuple[int, ...]
    recompute: bool = False

    @property
    def keeps(self) -> bool:
        """True if backward is handed what forward made."""
        return not self.recompute and self.plan.kept > 0


class SumsPlan:
    """Sums of one call, in order: `count` values are given, and `outputs` are the sums asked for.

    A step's sources are those of the given values first, and then of the sums. `channels` are where
    each step's begin among all norms', and at last their number.
    """

    def __init__(self, steps: Sequence[SumStep], count: int, outputs: Sequence[int]) -> None:
        self.steps = tuple(steps)
        self.count = count
        self.outputs = tuple(count + at for at in outputs)
        self.channels = tuple(accumulate((step.plan.channels for step in steps), initial=0))
        self.inner = sorted({at for step in steps for at in step.sources if at >= count})


def plan_sum(
    terms: tuple[KernelChain, ...],
    values: Sequence[tuple[int, ...]],
    weights: tuple[tuple[int, ...], ...],
    dtype: torch.dtype,
) -> SumPlan:
    """The plan of a sum of `terms` over values of these shapes, (N, C, H, W), with such weights.

    `weights` are the shapes, for each term and unit in order, of the depthwise weight (C, 1, h, w)
    if its window is depthwise, then of the product's if it has one: (Cout, Cin, 1, 1), of a dense
    window (Cout, Cin, h, w), of a factorized one two, whose Cout are halves of the unit's. Raises
    TypeError where one does not fit.
    """
    if len(weights) != weight_count(terms):
        raise TypeError(
            f"{len(terms)} terms need {weight_count(terms)} weights and are given {len(weights)}"
        )
    return _plan(terms, values[0][0], tuple(value[1:] for value in values), weights, dtype)


def mixed_sums(
    plan: SumsPlan,
    values: Sequence[Tensor | SharedValue],
    coefficients: Sequence[Tensor],
    weights: Sequence[Sequence[Tensor]],
    running: Sequence[Sequence[Tensor]],
) -> tuple[Tensor, ...]:
    """The sums of coefficients[t] * terms[t](values) that are asked for, and statistics last.

    values: of one type, float32 or float64; sums are channels_last. Of each step, coefficients:
    one for each term; weights: as planned, or one flat tensor that holds them one after the other;
    `running`: of each norm its running mean and variance, contiguous and of the values' type, which
    follow the batch's mean and unbiased variance, or one flat tensor, or none. The statistics,
    (2, sum of the norms' channels), are the batch's means and biased variances, norm after norm in
    the order of steps, terms and units; no gradient flows through them.

    Backward needs the values, coefficients, weights and statistics, and of a step that does not
    recompute also dense convolutions, factorized reduces and the products behind depthwise windows,
    but for terms of a single depthwise window of 9 taps or fewer.
    """
    for step, numbers, own, moved in zip(plan.steps, coefficients, weights, running, strict=True):
        _check(step.plan, numbers, own, moved)
    shared = [value if isinstance(value, SharedValue) else None for value in values]
    plain = [value.tensor if isinstance(value, SharedValue) else value for value in values]
    tensors = [
        *(value.contiguous(memory_format=torch.channels_last) for value in plain),
        *(numbers.contiguous() for numbers in coefficients),
        *(weight.contiguous() for own in weights for weight in own),
    ]
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    starts = [*accumulate(map(len, weights), initial=len(values) + len(coefficients))]
    return _apply(plan, shared, keep, starts, running, *tensors)


def _check(
    plan: SumPlan, coefficients: Tensor, weights: Sequence[Tensor], running: Sequence[Tensor]
) -> None:
    if coefficients.numel() != plan.terms:
        raise TypeError(f"{plan.terms} terms are given {coefficients.numel()} coefficients")
    for name, given, sizes in (
        ("weights", weights, plan.weights),
        ("running statistics", running, plan.running),
    ):
        counts = [each.numel() for each in given]
        if counts not in (sizes, [sum(sizes)]) and (given or name == "weights"):
            raise TypeError(f"the {name} are not those of the plan: {counts}")


def release() -> None:
    """Frees the unused memory that calls share."""
    library().nasir_release()
    POOL.release()


def supports(value: Tensor) -> bool:
    """True if mixed sums take values like this one: on the CPU, in float32 or float64."""
    return value.device.type == "cpu" and value.dtype in _KINDS


def is_sum(value: Tensor) -> bool:
    """True if a call of `mixed_sums` made the value, with a gradient."""
    made: Any = _MixedSums
    return isinstance(value.grad_fn, made._backward_cls)


class _Arrays(ctypes.Structure):
    _fields_ = (
        ("values", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("coefficients", ctypes.c_void_p),
        ("kept", ctypes.c_void_p),
        ("mean", ctypes.c_void_p),
        ("variance", ctypes.c_void_p),
        ("running", ctypes.c_void_p),
        ("flat_weights", ctypes.c_long),
        ("flat_running", ctypes.c_long),
    )


class _Gradients(ctypes.Structure):
    _fields_ = (
        ("out", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("add", ctypes.c_char_p),
        ("weights", ctypes.c_void_p),
        ("coefficients", ctypes.c_void_p),
    )


_KINDS = {torch.float32: "float", torch.float64: "double"}


@functools.lru_cache(maxsize=512)
def _plan(
    terms: tuple[KernelChain, ...],
    images: int,
    values: tuple[tuple[int, int, int], ...],
    weights: tuple[tuple[int, ...], ...],
    dtype: torch.dtype,
) -> SumPlan:
    return SumPlan(lay_out(terms, images, values, weights), images, weights, dtype)


class _Context(FunctionCtx):
    """What forward leaves for backward; `starts` are where each step's weights begin, and end."""

    plan: SumsPlan
    shared: Sequence[SharedValue | None]
    keep: bool
    starts: Sequence[int]
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]


_GIVEN = 5
"""The arguments of a call before its tensors."""


class _MixedSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        plan: SumsPlan,
        shared: Sequence[SharedValue | None],
        keep: bool,
        starts: Sequence[int],
        running: Sequence[Sequence[Tensor]],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        values, kept = list(tensors[: plan.count]), list[Tensor]()
        statistics = values[0].new_empty((2, plan.channels[-1]))
        for i, (step, moved) in enumerate(zip(plan.steps, running, strict=True)):
            one = step.plan
            memory = lend((one.kept,), one.dtype) if keep and step.keeps else None
            kept += [] if memory is None else [memory]
            arrays = _arrays(
                one,
                [values[source] for source in step.sources],
                tensors[plan.count + i],
                tensors[starts[i] : starts[i + 1]],
                memory,
                statistics,
                plan.channels[i],
                moved,
            )
            values.append(lend(one.out, one.dtype))
            place = ctypes.c_void_p(values[-1].data_ptr())
            one.forward(one.handle, torch.get_num_threads(), ctypes.byref(arrays[0]), place)
        for value, needed in zip(shared, ctx.needs_input_grad[_GIVEN:], strict=False):
            if needed and value is not None:
                value.expect()
        ctx.plan, ctx.shared, ctx.keep, ctx.starts = plan, shared, keep, starts
        ctx.mark_non_differentiable(statistics)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(statistics, *tensors, *(values[at] for at in plan.inner), *kept)
        return *(values[at] for at in plan.outputs), statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> _Grads:  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the name of ctx
        return (*[None] * _GIVEN, *_Backward(ctx, gradients[:-1]).run())


# torch leaves what `apply` returns untyped.
_apply = cast("Callable[..., tuple[Tensor, ...]]", _MixedSums.apply)  # pyright: ignore[reportUnknownMemberType] - as above


class _Backward:
    """The steps from the last to the first; `flows` are the gradients of values and sums so far."""

    def __init__(self, ctx: _Context, gradients: Sequence[Tensor | None]) -> None:
        self.plan = plan = ctx.plan
        self.shared, self.keep, self.starts = ctx.shared, ctx.keep, ctx.starts
        self.wanted = ctx.needs_input_grad[_GIVEN:]
        end = 1 + len(self.wanted)
        self.statistics = ctx.saved_tensors[0]
        self.tensors = ctx.saved_tensors[1:end]
        inner = ctx.saved_tensors[end : end + len(plan.inner)]
        self.kept = list(ctx.saved_tensors[end + len(inner) :])
        self.values = dict(enumerate(self.tensors[: plan.count]))
        self.values |= zip(plan.inner, inner, strict=True)
        self.needed = list(self.wanted[: plan.count])
        self.flows = dict(zip(plan.outputs, gradients, strict=True))
        self.sums: set[int] = set()  # the flows that take what is added to them
        self.found: list[Tensor | None] = [None] * len(self.tensors)
        for i, step in enumerate(plan.steps):
            own = self.wanted[plan.count + i], *self.wanted[self.starts[i] : self.starts[i + 1]]
            self.needed.append(any(own) or any(self.needed[source] for source in step.sources))

    def run(self) -> list[Tensor | None]:
        """The gradients of values, coefficients and weights; None of what nothing depends on."""
        for i in reversed(range(len(self.plan.steps))):
            step = self.plan.steps[i]
            kept = self.kept.pop() if self.keep and step.keeps else None
            gradient = self.flows.pop(self.plan.count + i, None)
            if gradient is not None and self.needed[self.plan.count + i]:
                self._step(i, gradient, kept)
        return self.found

    def _step(self, i: int, gradient: Tensor, kept: Tensor | None) -> None:
        step, place, learned = (
            self.plan.steps[i],
            self.plan.count + i,
            slice(*self.starts[i : i + 2]),
        )
        own, channel = self.tensors[learned], self.plan.channels[i]
        if not gradient.is_contiguous(memory_format=torch.channels_last):
            gradient = lend(gradient.shape, gradient.dtype).copy_(gradient)
        flows = [self._flow(source) for source in step.sources]
        values = _addresses([flow for flow, _ in flows])
        weights = None
        if any(self.wanted[learned]):
            made = [
                lend(each.shape, each.dtype) if each.dim() == 1 else torch.empty_like(each)
                for each in own
            ]
            self.found[learned] = made
            weights = _addresses(made)
        if self.wanted[place]:
            self.found[place] = torch.empty_like(self.tensors[place])
        gradients = _Gradients(
            gradient.data_ptr(),
            ctypes.addressof(values) if any(flow is not None for flow, _ in flows) else None,
            bytes(added for _, added in flows),
            None if weights is None else ctypes.addressof(weights),
            _address(self.found[place]),
        )
        given = [self.values[source] for source in step.sources]
        numbers = self.tensors[place]
        arrays = _arrays(step.plan, given, numbers, own, kept, self.statistics, channel, ())
        threads = torch.get_num_threads()
        step.plan.backward(
            step.plan.handle, threads, ctypes.byref(arrays[0]), ctypes.byref(gradients)
        )

    def _flow(self, source: int) -> tuple[Tensor | None, bool]:
        """Memory for a value's gradient, if it is wanted, and whether it holds a part of it."""
        if not self.needed[source]:
            return None, False
        if source in self.sums:
            return self.flows[source], True
        self.sums.add(source)
        value, given = self.values[source], self.flows.get(source)
        if given is not None:  # which others may have, too
            flow = lend(value.shape, value.dtype).copy_(given)
            self.flows[source] = flow
            return flow, True
        shared = self.shared[source] if source < self.plan.count else None
        flow, added = shared.gradient(value) if shared else (lend(value.shape, value.dtype), False)
        self.flows[source] = flow
        if source < self.plan.count and not added:
            self.found[source] = flow
        return flow, added


def _arrays(
    plan: SumPlan,
    values: Sequence[Tensor],
    coefficients: Tensor,
    weights: Sequence[Tensor],
    kept: Tensor | None,
    statistics: Tensor,
    channel: int,
    running: Sequence[Tensor],
) -> tuple[_Arrays, object]:
    """The library's view of the tensors, and the objects that it refers to.

    The sum's statistics begin with that channel.
    """
    places = _addresses(values), _addresses(weights), _addresses(running)
    mean = statistics.data_ptr() + channel * statistics.itemsize
    arrays = _Arrays(
        ctypes.addressof(places[0]),
        ctypes.addressof(places[1]),
        coefficients.data_ptr(),
        _address(kept),
        mean,
        mean + statistics.nbytes // 2,
        ctypes.addressof(places[2]) if running else None,
        len(weights) < len(plan.weights),
        len(running) < len(plan.running),
    )
    return arrays, places


def _addresses(tensors: Sequence[Tensor | None]) -> ctypes.Array[ctypes.c_void_p]:
    """Where tensors lie."""
    return (ctypes.c_void_p * len(tensors))(*map(_address, tensors))


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()

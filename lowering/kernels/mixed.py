"""The mixed sum as a differentiable torch function: one call forward, one backward."""

import contextlib
import ctypes
import functools
import math
import mmap
import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lowering.kernels.build import library
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

    def gradient(self, make: Callable[[], Tensor]) -> tuple[Tensor, bool]:
        """The tensor for the sum of gradients, and whether others have added theirs already."""
        task: int = _torch_c._current_graph_task_id()
        begun = self._sum is not None and self._task == task
        if not begun:
            self._sum, self._task, self._left = make(), task, self._readers
        found = self._sum
        assert found is not None
        self._left -= 1
        if not self._left:
            self._sum = None
        return found, begun


_torch_c: Any = torch._C  # the number of a backward pass has no public name


def plan_sum(
    terms: tuple[KernelChain, ...],
    values: Sequence[Tensor],
    weights: tuple[tuple[int, ...], ...],
) -> SumPlan:
    """The plan of a sum of `terms` over values like these, (N, C, H, W), with such weights.

    `weights` are the shapes, for each term and unit in order, of the depthwise weight (C, 1, h, w)
    if its window is depthwise, then of the product's if it has one: (Cout, Cin, 1, 1), of a dense
    window (Cout, Cin, h, w), of a factorized one two, whose Cout are halves of the unit's. Raises
    TypeError where one does not fit.
    """
    if len(weights) != weight_count(terms):
        raise TypeError(f"{weight_count(terms)} weights are needed, not {len(weights)}")
    images = values[0].shape[0]
    return _plan(terms, images, tuple(tuple(v.shape[1:]) for v in values), weights, values[0].dtype)


def mixed_sum(
    plan: SumPlan,
    values: Sequence[Tensor | SharedValue],
    coefficients: Tensor,
    weights: Sequence[Tensor],
    running: Sequence[Tensor] = (),
    *,
    recompute: bool,
) -> tuple[Tensor, Tensor]:
    """The sum of coefficients[t] * terms[t](values), and the norms' means and variances.

    values: as planned, of one type, float32 or float64; the sum is channels_last. coefficients: one
    for each term. weights: as planned, or one flat tensor that holds them one after the other. The
    means and biased variances, (2, sum of the norms' channels), are the batch's, norm after norm in
    the order of terms and units; no gradient flows through them. `running`: of each norm its
    running mean and variance, contiguous and of the values' type, which follow the batch's mean and
    unbiased variance; or none; or one flat tensor.

    Backward needs the values, coefficients, weights and statistics, and with `recompute=False`
    also dense convolutions, factorized reduces and the products behind depthwise windows, but for
    terms of a single depthwise window of 9 taps or fewer; with `recompute=True` all are made again.
    """
    if coefficients.numel() != plan.terms:
        raise TypeError(f"{plan.terms} terms are given {coefficients.numel()} coefficients")
    for name, given, sizes in (
        ("weights", weights, plan.weights),
        ("running statistics", running, plan.running),
    ):
        counts = [each.numel() for each in given]
        if counts not in (sizes, [sum(sizes)]) and (given or name == "weights"):
            raise TypeError(f"the {name} are not those of the plan: {counts}")
    shared = [value if isinstance(value, SharedValue) else None for value in values]
    plain = [value.tensor if isinstance(value, SharedValue) else value for value in values]
    tensors = [
        coefficients.contiguous(),
        *(value.contiguous(memory_format=torch.channels_last) for value in plain),
        *(weight.contiguous() for weight in weights),
    ]
    differentiated = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return _apply(plan, shared, differentiated and not recompute, running, *tensors)


def release() -> None:
    """Frees the unused memory that calls share."""
    library().nasir_release()
    POOL.release()


def supports(value: Tensor) -> bool:
    """True if mixed sums take values like this one: on the CPU, in float32 or float64."""
    return value.device.type == "cpu" and value.dtype in _KINDS


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
    """Tensors that forward leaves for backward."""

    plan: SumPlan
    shared: Sequence[SharedValue | None]
    kept: bool
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]


class _MixedSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        plan: SumPlan,
        shared: Sequence[SharedValue | None],
        keep: bool,
        running: Sequence[Tensor],
        coefficients: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        kept = [_lend((plan.kept,), plan.dtype)] if keep and plan.kept else []
        statistics = coefficients.new_empty((2, plan.channels))
        out = _lend(plan.out, plan.dtype)
        arrays = _arrays(plan, len(shared), coefficients, tensors, kept, statistics, running)
        plan.forward(
            plan.handle,
            torch.get_num_threads(),
            ctypes.byref(arrays[0]),
            ctypes.c_void_p(out.data_ptr()),
        )
        for value, needed in zip(shared, ctx.needs_input_grad[5:], strict=False):
            if needed and value is not None:
                value.expect()
        ctx.plan, ctx.shared, ctx.kept = plan, shared, bool(kept)
        ctx.mark_non_differentiable(statistics)
        ctx.set_materialize_grads(False)  # no zeros in the place of a gradient of statistics
        ctx.save_for_backward(coefficients, statistics, *tensors, *kept)
        return out, statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> _Grads:  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the name of ctx
        return _backward(ctx, gradients[0])


# torch leaves what `apply` returns untyped.
_apply = cast("Callable[..., tuple[Tensor, Tensor]]", _MixedSum.apply)  # pyright: ignore[reportUnknownMemberType] - as above


def _backward(ctx: _Context, gradient: Tensor) -> _Grads:
    plan, count = ctx.plan, len(ctx.shared)
    coefficients, statistics, *rest = ctx.saved_tensors
    tensors = rest[: len(rest) - ctx.kept]
    wanted = ctx.needs_input_grad[4:]
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    made: list[tuple[Tensor | None, bool]] = [
        _value_gradient(value, shared) if need else (None, False)
        for value, shared, need in zip(tensors, ctx.shared, wanted[1:], strict=False)
    ]
    weighted = any(wanted[count + 1 :])
    of_values = [each for each, _ in made]
    of_weights = [
        (_lend(each.shape, each.dtype) if each.dim() == 1 else torch.empty_like(each))
        if weighted
        else None
        for each in tensors[count:]
    ]
    of_coefficients = torch.empty_like(coefficients) if wanted[0] else None
    values, weights = _addresses(of_values), _addresses(of_weights)
    gradients = _Gradients(
        gradient.data_ptr(),
        ctypes.addressof(values) if any(wanted[1 : count + 1]) else None,
        bytes(added for _, added in made),
        ctypes.addressof(weights) if weighted else None,
        _address(of_coefficients),
    )
    arrays = _arrays(plan, count, coefficients, tensors, rest[len(tensors) :], statistics, ())
    plan.backward(
        plan.handle, torch.get_num_threads(), ctypes.byref(arrays[0]), ctypes.byref(gradients)
    )
    first = (None if added else each for each, added in made)
    return (None, None, None, None, of_coefficients, *first, *of_weights)


def _value_gradient(value: Tensor, shared: SharedValue | None) -> tuple[Tensor, bool]:
    """Memory for the gradient of a value, and whether it holds a part of it already."""
    if shared is None:
        return _lend(value.shape, value.dtype), False
    return shared.gradient(lambda: _lend(value.shape, value.dtype))


def _arrays(
    plan: SumPlan,
    count: int,
    coefficients: Tensor,
    tensors: Sequence[Tensor],
    kept: Sequence[Tensor],
    statistics: Tensor,
    running: Sequence[Tensor],
) -> tuple[_Arrays, object]:
    """The library's view of the tensors, and the objects that it refers to."""
    values, weights = _addresses(tensors[:count]), _addresses(tensors[count:])
    moved = _addresses(running)
    mean = statistics.data_ptr()
    arrays = _Arrays(
        ctypes.addressof(values),
        ctypes.addressof(weights),
        coefficients.data_ptr(),
        _address(kept[0]) if kept else None,
        mean,
        mean + plan.channels * statistics.itemsize,
        ctypes.addressof(moved) if running else None,
        len(weights) < len(plan.weights),
        len(running) < len(plan.running),
    )
    return arrays, (values, weights, moved)


def _addresses(tensors: Sequence[Tensor | None]) -> ctypes.Array[ctypes.c_void_p]:
    """Where tensors lie."""
    return (ctypes.c_void_p * len(tensors))(*map(_address, tensors))


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


_LEAST = 1 << 17
"""The bytes from which on a tensor's memory is lent; the allocator keeps smaller ones by itself."""


class _Pool:
    """Memory by its size, for images and for what backward needs: used again from step to step.

    Fresh pages cost more than the arithmetic that fills them, and the allocator hands large blocks
    back to the system after each backward. Blocks that several steps did not ask for, as after a
    batch or a supernet of another size, are freed.
    """

    def __init__(self) -> None:
        self.free: dict[int, list[mmap.mmap]] = {}
        self.blocks = 0
        self._spare: dict[int, int] = {}  # the fewest that were free since the last sweep, by size
        self._calls = 0

    def block(self, size: int) -> mmap.mmap:
        """A block of that size; whoever has used it puts it into `free`."""
        self._calls += 1
        if self._calls > max(2048, 8 * self.blocks):  # of a step there are about two for each block
            self._sweep()
        free = self.free.setdefault(size, [])
        try:
            block = free.pop()
        except IndexError:
            self.blocks += 1
            block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with contextlib.suppress(OSError):  # a system without huge pages
                    block.madvise(mmap.MADV_HUGEPAGE)
        self._spare[size] = min(self._spare.get(size, 0), len(free))
        return block

    def idle(self) -> int:
        """The bytes that are free."""
        return sum(size * len(free) for size, free in self.free.items())

    def release(self) -> None:
        """Frees all that is not in use."""
        self._spare = {size: len(free) for size, free in self.free.items()}
        self._sweep()

    def _sweep(self) -> None:
        self._calls = 0
        for size, free in self.free.items():
            unused = self._spare.get(size, 0)
            del free[:unused]
            self.blocks -= unused
            self._spare[size] = len(free)


POOL = _Pool()


def _lend(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor, not initialised; its memory comes back when it is dropped. Images channels_last."""
    size = math.prod(shape) * dtype.itemsize
    strides = None
    if len(shape) == 4:
        _, channels, height, width = shape
        strides = (channels * height * width, 1, width * channels, channels)
    if size < _LEAST:
        return torch.empty_strided(shape, strides or (1,), dtype=dtype)
    block = POOL.block(size)
    view = (ctypes.c_char * size).from_buffer(block)
    weakref.finalize(view, POOL.free[size].append, block).atexit = False
    flat = torch.frombuffer(view, dtype=dtype)
    if strides is None:
        return flat
    # Not a view: torch forbids to change views that such functions make.
    return torch.empty(0, dtype=dtype).set_(flat.untyped_storage(), 0, shape, strides)

"""The mixed sum as a differentiable torch function: one call forward, one backward."""

import contextlib
import ctypes
import functools
import itertools
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


def mixed_sum(
    terms: tuple[KernelChain, ...],
    values: Sequence[Tensor],
    coefficients: Tensor,
    weights: Sequence[Tensor],
    running: Sequence[Tensor] = (),
    *,
    recompute: bool,
    shapes: tuple[tuple[int, ...], ...] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of coefficients[t] * terms[t](values), and the norms' means and variances.

    values: (N, C, H, W), one type, float32 or float64; the sum is channels_last. coefficients: one
    for each term. weights: for each term and unit in order, the depthwise weight (C, 1, h, w) if
    its window is depthwise, then the product's if it has one: (Cout, Cin, 1, 1), of a dense window
    (Cout, Cin, h, w), of a factorized one two, whose Cout are halves of the unit's. The means and
    biased variances, (sum of the norms' channels,), are the batch's, norm after norm in the order
    of terms and units; no gradient flows through them. `running`: of each norm its running mean
    and variance, contiguous and of the values' type, which follow the batch's mean and unbiased
    variance; or none. With `shapes` of the weights, these are one flat tensor that holds them one
    after the other, and so are the running statistics.

    Backward needs the values, coefficients, weights and statistics, and with `recompute=False`
    also dense convolutions, factorized reduces and the products behind depthwise windows, but for
    terms of a single depthwise window of 9 taps or fewer; with `recompute=True` all are made again.
    """
    if shapes is None:
        shapes = tuple(tuple(weight.shape) for weight in weights)
    elif sum(map(math.prod, shapes)) != sum(weight.numel() for weight in weights):
        raise TypeError(f"the flat weights are not those of the shapes {shapes}")
    if len(shapes) != weight_count(terms) or len(terms) != coefficients.numel():
        raise TypeError(
            f"{len(terms)} terms with {weight_count(terms)} weights are given "
            f"{coefficients.numel()} coefficients and {len(shapes)} weights"
        )
    nhwc = [value.contiguous(memory_format=torch.channels_last) for value in values]
    plain = [weight.contiguous() for weight in weights]
    tensors = [coefficients.contiguous(), *nhwc, *plain]
    plan = _plan(
        terms,
        values[0].shape[0],
        tuple((value.shape[1], value.shape[2], value.shape[3]) for value in values),
        shapes,
        values[0].dtype,
    )
    sizes = [each.numel() for each in running]
    if running and sizes not in (plan.running, [sum(plan.running)]):
        raise TypeError("the running statistics are not those of the norms")
    differentiated = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    keep = differentiated and not recompute
    return _apply(plan, len(values), keep, running, *tensors)


def release() -> None:
    """Frees the unused memory that calls share."""
    library().nasir_release()
    POOL.release()


def supports(value: Tensor) -> bool:
    """True if mixed sums take values like this one: on the CPU, in float32 or float64."""
    return value.device.type == "cpu" and value.dtype in _KINDS


class _Plan:
    """A layout as the library holds it."""

    def __init__(
        self,
        layout: SumLayout,
        images: int,
        weights: tuple[tuple[int, ...], ...],
        dtype: torch.dtype,
    ) -> None:
        self.layout = layout
        self.images = images
        self.dtype = dtype
        self.kind = _KINDS[dtype]
        functions = library()
        functions.nasir_plan.restype = ctypes.c_void_p
        code = (ctypes.c_long * len(layout.code))(*layout.code)
        numbers = (ctypes.c_double * max(1, len(layout.numbers)))(*layout.numbers)
        self.handle = ctypes.c_void_p(functions.nasir_plan(code, numbers, dtype.itemsize))
        weakref.finalize(self, functions.nasir_forget, self.handle)
        functions.nasir_kept.restype = ctypes.c_long
        self.kept: int = functions.nasir_kept(self.handle)
        self.weights = [math.prod(shape) for shape in weights]
        self.running = [channels for channels in layout.norms for _ in range(2)]


class _Arrays(ctypes.Structure):
    _fields_ = (
        ("values", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("coefficients", ctypes.c_void_p),
        ("kept", ctypes.c_void_p),
        ("mean", ctypes.c_void_p),
        ("variance", ctypes.c_void_p),
        ("running", ctypes.c_void_p),
    )


class _Gradients(ctypes.Structure):
    _fields_ = (
        ("out", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
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
) -> _Plan:
    return _Plan(lay_out(terms, images, values, weights), images, weights, dtype)


class _Context(FunctionCtx):
    """Tensors that forward leaves for backward."""

    plan: _Plan
    count: int
    kept: bool
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]


class _MixedSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        plan: _Plan,
        count: int,
        keep: bool,
        running: Sequence[Tensor],
        coefficients: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        kept = [_lend((plan.kept,), plan.dtype)] if keep and plan.kept else []
        mean = coefficients.new_empty(sum(plan.layout.norms))
        variance = torch.empty_like(mean)
        out = _lend((plan.images, *plan.layout.out), plan.dtype)
        arrays = _arrays(plan, count, coefficients, tensors, kept, (mean, variance), running)
        _function(f"nasir_forward_{plan.kind}")(
            plan.handle,
            torch.get_num_threads(),
            ctypes.byref(arrays[0]),
            ctypes.c_void_p(out.data_ptr()),
        )
        ctx.plan, ctx.count, ctx.kept = plan, count, bool(kept)
        ctx.mark_non_differentiable(mean, variance)
        ctx.save_for_backward(coefficients, mean, variance, *tensors, *kept)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> _Grads:  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the name of ctx
        return _backward(ctx, gradients[0])


# torch leaves what `apply` returns untyped.
_apply = cast("Callable[..., tuple[Tensor, Tensor, Tensor]]", _MixedSum.apply)  # pyright: ignore[reportUnknownMemberType] - as above


def _backward(ctx: _Context, gradient: Tensor) -> _Grads:
    plan, count = ctx.plan, ctx.count
    coefficients, mean, variance, *rest = ctx.saved_tensors
    tensors = rest[: len(rest) - ctx.kept]
    wanted = ctx.needs_input_grad[4:]
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    made: list[Tensor | None] = [torch.empty_like(coefficients) if wanted[0] else None]
    made += [
        _lend(tensor.shape, tensor.dtype) if need else None
        for tensor, need in zip(tensors[:count], wanted[1 : count + 1], strict=True)
    ]
    weighted = any(wanted[count + 1 :])
    made += [
        (_lend(each.shape, each.dtype) if each.dim() == 1 else torch.empty_like(each))
        if weighted
        else None
        for each in tensors[count:]
    ]
    values = _addresses(made[1 : count + 1])
    weights = _addresses(made[count + 1 :], plan.weights)
    gradients = _Gradients(
        _address(gradient),
        ctypes.addressof(values) if any(wanted[1 : count + 1]) else None,
        ctypes.addressof(weights) if weighted else None,
        _address(made[0]),
    )
    kept = rest[len(tensors) :]
    arrays = _arrays(plan, count, coefficients, tensors, kept, (mean, variance), ())
    _function(f"nasir_backward_{plan.kind}")(
        plan.handle, torch.get_num_threads(), ctypes.byref(arrays[0]), ctypes.byref(gradients)
    )
    return (None, None, None, None, *made)


def _arrays(
    plan: _Plan,
    count: int,
    coefficients: Tensor,
    tensors: Sequence[Tensor],
    kept: Sequence[Tensor],
    statistics: tuple[Tensor, Tensor],
    running: Sequence[Tensor],
) -> tuple[_Arrays, object]:
    """The library's view of the tensors, and the objects that it refers to."""
    values, weights = _addresses(tensors[:count]), _addresses(tensors[count:], plan.weights)
    moved = _addresses(running, plan.running)
    arrays = _Arrays(
        ctypes.addressof(values),
        ctypes.addressof(weights),
        _address(coefficients),
        _address(kept[0]) if kept else None,
        _address(statistics[0]),
        _address(statistics[1]),
        ctypes.addressof(moved) if running else None,
    )
    return arrays, (values, weights, moved)


def _addresses(
    tensors: Sequence[Tensor | None], parts: Sequence[int] = ()
) -> ctypes.Array[ctypes.c_void_p]:
    """Where tensors lie, or the parts of so many values that one tensor consists of."""
    places = list(map(_address, tensors))
    if len(tensors) == 1 < len(parts) and tensors[0] is not None and places[0]:
        size = tensors[0].itemsize
        starts = itertools.accumulate((part * size for part in parts[:-1]), initial=places[0])
        places = list(starts)
    return (ctypes.c_void_p * max(1, len(places)))(*places)


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _function(name: str) -> Any:
    return getattr(library(), name)


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

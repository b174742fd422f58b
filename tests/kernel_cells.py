"""Mixed sums for the tests of the kernels: the papers' chains, and the same in plain torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lowering.kernels import KernelChain, KernelUnit, SumsPlan, SumStep, mixed_sums, plan_sum

EPS = 1e-5


def convolution(kernel: int, dilation: int = 1, stride: int = 1) -> KernelUnit:
    """ReLU, a depthwise convolution that keeps the size, a product and a norm."""
    padding = dilation * (kernel - 1) // 2
    return KernelUnit(
        relu=True,
        window="depthwise",
        kernel=(kernel, kernel),
        stride=(stride, stride),
        dilation=(dilation, dilation),
        padding=(padding, padding),
        product=True,
        eps=EPS,
    )


def pool(stride: int = 1, *, maximum: bool, eps: float | None = EPS) -> KernelUnit:
    """A 3x3 pool."""
    window = "max" if maximum else "avg"
    size = (stride, stride)
    return KernelUnit(window=window, kernel=(3, 3), stride=size, padding=(1, 1), eps=eps)


def candidates(value: int, stride: int = 1) -> tuple[KernelChain, ...]:
    """The terms of a DARTS edge that are not zero."""
    shortcut = KernelUnit(relu=True, stride=(stride, stride), product=True, eps=EPS)
    return (
        KernelChain(value, (pool(stride, maximum=True),)),
        KernelChain(value, (pool(stride, maximum=False),)),
        KernelChain(value, (shortcut,) if stride > 1 else ()),
        KernelChain(value, (convolution(3, stride=stride), convolution(3))),
        KernelChain(value, (convolution(5, stride=stride), convolution(5))),
        KernelChain(value, (convolution(3, 2, stride),)),
        KernelChain(value, (convolution(5, 2, stride),)),
    )


@dataclass(frozen=True, slots=True)
class Sum:
    """The terms of a mixed sum and tensors for them; every tensor wants a gradient."""

    terms: tuple[KernelChain, ...]
    values: tuple[Tensor, ...]
    coefficients: Tensor
    weights: tuple[Tensor, ...]

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """Everything that has a gradient."""
        return (self.coefficients, *self.values, *self.weights)

    @property
    def plan(self) -> SumsPlan:
        """What the kernels make of the terms, which read all values."""
        shapes = tuple(tuple(weight.shape) for weight in self.weights)
        values = [tuple(value.shape) for value in self.values]
        plan = plan_sum(self.terms, values, shapes, self.values[0].dtype)
        return SumsPlan([SumStep(plan, tuple(range(len(values))))], len(values), [0])

    def kernel(
        self, *, recompute: bool = False, running: Sequence[Tensor] = ()
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The kernel's sum, means and variances."""
        plan = self.plan
        steps = [step._replace(recompute=recompute) for step in plan.steps]
        plan = SumsPlan(steps, plan.count, [0])
        given = [self.coefficients], [self.weights], [running]
        made, statistics = mixed_sums(plan, self.values, *given)
        return made, statistics[0], statistics[1]


def make(
    terms: tuple[KernelChain, ...],
    shapes: Sequence[tuple[int, int, int, int]],
    channels: int,
    dtype: torch.dtype = torch.float64,
) -> Sum:
    """Random tensors for `terms` over values of these shapes; products make `channels`."""
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=dtype)

    weights: list[Tensor] = []
    for term in terms:
        width = shapes[term.value][1]
        for unit in term.units:
            if unit.window == "depthwise":
                weights.append(draw(width, 1, *unit.kernel) / 3)
            if unit.product:
                kernel = unit.kernel if unit.window == "dense" else (1, 1)
                halves = (channels // 2, channels - channels // 2)
                outs = halves if unit.window == "factorized" else (channels,)
                weights += [draw(out, width, *kernel) / width**0.5 for out in outs]
                width = channels
    values = [draw(*shape).contiguous(memory_format=torch.channels_last) for shape in shapes]
    made = Sum(terms, tuple(values), draw(len(terms)), tuple(weights))
    for leaf in made.leaves:
        leaf.requires_grad_()
    return made


def plain(case: Sum) -> tuple[Tensor, Tensor, Tensor]:
    """The same sum, means and variances by torch's own operators."""
    weights = iter(case.weights)
    normalised: list[Tensor] = []
    total = torch.zeros((), dtype=case.coefficients.dtype)
    for coefficient, term in zip(case.coefficients, case.terms, strict=True):
        x = case.values[term.value]
        for unit in term.units:
            x = _window(unit, F.relu(x) if unit.relu else x, weights)
            if unit.product and unit.window not in ("dense", "factorized"):
                x = F.conv2d(x, next(weights))
            if unit.eps is not None:
                normalised.append(x)
                x = F.batch_norm(x, None, None, training=True, eps=unit.eps)
        total = total + coefficient * x
    none = case.coefficients.new_empty(0)
    means = [x.mean((0, 2, 3)) for x in normalised]
    variances = [x.var((0, 2, 3), unbiased=False) for x in normalised]
    return total, torch.cat([*means, none]), torch.cat([*variances, none])


def _window(unit: KernelUnit, x: Tensor, weights: Iterator[Tensor]) -> Tensor:
    if unit.window == "factorized":
        halves = [F.conv2d(x[:, :, i:, i:], next(weights), stride=2) for i in range(2)]
        return torch.cat(halves, 1)
    if unit.window == "dense":
        return F.conv2d(x, next(weights), None, unit.stride, unit.padding, unit.dilation)
    if unit.window == "depthwise":
        weight = next(weights)
        return F.conv2d(
            x, weight, None, unit.stride, unit.padding, unit.dilation, groups=x.shape[1]
        )
    if unit.window == "max":
        return F.max_pool2d(x, unit.kernel, unit.stride, unit.padding, unit.dilation)
    if unit.window == "avg":
        return F.avg_pool2d(x, unit.kernel, unit.stride, unit.padding, count_include_pad=False)
    return x[:, :, :: unit.stride[0], :: unit.stride[1]]

"""Rules of fused primitives in torch: mixed sums, banks of convolutions."""

import operator
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowering import kernels
from lowering.torch.code import Variable
from lowering.torch.depthwise import depthwise_conv
from lowering.torch.ranks import synchronised_norm
from lowering.torch.rule import Emit, RowNode, RowRule, TorchEmitter
from lowering.torch.store import FlatWeights
from nasir import Graph
from nasir.ops import ChainUnit
from nasir.ops.fused import (
    MIXED_SUM,
    Branch,
    ConvBankAttrs,
    MixedChain,
    MixedSumAttrs,
)
from nasir.ops.layers import ConvAttrs

Value = Tensor | kernels.SharedValue
Own = tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]
"""Of a sum the coefficients, the weights, the running statistics; one flat tensor, or several."""

_ONE = (-1, 0)
"""Stands for the number 1 among the entries."""


class Coefficients:
    """From the weights of choices, each (options,), one number for each term, (terms,).

    A coefficient is a sum of products of entries; all products are computed at once. `places` maps
    an input of the node to its place among the weights, of which there is at least one. Those of
    equal terms are equal: cells of one kind compute them once.
    """

    __name__ = "coefficients"  # what a program's source calls it

    def __init__(
        self, terms: Sequence[MixedChain] | Sequence[Branch], places: Mapping[int, int]
    ) -> None:
        products = [(i, product) for i, term in enumerate(terms) for product in _products(term)]
        depth = max(len(product) for _, product in products)
        self.terms = len(terms)
        self.owners = tuple(owner for owner, _ in products)
        self.layers = tuple(
            tuple((places[p[d][0]], p[d][1]) if d < len(p) else _ONE for _, p in products)
            for d in range(depth)
        )
        self._indices: dict[tuple[torch.device, tuple[int, ...]], list[Tensor]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coefficients) and self._facts == other._facts

    def __hash__(self) -> int:
        return hash(self._facts)

    @property
    def _facts(self) -> tuple[object, ...]:
        return self.terms, self.owners, self.layers

    def __call__(self, *weights: Tensor) -> Tensor:
        """The coefficients, on the device and in the precision of the weights."""
        flat = torch.cat([torch.ones_like(weights[0][:1]), *weights])
        *layers, owners = self._at(weights)
        result = flat[layers[0]]
        for layer in layers[1:]:
            result = result * flat[layer]
        if len(self.owners) == self.terms:
            return result
        return result.new_zeros(self.terms).index_add(0, owners, result)

    def _at(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The entries of each layer as places in the flat weights, and then the owners."""
        sizes = tuple(len(each) for each in weights)
        key = (weights[0].device, sizes)
        if torch.compiler.is_compiling():  # what is compiled must not find a cache that grew
            return self._made(*key)
        if key not in self._indices:
            self._indices[key] = self._made(*key)
        return self._indices[key]

    def _made(self, device: torch.device, sizes: tuple[int, ...]) -> list[Tensor]:
        starts = [1]
        for size in sizes:
            starts.append(starts[-1] + size)
        rows = [
            [0 if entry == _ONE else starts[entry[0]] + entry[1] for entry in layer]
            for layer in self.layers
        ]
        return [torch.tensor(row, device=device) for row in (*rows, self.owners)]


def _products(term: MixedChain | Branch) -> tuple[tuple[tuple[int, int], ...], ...]:
    return term.products or ((),)


def by_library(
    terms: Sequence[MixedChain],
    values: Mapping[int, Tensor],
    weights: Sequence[Tensor],
    running: Sequence[Tensor],
    scales: Tensor,
    together: bool = False,
) -> Tensor:
    """The sum of all chains; what a step of `kernels.mixed_sums` does, on any device.

    Of terms and units in order, `weights` are the depthwise weight and the product's, and `running`
    each norm's mean and variance, if these follow the batch's; `scales` are the coefficients, one
    for each term. `together`: statistics are those of all processes' batches.
    """
    given, followed = iter(weights), iter(running)
    total: Tensor | None = None
    for term, scale in zip(terms, scales.unbind(), strict=True):
        x = values[term.value]
        scaled = bool(term.units) and term.units[-1].eps is not None and not together
        for place, unit in enumerate(term.units, 1):
            last = scaled and place == len(term.units)
            x = _unit(unit, x, given)
            if unit.eps is not None:
                statistics = tuple(islice(followed, 2))
                x = _norm(unit, unit.eps, x, statistics, together, scale if last else None)
        if total is None:
            total = x if scaled else x * scale
        else:
            total = total.add_(x) if scaled else total.addcmul_(x, scale)
    assert total is not None
    return total


def _norm(
    unit: ChainUnit,
    eps: float,
    x: Tensor,
    statistics: tuple[Tensor, ...],
    together: bool,
    scale: Tensor | None,
) -> Tensor:
    """x normalised, and times `scale` if there is one: the weight of all channels."""
    if together:
        return synchronised_norm(x, unit.momentum, eps, statistics)
    weight = None
    if scale is not None:
        kind = statistics[0].dtype if statistics else x.dtype
        weight = scale.to(kind).expand(x.shape[1]).contiguous()
    mean, variance = statistics or (None, None)
    return F.batch_norm(x, mean, variance, weight, None, True, unit.momentum, eps)


def _unit(unit: ChainUnit, x: Tensor, weights: Iterator[Tensor]) -> Tensor:
    """The unit's result before its norm."""
    if unit.relu:
        x = torch.relu(x)
    if unit.window == "depthwise":
        c = x.shape[1]
        x = F.conv2d(x, next(weights), None, unit.stride, unit.padding, unit.dilation, c)
    elif unit.window == "max":
        x = F.max_pool2d(x, unit.kernel, unit.stride, unit.padding)
    elif unit.window == "avg":
        x = F.avg_pool2d(x, unit.kernel, unit.stride, unit.padding, count_include_pad=False)
    if unit.window == "factorized":
        halves = [F.conv2d(x[:, :, i:, i:], next(weights), stride=2) for i in range(2)]
        x = torch.cat(halves, 1)
    elif unit.window == "dense":
        x = F.conv2d(x, next(weights), None, unit.stride, unit.padding, unit.dilation)
    elif unit.product:
        x = F.conv2d(x, next(weights))
    return x


class MixedSum:
    """A sum among those of one call: its terms, and which arguments of the call are its own.

    `places` are those of the inputs that its terms start from, among the values of the call.
    `flat`: whether the weights are one tensor and the running statistics another (`FlatWeights`).
    """

    def __init__(
        self, attrs: MixedSumAttrs, places: Mapping[int, int], flat: Sequence[FlatWeights]
    ) -> None:
        self.attrs = attrs
        self.places = places
        self.flat = flat
        self.chains = tuple(_chain(term, tuple(places)) for term in attrs.terms)
        self.chosen = bool(_choices(attrs))
        self.learned, self.norms, count = _places(attrs.terms)
        self.count = len(flat) or count

    def take(self, args: Iterator[Any], like: Tensor, *, follow: bool) -> Own:
        """Takes the coefficients, the weights, and the running statistics if they `follow`."""
        if self.chosen:
            scales = next(args).to(like.dtype)
        else:
            scales = torch.ones(len(self.chains), dtype=like.dtype, device=like.device)
        own = tuple(islice(args, self.count))
        if self.flat:
            return scales, own[:1], own[1:] if follow and self.norms else ()
        running = tuple(own[at + i] for at in self.norms for i in range(2)) if follow else ()
        return scales, tuple(own[at] for at in self.learned), running

    def step(
        self, shapes: Sequence[tuple[int, ...]], like: Tensor, weights: Sequence[Tensor]
    ) -> kernels.SumStep:
        """The plan for values of these shapes."""
        own = self.flat[0].shapes if self.flat else tuple(tuple(each.shape) for each in weights)
        read = [shapes[at] for at in self.places.values()]
        plan = kernels.plan_sum(self.chains, read, own, like.dtype)
        return kernels.SumStep(plan, tuple(self.places.values()), self.attrs.recompute)

    def by_library(self, values: Sequence[Tensor], own: Own, *, together: bool) -> Tensor:
        """The sum by torch's own operators."""
        scales, weights, running = own
        if self.flat:
            weights, running = (
                each.pieces(given[0]) if given else ()
                for each, given in zip(self.flat, (weights, running), strict=True)
            )
        read = {value: values[at] for value, at in self.places.items()}
        return by_library(self.attrs.terms, read, weights, running, scales, together)


class MixedSums:
    """Nodes' function of the values that they start from, and then of what each has of its own.

    A node's values are the first `count` arguments and the sums before it. Then follow, for each,
    its coefficients, if it has choices, and its weights. Of the sums, those of `outputs` are the
    result, one alone or a tuple. `follow`: whether the running statistics follow the batch's, which
    a second run of the same step must not make them do. `together`: whether they are those of all
    processes' batches.
    """

    def __init__(
        self,
        sums: Sequence[MixedSum],
        count: int,
        outputs: Sequence[int],
        emitter: TorchEmitter,
    ) -> None:
        self.__name__ = f"mixed_sums_{emitter.name}"  # what the program's source calls it
        self.__module__ = __name__
        self.sums = tuple(sums)
        self.count = count
        self.outputs = tuple(outputs)
        self.follow = emitter.follow
        self.together = emitter.together
        self._plans: dict[object, kernels.SumsPlan] = {}

    def __call__(self, *args: Any) -> Any:
        """The sums for these values, coefficients and weights."""
        given: tuple[Value, ...] = args[: self.count]
        values = [_full(each if isinstance(each, Tensor) else each.value) for each in given]
        first, left = values[0], iter(args[self.count :])
        own = [each.take(left, first, follow=self.follow) for each in self.sums]
        running = (r for _, _, moved in own for r in moved)
        fits = all(r.dtype == first.dtype and r.is_contiguous() for r in running)
        if not self.together and fits and _by_kernels(first):
            read = [v if isinstance(g, Tensor) else g for v, g in zip(values, given, strict=True)]
            made = kernels.mixed_sums(self._plan(values, own), read, *zip(*own, strict=True))[:-1]
        else:
            for each, mine in zip(self.sums, own, strict=True):
                values.append(each.by_library(values, mine, together=self.together))
            made = tuple(values[self.count + at] for at in self.outputs)
        return made[0] if len(made) == 1 else made

    def _plan(self, values: Sequence[Tensor], own: Sequence[Own]) -> kernels.SumsPlan:
        """The plan for such values, kept since it takes longer to find than to use."""
        key = (values[0].dtype, *(value.shape for value in values))
        if key not in self._plans:
            if len(self._plans) == _PLANS:
                self._plans.clear()
            shapes, steps = [tuple(value.shape) for value in values], list[kernels.SumStep]()
            for each, (_, weights, _) in zip(self.sums, own, strict=True):
                steps.append(each.step(shapes, values[0], weights))
                shapes.append(steps[-1].plan.out)
            self._plans[key] = kernels.SumsPlan(steps, self.count, self.outputs)
        return self._plans[key]


_PLANS = 8
"""The sizes of images and batches that a function remembers."""


def _full(value: Tensor) -> Tensor:
    """Under autocast on a CPU, in float32: the kernels are faster than the library in bf16."""
    half = value.dtype.itemsize < 4 and value.is_floating_point()
    cast = half and value.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return value.float() if cast and kernels.available() else value


def _chain(term: MixedChain, places: Sequence[int]) -> kernels.KernelChain:
    units = tuple(
        kernels.KernelUnit(
            unit.relu,
            unit.window,
            unit.kernel,
            unit.stride,
            unit.dilation,
            unit.padding,
            product=bool(unit.product),
            eps=unit.eps,
            momentum=unit.momentum,
        )
        for unit in term.units
    )
    return kernels.KernelChain(places.index(term.value), units)


def _choices(attrs: MixedSumAttrs) -> tuple[int, ...]:
    """The inputs that the coefficients are made of."""
    return tuple(sorted({at for term in attrs.terms for p in term.products for at, _ in p}))


def _places(terms: Sequence[MixedChain]) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Of the node's weights those that are learned, each running mean (the variance follows it).

    And how many there are.
    """
    learned: list[int] = []
    norms: list[int] = []
    at = 0
    for unit in (unit for term in terms for unit in term.units):
        if unit.window == "depthwise":
            learned.append(at)
            at += 1
        for _ in range(bool(unit.product) + (unit.window == "factorized")):
            learned.append(at)
            at += 1
        if unit.eps is not None:
            norms.append(at)
            at += 2
    return tuple(learned), tuple(norms), at


def mixed_sums(run: Sequence[RowNode]) -> list[Variable | None]:
    """Emits one call for sums in a row; of each that is read by others, its value."""
    reads = [_read(each.attrs) for each in run]
    starts = [each.inputs[i] for each, read in zip(run, reads, strict=True) for i in read]
    given = list(dict.fromkeys(value for value in starts if not isinstance(value, int)))
    place = {value: at for at, value in enumerate([*given, *range(len(run))])}
    sums: list[MixedSum] = []
    own: list[Any] = []
    for (e, attrs, inputs, weights, _), read in zip(run, reads, strict=True):
        sums.append(MixedSum(attrs, {i: place[inputs[i]] for i in read}, e.flat))
        choices = _choices(attrs)
        if choices:
            scales = Coefficients(attrs.terms, {at: i for i, at in enumerate(choices)})
            named = replace(e, name="coefficients")
            own.append(named.once(scales, *(inputs[i] for i in choices)))
        own += weights
    e = run[0].emitter
    outputs = [at for at, each in enumerate(run) if each.read]
    function = MixedSums(sums, len(given), outputs, e)
    result = e.call(function, *(e.once(_by_pixels, value) for value in given), *own)
    found: list[Variable | None] = [None] * len(run)
    for i, at in enumerate(outputs):
        found[at] = run[at].emitter.call(operator.getitem, result, i) if outputs[1:] else result
    return found


def _read(attrs: MixedSumAttrs) -> list[int]:
    """The inputs that the terms start from."""
    return list(dict.fromkeys(term.value for term in attrs.terms))


def _mixed_sum(e: TorchEmitter, a: MixedSumAttrs, *values: Variable) -> Variable:
    """One alone."""
    count = len(e.flat) or _places(a.terms)[2]
    first = len(values) - count
    (value,) = mixed_sums([RowNode(e, a, values[:first], values[first:])])
    assert value is not None
    return value


def _by_kernels(value: Tensor) -> bool:
    return not torch.compiler.is_compiling() and kernels.supports(value) and kernels.available()


def _by_pixels(image: Tensor) -> Value:
    """The image as the kernels read it, once for all its readers.

    A slice of channels is copied, and gradients of the readers are summed in one place.
    """
    if not _by_kernels(image):
        return image
    image = image.contiguous(memory_format=torch.channels_last)
    return kernels.SharedValue(image) if image.requires_grad else image


def _conv_bank(e: TorchEmitter, a: ConvBankAttrs, x: Variable, *weights: Variable) -> Variable:
    if a.rows:
        weights = tuple(
            e.call(F.pad, weight, [left, a.kernel[1] - 1 - left, top, a.kernel[0] - 1 - top])
            for weight, top, left in zip(weights, a.rows, a.columns, strict=True)
        )
    weight = e.call(torch.cat, weights)
    return e.call(F.conv2d, x, weight, None, a.stride, a.padding, a.dilation)


def _depthwise_conv(e: TorchEmitter, a: ConvAttrs, x: Variable, weight: Variable) -> Variable:
    return e.call(depthwise_conv, x, weight, a.margins, a.dilation)


def flat_weights(
    graph: Graph,
    owners: Mapping[str, tuple[nn.Module, str]],
    laid: dict[tuple[str, ...], FlatWeights],
) -> dict[str, tuple[FlatWeights, FlatWeights]]:
    """By node the learned weights that a mixed sum alone reads, and its running statistics.

    `laid` are those that lie in one tensor already, and gets the others; what lies in another one
    with other weights stays as it is.
    """
    reads = Counter(ref.key for node in graph.nodes for ref in node.params)
    taken = {key for keys in laid for key in keys}
    found: dict[str, tuple[FlatWeights, FlatWeights]] = {}
    for node in graph.nodes:
        kinds = [tuple(r.key for r in node.params if r.buffer is own) for own in (False, True)]
        values = [getattr(*owners[key]) for key in kinds[0]]
        learned = len(values) > 1 and all(value.requires_grad for value in values)
        if node.op is not MIXED_SUM or not learned or max(reads[r.key] for r in node.params) > 1:
            continue
        if any(keys not in laid and not taken.isdisjoint(keys) for keys in kinds):
            continue
        for keys in kinds:
            if keys not in laid:
                laid[keys] = FlatWeights({key: owners[key] for key in keys})
        found[node.name] = laid[kinds[0]], laid[kinds[1]]
    return found


RULES: Mapping[str, Emit] = {
    "mixed_sum": _mixed_sum,
    "conv_bank": _conv_bank,
    "depthwise_conv": _depthwise_conv,
}

ROWS: Mapping[str, RowRule] = {"mixed_sum": mixed_sums}

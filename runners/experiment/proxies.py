"""Zero-cost proxies: scores of untrained networks, from one batch; higher is better.

Layers are convolutions and linear maps, as in M. Abdelfattah et al., "Zero-Cost Proxies for
Lightweight NAS" (arXiv:2101.08134, below: Abdelfattah et al.), whose code sums over their weights
alone: neither biases nor batch norms count. Networks run as in training, with the batch's
statistics. Nodes that no output needs are left out; the published code counts their weights too.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.autograd import grad

import nasir
from lowering import Network, generator, to_torch
from nasir import Genotype, Graph, ImageType, NasirError, Node, run_passes
from nasir.errors import nearest, quoted
from nasir.ops import OpSpec
from nasir.passes import PLAIN, TRAINED
from nasir.table import Table
from runners.experiment.learner import is_out_of_memory
from runners.folder.display import Display
from runners.inputs import short_text
from runners.task.task import Batch

rankdata: Any = cast("Any", stats).rankdata  # scipy has no types, torch few of linear algebra
linalg: Any = torch.linalg


@dataclass(frozen=True, eq=False)
class Probe:
    """A network before training, with a batch: what a proxy is a function of.

    Nothing changes the network. What several proxies need is computed once.
    """

    graph: Graph
    make: Callable[[], Network]
    batch: Batch
    seed: int = 0

    @cached_property
    def network(self) -> Network:
        """The module that runs the graph."""
        return self.make()

    @cached_property
    def layers(self) -> dict[str, Node]:
        """Convolutions and linear maps by the key of their weight, in order of first use."""
        found: dict[str, Node] = {}
        for node in self.graph:
            if node.has("linear") and node.params:
                found.setdefault(node.params[0].key, node)
        return found

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """All weights by key."""
        return dict(self.network.named_parameters())

    @cached_property
    def weights(self) -> list[Tensor]:
        """The layers' weights."""
        return [self.parameters[key] for key in self.layers]

    @cached_property
    def gradients(self) -> list[Tensor]:
        """The gradients of the batch's loss by the layers' weights."""
        return self.gradients_of(self.batch.inputs, self.batch.target)

    def gradients_of(
        self, inputs: Sequence[Tensor], target: Tensor, *, again: bool = False
    ) -> list[Tensor]:
        """Returns gradients of the loss of these examples, to be differentiated `again`."""
        logits = self.network.call_apart(list(self.parameters.values()), *inputs)
        return _grad(F.cross_entropy(logits, target), self.weights, create_graph=again)

    def values(
        self,
        names: Sequence[str],
        inputs: Sequence[Tensor] | None = None,
        parameters: Mapping[str, Tensor] | None = None,
        graph: Graph | None = None,
    ) -> tuple[Tensor, ...]:
        """Returns values of a graph (by default the network's) for the batch, or for `inputs`."""
        graph = self.graph if graph is None else graph
        network = self.network.with_graph(graph.with_nodes(graph.nodes, names, ()))
        given = self.parameters if parameters is None else parameters
        found = network.call_apart(
            list(given.values()), *(self.batch.inputs if inputs is None else inputs)
        )
        return (found,) if isinstance(found, Tensor) else cast("tuple[Tensor, ...]", found)

    def gaussian(self, name: str, like: Tensor) -> Tensor:
        """Returns normal numbers of that shape, which depend on the seed and the name alone."""
        source = generator(self.seed, name)
        return torch.randn(like.shape, generator=source).to(like.device, like.dtype)

    def drawn(self, name: str, gain: float | None) -> dict[str, Tensor]:
        """Returns other weights: layers' normal with deviation sqrt(gain / fan-in), or 1; biases 0.

        Batch norms keep theirs.
        """
        found = {key: value.detach() for key, value in self.parameters.items()}
        for key, node in self.layers.items():
            weight = found[key]
            scale = 1.0 if gain is None else math.sqrt(gain / weight[0].numel())
            found[key] = scale * self.gaussian(f"{name} {key}", weight)
            found |= {ref.key: torch.zeros_like(found[ref.key]) for ref in node.params[1:]}
        return found

    @cached_property
    def features(self) -> tuple[Tensor, ...]:
        """The images that cross the borders of cells, for normal images and weights, as in AZ-NAS.

        These are the inputs of the first cell, the values between cells and reductions, and the
        last cell's. Weights have a deviation of sqrt(2 / fan-in).
        """
        graph = self.graph
        cells = {node.name: node.cell for node in graph}
        names = [
            name
            for name, readers in graph.readers.items()
            if isinstance(graph.types[name], ImageType)
            and name in cells
            and any(cells[reader] != cells[name] for reader in readers)
        ]
        if len(names) < 2:
            raise NasirError("E505", "the network has fewer than two values between cells")
        images = [self.gaussian("features", x).requires_grad_() for x in self.batch.inputs]
        return self.values(names, images, self.drawn("features", 2.0))


Proxy = Callable[[Probe], float]
"""The score of a network; higher is better. NaN where it is undefined."""


def synflow(probe: Probe) -> float:
    """Synaptic flow: the sum over weights of |w · ∂R/∂w|, R the summed logits of an image of ones.

    H. Tanaka et al., arXiv:2006.05467, with |w| for w, in float64 and without batch norms,
    as Abdelfattah et al. sum it over a network.
    """
    graph = _without_norms(probe.graph)
    positive = {
        key: value.detach().double().abs().requires_grad_()
        for key, value in probe.parameters.items()
    }
    weights = [positive[key] for key in probe.layers]
    ones = [torch.ones_like(x[:1], dtype=torch.float64) for x in probe.batch.inputs]
    (logits,) = probe.values(graph.outputs, ones, positive, graph)
    return _total(weights, _grad(logits.sum(), weights))


def naswot(probe: Probe) -> float:
    """log |det K|, where K counts for two images the ReLUs that are both active or both not.

    J. Mellor et al., "Neural Architecture Search without Training", arXiv:2006.04647v3.
    Every ReLU counts, also of those that read one value, as modules do in the published code.
    """
    read = Counter(node.inputs[0] for node in probe.graph if _is_relu(probe.graph, node))
    if not read:
        return math.nan
    with torch.no_grad():
        values = probe.values(list(read))
        kernel = torch.zeros(len(values[0]), len(values[0]), dtype=torch.float64)
        for count, value in zip(read.values(), values, strict=True):
            active = (value > 0).flatten(1).float()
            agree = active @ active.T + (1 - active) @ (1 - active).T
            kernel += count * agree.cpu()
    return float(linalg.slogdet(kernel).logabsdet)


def snip(probe: Probe) -> float:
    """The sum over weights of |w · ∂L/∂w|.

    N. Lee et al., arXiv:1810.02340; summed as by Abdelfattah et al., not normalised.
    """
    return _total(probe.weights, probe.gradients)


def grasp(probe: Probe) -> float:
    """The sum over weights of −w · (H g), g the gradient and H the Hessian of the loss.

    C. Wang et al., arXiv:2002.07376, with a temperature of 1 on the whole batch, as in the
    code of Abdelfattah et al. (the paper's: 200, on ten images a class).
    """
    batch = probe.batch
    found = probe.gradients_of(batch.inputs, batch.target, again=True)
    product = torch.stack([(g.detach() * g).sum() for g in found]).sum()
    products = zip(probe.weights, _grad(product, probe.weights), strict=True)
    return -sum(float((w.detach() * h).sum()) for w, h in products)


def grad_norm(probe: Probe) -> float:
    """The sum over layers of the Euclidean norm of the gradient (Abdelfattah et al.)."""
    return sum(float(linalg.vector_norm(g)) for g in probe.gradients)


def l2_norm(probe: Probe) -> float:
    """The sum over layers of the Euclidean norm of the weight (NAS-Bench-Suite-Zero,
    arXiv:2210.03230)."""
    return sum(float(linalg.vector_norm(w.detach())) for w in probe.weights)


def jacob_cov(probe: Probe) -> float:
    """−Σ log(λ + k) + 1 / (λ + k), λ the eigenvalues of the images' correlation, k = 1e-5.

    J. Mellor et al., arXiv:2006.04647v1: correlated are the rows of the Jacobian of
    the summed logits by the image. Undefined where a row is constant.
    """
    images = [x.detach().clone().requires_grad_() for x in probe.batch.inputs]
    logits = probe.network.call_apart(list(probe.parameters.values()), *images)
    rows = _grad(logits.sum(), images[:1])[0].flatten(1).cpu().double()
    rows = rows - rows.mean(1, keepdim=True)
    norms: Tensor = linalg.vector_norm(rows, dim=1, keepdim=True)
    if not bool((norms > 0).all()):
        return math.nan
    rows = rows / norms
    shifted: Tensor = linalg.eigvalsh(rows @ rows.T).clamp(min=0) + 1e-5
    return -float((shifted.log() + 1 / shifted).sum())


def fisher(probe: Probe) -> float:
    """The sum over layers and channels of 1/2 · mean over images of (Σ a · ∂L/∂a)².

    a are the layer's outputs, the inner sum over positions: J. Turner et al., arXiv:1906.04113.
    The code of Abdelfattah et al. counts each channel once for each of its weights; their
    paper does not, nor do we.
    """
    names = [node.name for node in probe.graph if node.has("linear") and node.params]
    logits, *outputs = probe.values([*probe.graph.outputs, *names])
    loss = F.cross_entropy(logits, probe.batch.target)
    total = 0.0
    for value, slope in zip(outputs, _grad(loss, outputs), strict=True):
        products = (value.detach() * slope).flatten(2 if value.dim() > 2 else 1)
        sums = products.sum(2) if value.dim() > 2 else products
        total += 0.5 * float(sums.square().mean(0).sum())
    return total


def zen(probe: Probe) -> float:
    """Zen-score: log E‖f(x) − f(x + ε e)‖₁ + Σ log sqrt(mean σ²), f without the head, ε = 0.01.

    M. Lin et al., arXiv:2102.01063: images and weights are normal numbers; σ² are the variances of
    each batch norm's channels. In the published code these are running averages that start at 1,
    and scores the mean of 32 draws; here they are the batch's, of one draw, and a batch norm of
    constants counts nothing.
    """
    graph, weights = probe.graph, probe.drawn("zen", None)
    norms = [node.inputs[0] for node in graph if node.has("channel_affine")]
    images = [probe.gaussian("zen", x) for x in probe.batch.inputs]
    moved = [x + 0.01 * probe.gaussian("zen moved", x) for x in images]
    last = _before_head(graph)
    with torch.no_grad():
        found, *normed = probe.values([last, *norms], images, weights)
        (other,) = probe.values([last], moved, weights)
        change = (found - other).abs().flatten(1).sum(1).mean().log()
        axes = [tuple(a for a in range(x.dim()) if a != 1) for x in normed]
        scales = [x.var(a, correction=0).mean() for x, a in zip(normed, axes, strict=True)]
        return float(change + sum(0.5 * scale.log() for scale in scales if scale > 0))


def zico(probe: Probe) -> float:
    """The sum over layers of log Σ E|g| / sqrt(Var g), over weights whose gradient g varies.

    G. Li et al., arXiv:2301.11300. Expectations are over the gradients of two batches:
    here the halves of one. The published code does not reset the gradient between batches.
    """
    batch, half = probe.batch, probe.batch.count // 2
    if not half:
        raise NasirError("E505", "zico halves the batch, which has one image", hint="--batch 64")
    parts = (slice(half), slice(half, 2 * half))
    first, second = (
        probe.gradients_of([x[part] for x in batch.inputs], batch.target[part]) for part in parts
    )
    total = 0.0
    for one, other in zip(first, second, strict=True):
        mean, deviation = (one.abs() + other.abs()) / 2, (one - other).abs() / 2
        varies = deviation > 0
        if bool(varies.any()):
            total += float((mean[varies] / deviation[varies]).double().sum().log())
    return total


def params(probe: Probe) -> float:
    """The number of parameters (`nasir.cost`)."""
    return nasir.cost(probe.graph).params


def flops(probe: Probe) -> float:
    """The number of multiply-adds for one image (`nasir.cost`)."""
    return nasir.cost(probe.graph).macs


def expressivity(probe: Probe) -> float:
    """The sum over values between cells of the entropy of their principal components.

    J. Lee and B. Ham, "AZ-NAS", arXiv:2403.19232: of the covariance of channels over
    images and positions, eigenvalues divided by their sum.
    """
    return sum(_entropies(probe))


def progressivity(probe: Probe) -> float:
    """The least growth of the entropies of `expressivity` from one value to the next.

    AZ-NAS, arXiv:2403.19232.
    """
    found = _entropies(probe)
    return min(b - a for a, b in pairwise(found))


def trainability(probe: Probe) -> float:
    """The mean over values between cells of −σ − 1 / σ + 2: 0 where a cell keeps gradients' size.

    AZ-NAS, arXiv:2403.19232: σ is the spectral norm of mean gᵢ gₒᵀ over images and
    positions, gₒ a random sign for each output of a cell, gᵢ its gradient by the cell's input. A
    cell that hands on its input is undefined.
    """
    found: list[float] = []
    for number in range(len(probe.features) - 1, 0, -1):
        before, after = probe.features[number - 1 : number + 1]
        signs = probe.gaussian(f"signs {number}", after).sign()
        slope = _grad((after * signs).sum(), [before], retain_graph=True)[0]
        if slope.shape == signs.shape and torch.equal(slope, signs):
            return math.nan
        slope = F.pixel_unshuffle(slope, slope.shape[2] // signs.shape[2])
        rows, columns = (x.movedim(1, 3).flatten(0, 2) for x in (slope, signs))
        norm = float(linalg.matrix_norm(rows.T @ columns / len(columns), 2))
        found.append(-norm - 1 / (norm + 1e-6) + 2)
    return float(np.mean(found))


PROXIES: Table[Proxy] = Table[Proxy].of(
    {
        row.__name__: row
        for row in (
            *(synflow, naswot, snip, grasp, grad_norm, jacob_cov, fisher, zen, zico),
            *(l2_norm, params, flops, expressivity, progressivity, trainability),
        )
    },
    "proxy",
)
"""Proxies by name."""

ENSEMBLES: Mapping[str, tuple[str, ...]] = {
    "az_nas": ("expressivity", "progressivity", "trainability", "flops")
}
"""Proxies that rank together, by name: AZ-NAS, arXiv:2403.19232."""


def score_of(
    proxies: Sequence[str],
    genotypes: Sequence[Genotype],
    batch: Batch,
    seed: int = 0,
    size: Mapping[str, Any] | None = None,
    display: Display | None = None,
) -> dict[str, list[float]]:
    """Returns each genotype's scores by proxy, in the order of `genotypes`; higher is better.

    `size` are keywords of `nasir.network`, which must suit the batch. Joined names
    (`synflow+naswot`) and ensembles are ranked among these genotypes (see `ranked`); all other
    scores depend on the genotype, the batch and the seed alone. -inf where a proxy is undefined,
    as for a network whose output does not depend on the image. Raises an error that names the
    genotype and the proxy if one fails.
    """
    each = each_score(proxies, genotypes, batch, seed, size)
    rows = list((display or Display()).track(each, len(genotypes), "score networks"))
    return joined(proxies, {name: [row[name] for row in rows] for name in members(proxies)})


def each_score(
    proxies: Sequence[str],
    genotypes: Sequence[Genotype],
    batch: Batch,
    seed: int = 0,
    size: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, float]]:
    """Yields the scores of one genotype after the other by proxy, those of `members(proxies)`."""
    names = members(proxies)
    for genotype in genotypes:
        plain = nasir.network(genotype, **(size or {}))
        make = partial(to_torch, plain, seed, optimise=False, device=batch.target.device)
        probe = Probe(run_passes(plain, (*PLAIN, *TRAINED))[0], make, batch, seed)
        yield {name: _scored(name, probe, genotype) for name in names}


def members(proxies: Sequence[str]) -> tuple[str, ...]:
    """Returns the single proxies of names, of which some may be ensembles or joined (`a+b`)."""
    found = dict.fromkeys(name for given in proxies for name in _parts(given))
    for name in found:
        if name not in PROXIES:
            hint = nearest(name, [*PROXIES, *ENSEMBLES])
            raise NasirError("E201", f"unknown proxy {quoted(name)}", hint=hint)
    return tuple(found)


def joined(proxies: Sequence[str], scores: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Returns scores by the names asked for, of those of `members(proxies)`."""
    return {
        name: list(scores[name])
        if name in scores
        else ranked([scores[part] for part in _parts(name)])
        for name in proxies
    }


def ranked(scores: Sequence[Sequence[float]]) -> list[float]:
    """Returns for each of M genotypes Σ log(rank / M) over several proxies' scores.

    AZ-NAS, arXiv:2403.19232: the best has rank M; equal scores share the mean of theirs.
    """
    ranks: NDArray[np.float64] = np.asarray([rankdata(row) for row in scores], dtype=np.float64)
    return [float(x) for x in np.log(ranks / max(1, ranks.shape[1])).sum(axis=0)]


def _parts(name: str) -> tuple[str, ...]:
    return ENSEMBLES[name] if name in ENSEMBLES else tuple(name.split("+"))


def _scored(name: str, probe: Probe, genotype: Genotype) -> float:
    try:
        value = float(PROXIES[name](probe))
    except NasirError as error:
        message = f"{name} of {_called(genotype)}: {error.message}"
        raise NasirError(error.code, message, error.where, error.hint) from None
    except (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        if is_out_of_memory(error):
            message = f"no memory for {name} of {_called(genotype)}"
            hint = "a smaller --batch, or fewer --channels"
            raise NasirError("E744", message, hint=hint) from None
        message = f"{name} of {_called(genotype)} failed: {type(error).__name__}: {error}"
        raise NasirError("E505", message) from error
    return -math.inf if math.isnan(value) else value


def _called(genotype: Genotype) -> str:
    return quoted(genotype.name or short_text(genotype), 200)


def _grad(of: Tensor, by: Sequence[Tensor], **options: Any) -> list[Tensor]:
    """Returns gradients, zeros where there is no dependence."""
    if not of.requires_grad:
        return [torch.zeros_like(each) for each in by]
    return list(grad(of, by, materialize_grads=True, **options))


def _total(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> float:
    pairs = zip(weights, gradients, strict=True)
    return sum(float((w.detach() * g).abs().double().sum()) for w, g in pairs)


def _without_norms(graph: Graph) -> Graph:
    """Returns the graph without batch norms: their readers read what these read."""
    names, kept = dict[str, str](), list[Node]()
    for node in graph:
        if node.has("channel_affine"):
            names[node.name] = names.get(node.inputs[0], node.inputs[0])
        else:
            kept.append(node.rewired(names))
    return graph.aliased(kept, names)


def _is_relu(graph: Graph, node: Node) -> bool:
    assert isinstance(node.op, OpSpec)
    unit = node.op.unit(node.attrs, graph.types_of(node))
    return unit is not None and unit.relu


def _before_head(graph: Graph) -> str:
    """Returns the value that a network's last linear maps and pools read."""
    name = graph.outputs[0]
    while name in graph and graph[name].has("linear") and len(graph[name].inputs) == 1:
        name = graph[name].inputs[0]
    return name


def _entropies(probe: Probe) -> list[float]:
    found: list[float] = []
    for value in probe.features:
        rows = value.detach().movedim(1, 3).flatten(0, 2)
        rows = rows - rows.mean(0)
        variances: Tensor = linalg.eigvalsh(rows.T @ rows / len(rows)).clamp(min=0)
        shares = variances / variances.sum()
        found.append(float(-(shares * (shares + 1e-8).log()).sum()))
    return found

"""Networks of the original implementations, from the papers' formulas and the originals' names."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

import nasir


def filled(shapes: Mapping[str, list[int] | tuple[int, ...]]) -> dict[str, Tensor]:
    """Random tensors; variances are positive, and a tied decoder is its encoder."""
    source = torch.Generator().manual_seed(0)
    state = {
        name: torch.rand(tuple(shape), generator=source) + 0.5
        if name.endswith("var")
        else 0.3 * torch.randn(tuple(shape), generator=source)
        for name, shape in shapes.items()
    }
    if "decoder.weight" in state:
        state["decoder.weight"] = state["encoder.weight"]
    return state


def head_shapes(name: str, width: int, *, last_norm: bool) -> dict[str, tuple[int, ...]]:
    """An auxiliary head's tensors; the one for ImageNet lacks the last batch norm as published."""
    shapes: dict[str, tuple[int, ...]] = {f"{name}.features.2.weight": (128, width, 1, 1)}
    shapes |= bn_shapes(f"{name}.features.3", 128)
    shapes[f"{name}.features.5.weight"] = (768, 128, 2, 2)
    shapes |= bn_shapes(f"{name}.features.6", 768) if last_norm else {}
    return shapes | {f"{name}.classifier.weight": (10, 768), f"{name}.classifier.bias": (10,)}


class Bn:
    """Batch norm in evaluation, of tensors by name."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = state

    def __call__(self, x: Tensor, name: str) -> Tensor:
        s = self.state
        return F.batch_norm(
            x,
            s[f"{name}.running_mean"],
            s[f"{name}.running_var"],
            s[f"{name}.weight"],
            s[f"{name}.bias"],
            eps=1e-5,
        )


def _sep(s: Mapping[str, Tensor], x: Tensor, name: str, stride: int) -> Tensor:
    """ReLU, depthwise, pointwise, batch norm, twice; the second with stride 1."""
    for first, step in ((1, stride), (5, 1)):
        kernel = s[f"{name}.op.{first}.weight"]
        x = F.conv2d(
            F.relu(x), kernel, stride=step, padding=kernel.shape[-1] // 2, groups=len(kernel)
        )
        x = Bn(s)(F.conv2d(x, s[f"{name}.op.{first + 1}.weight"]), f"{name}.op.{first + 2}")
    return x


def _dil(s: Mapping[str, Tensor], x: Tensor, name: str, stride: int) -> Tensor:
    kernel = s[f"{name}.op.1.weight"]
    side = kernel.shape[-1]
    x = F.conv2d(F.relu(x), kernel, stride=stride, padding=side - 1, dilation=2, groups=len(kernel))
    return Bn(s)(F.conv2d(x, s[f"{name}.op.2.weight"]), f"{name}.op.3")


def _reduced(s: Mapping[str, Tensor], x: Tensor, name: str) -> Tensor:
    """Two halves of channels, the second of the image moved by one pixel."""
    x = F.relu(x)
    one = F.conv2d(x, s[f"{name}.conv_1.weight"], stride=2)
    two = F.conv2d(x[:, :, 1:, 1:], s[f"{name}.conv_2.weight"], stride=2)
    return Bn(s)(torch.cat([one, two], 1), f"{name}.bn")


def _op(s: Mapping[str, Tensor], op: str, x: Tensor, name: str, stride: int) -> Tensor:
    if op.startswith("sep_conv"):
        return _sep(s, x, name, stride)
    if op.startswith("dil_conv"):
        return _dil(s, x, name, stride)
    if op == "max_pool_3x3":
        return F.max_pool2d(x, 3, stride, 1)
    if op == "avg_pool_3x3":
        return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    assert op == "skip_connect"
    return x if stride == 1 else _reduced(s, x, name)


def quark0(s: Mapping[str, Tensor], genotype: nasir.Genotype, layers: int, x: Tensor) -> Tensor:
    """NetworkCIFAR in evaluation, from the papers' formulas and the original's names."""
    before = now = Bn(s)(F.conv2d(x, s["stem.0.weight"], padding=1), "stem.1")
    reductions = (layers // 3, 2 * layers // 3)
    after_reduction = False
    for number in range(layers):
        reduction = number in reductions
        cell = genotype.cell("reduce" if reduction else "normal")
        below = f"cells.{number}"
        if after_reduction:
            first = _reduced(s, before, f"{below}.preprocess0")
        else:
            first = _projected(s, before, f"{below}.preprocess0")
        states = [first, _projected(s, now, f"{below}.preprocess1")]
        place = 0
        for node in cell.nodes:
            total = torch.zeros(())
            for edge in node:
                stride = 2 if reduction and edge.source < 2 else 1
                total = total + _op(
                    s, edge.op, states[edge.source], f"{below}._ops.{place}", stride
                )
                place += 1
            states.append(total)
        before, now = now, torch.cat([states[i] for i in cell.output], 1)
        after_reduction = reduction
    return F.linear(now.mean((2, 3)), s["classifier.weight"], s["classifier.bias"])


def _projected(s: Mapping[str, Tensor], x: Tensor, name: str) -> Tensor:
    return Bn(s)(F.conv2d(F.relu(x), s[f"{name}.op.1.weight"]), f"{name}.op.2")


def bn_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")
    }


def quark0_shapes(genotype: nasir.Genotype, width: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of NetworkCIFAR, written down once more."""
    shapes: dict[str, tuple[int, ...]] = {"stem.0.weight": (3 * width, 3, 3, 3)}
    shapes |= bn_shapes("stem.1", 3 * width)
    before = now = 3 * width
    after = False
    for number in range(layers):
        reduction = number in (layers // 3, 2 * layers // 3)
        width *= 2 if reduction else 1
        below = f"cells.{number}"
        shapes |= _projection(f"{below}.preprocess0", before, width, halved=after)
        shapes |= _projection(f"{below}.preprocess1", now, width, halved=False)
        cell = genotype.cell("reduce" if reduction else "normal")
        edges = [edge for node in cell.nodes for edge in node]
        for place, edge in enumerate(edges):
            halved = edge.op == "skip_connect" and reduction and edge.source < 2
            name = f"{below}._ops.{place}"
            shapes |= (
                _projection(name, width, width, halved=True)
                if halved
                else _op_shapes(edge.op, name, width)
            )
        before, now, after = now, len(cell.output) * width, reduction
    return shapes | {"classifier.weight": (10, now), "classifier.bias": (10,)}


def _projection(name: str, wide: int, width: int, *, halved: bool) -> dict[str, tuple[int, ...]]:
    if halved:
        half = (width // 2, wide, 1, 1)
        halves = {f"{name}.conv_1.weight": half, f"{name}.conv_2.weight": half}
        return halves | bn_shapes(f"{name}.bn", width)
    return {f"{name}.op.1.weight": (width, wide, 1, 1)} | bn_shapes(f"{name}.op.2", width)


def _op_shapes(op: str, name: str, width: int) -> dict[str, tuple[int, ...]]:
    if "conv" not in op:
        return {}
    side = int(op[-1])
    shapes: dict[str, tuple[int, ...]] = {}
    for first in (1, 5) if op.startswith("sep") else (1,):
        shapes[f"{name}.op.{first}.weight"] = (width, 1, side, side)
        shapes[f"{name}.op.{first + 1}.weight"] = (width, width, 1, 1)
        shapes |= bn_shapes(f"{name}.op.{first + 2}", width)
    return shapes


def tiny_network(s: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """TinyNetwork of NB201 in evaluation, N = 1, from the formulas."""

    def unit(x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = s[f"{name}.op.1.weight"]
        x = F.conv2d(F.relu(x), kernel, stride=stride, padding=1)
        return Bn(s)(x, f"{name}.op.2")

    x = Bn(s)(F.conv2d(x, s["stem.0.weight"], padding=1), "stem.1")
    for number in range(5):
        below = f"cells.{number}"
        if number % 2:
            y = unit(unit(x, f"{below}.conv_a", 2), f"{below}.conv_b")
            x = y + F.conv2d(F.avg_pool2d(x, 2, 2), s[f"{below}.downsample.1.weight"])
            continue
        one = unit(x, f"{below}.layers.0")
        two = unit(x, f"{below}.layers.1") + F.avg_pool2d(one, 3, 1, 1, count_include_pad=False)
        x = x + unit(one, f"{below}.layers.4")
        del two  # nothing reads it: its edge to the output is none
    x = F.relu(Bn(s)(x, "lastact.0")).mean((2, 3))
    return F.linear(x, s["classifier.weight"], s["classifier.bias"])


def language_model(
    s: Mapping[str, Tensor], genotype: nasir.Genotype, tokens: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """RNNModel in evaluation, from the formulas."""
    cell = genotype.cell("recurrent")
    acts = {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": F.relu,
        "identity": lambda x: x,
    }
    outputs: list[Tensor] = []
    for row in tokens:
        c, g = (torch.cat([s["encoder.weight"][row], h], 1) @ s["rnns.0._W0"]).chunk(2, 1)
        states = [h + torch.sigmoid(c) * (torch.tanh(g) - h)]
        for number, (edge,) in enumerate(cell.nodes):
            before = states[edge.source]
            c, g = (before @ s[f"rnns.0._Ws.{number}"]).chunk(2, 1)
            states.append(before + torch.sigmoid(c) * (acts[edge.op](g) - before))
        h = torch.stack([states[i] for i in cell.output]).mean(0)
        outputs.append(F.linear(h, s["encoder.weight"], s["decoder.bias"]))
    return torch.log_softmax(torch.stack(outputs), -1), h

"""Attention, dense prediction and signals: own ops of example spaces, and 1-d networks."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lowering
import nasir
from lowering.onnx import compare
from nasir import Builder, Graph, ImageType, NasirError, SequenceType, SignalType
from tests.command_line import ROOT
from tests.test_exports import trained

SPACES = {
    name: nasir.load_space(ROOT / "spaces" / "examples" / f"{name}.yaml")
    for name in ("attention", "segmentation", "windows")
}
named = pytest.mark.parametrize("name", SPACES)


def agree(graph: Graph, path: Path, *inputs: Tensor) -> nn.Module:
    """The network, which computes in ONNX Runtime and in a Python file what it does in torch."""
    module = trained(graph).eval()
    onnx = lowering.to_onnx(graph, module, path / "net.onnx")
    assert compare(graph, module, onnx).require().difference < 1e-5
    file, _ = lowering.to_python(graph, module, path / "net.py")
    with torch.no_grad():
        torch.testing.assert_close(lowering.load_python(file)(*inputs), module(*inputs))
    return module


def softmaxes(graph: Graph) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows = {c.name: torch.randn(len(c.options), generator=generator) for c in graph.choices}
    return {name: row.requires_grad_() for name, row in rows.items()}


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def learns(weights: Iterable[Tensor], loss: Callable[[], Tensor]) -> bool:
    """Whether the loss falls in a few steps."""
    optimizer = torch.optim.Adam(weights, 1e-2)
    losses: list[float] = []
    for _ in range(6):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses[-1] < losses[0]


@named
def test_a_space_has_sizes_ids_and_genotypes_in_order(name: str) -> None:
    space = SPACES[name]
    assert nasir.size(space) == (4**2 * 4**2 * 3) ** 2
    genotype = nasir.sample(space, 3)
    assert nasir.unrank(space, nasir.rank(space, genotype)) == genotype
    assert nasir.canonical_id(genotype) != nasir.canonical_id(nasir.mutate(space, genotype, 0))


@named
def test_a_supernet_learns_and_derives_what_its_weights_select(name: str) -> None:
    space = SPACES[name]
    graph = nasir.supernet(space, channels=4, layers=3, resolution=16)
    module, logits = lowering.to_torch(graph, seed=0).train(), softmaxes(graph)
    x, classes = noise(4, 3, 16, 16), torch.arange(4)

    def loss() -> Tensor:
        return F.cross_entropy(module(x, {k: v.softmax(0) for k, v in logits.items()}), classes)

    assert learns([*module.parameters(), *logits.values()], loss)
    assert all(row.grad is not None and row.grad.abs().sum() > 0 for row in logits.values())
    found = nasir.derive(space, {k: v.tolist() for k, v in logits.items()})
    assert space.contains(found) == ()


def test_cells_of_several_sizes_are_one_function_and_one_class(tmp_path: Path) -> None:
    genotype = nasir.load_genotype(ROOT / "spaces" / "examples" / "attention.json")
    graph = nasir.network(genotype, channels=4, layers=6, resolution=16)
    content = lowering.to_onnx(graph, trained(graph), tmp_path / "net.onnx").read_bytes()
    assert b"normal_2" not in content
    file, _ = lowering.to_python(graph, trained(graph), tmp_path / "net.py")
    assert file.read_text().count('(nn.Module):\n    """The normal cell') == 1


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [8, 6])
def test_the_attention_of_the_example_is_torchs(channels: int, stride: int) -> None:
    build = Builder(image=ImageType(channels, 6, 4)).know(SPACES["attention"].ops)
    graph = build.graph(build("attention", "image", name="m", stride=stride, affine=False))
    module = lowering.to_torch(graph, seed=1).double()
    w = module.state_dict()
    image = noise(2, channels, 6, 4).double()
    x = F.avg_pool2d(image, stride)
    norm = F.layer_norm(x.movedim(1, -1), (channels,)).movedim(-1, 1)

    def heads(key: str) -> Tensor:
        y = F.conv2d(norm, w[f"m/{key}/conv2d.weight"], w[f"m/{key}/conv2d.bias"])
        return y.unflatten(1, (4 if channels == 8 else 1, -1)).flatten(3).mT

    queries, keys, values = map(heads, ("queries", "keys", "values"))
    mixed = F.scaled_dot_product_attention(queries, keys, values)
    y = mixed.mT.flatten(1, 2).view_as(x)
    expected = x + F.conv2d(y, w["m/project.weight"], w["m/project.bias"])
    torch.testing.assert_close(module(image), expected)


@pytest.mark.parametrize(("channels", "stride"), [(8, 1), (6, 2)])
def test_the_attention_of_windows_is_torchs(channels: int, stride: int) -> None:
    size = (8 * stride, 12 * stride)
    build = Builder(image=ImageType(channels, *size)).know(SPACES["windows"].ops)
    graph = build.graph(build("window_attention", "image", name="m", stride=stride, affine=False))
    module = lowering.to_torch(graph, seed=1).double()
    w = module.state_dict()
    image = noise(2, channels, *size).double()
    x = F.avg_pool2d(image, stride)
    norm, heads = F.group_norm(x, 1), 4 if channels == 8 else 1

    def windows(key: str) -> Tensor:
        y = F.conv2d(norm, w[f"m/{key}/conv2d.weight"], w[f"m/{key}/conv2d.bias"])
        y = y.view(2, heads, channels // heads, 2, 4, 3, 4)
        return y.permute(0, 1, 3, 5, 4, 6, 2).flatten(4, 5)  # (N, heads, 2, 3, 16, C / heads)

    queries, keys, values = map(windows, ("queries", "keys", "values"))
    mixed = F.scaled_dot_product_attention(queries, keys, values).unflatten(4, (4, 4))
    y = mixed.permute(0, 1, 6, 2, 4, 3, 5).reshape_as(x)
    expected = x + F.conv2d(y, w["m/project.weight"], w["m/project.bias"])
    torch.testing.assert_close(module(image), expected)


def test_a_head_labels_each_pixel_and_learns(tmp_path: Path) -> None:
    build = Builder(image=ImageType(3, 20, 13)).know(SPACES["segmentation"].ops)
    x = build("conv_bn", "image", name="stem", out=8, kernel=3)
    graph = build.graph(build("segment", build("unet", x, name="unet"), name="head"))
    assert graph.types[graph.outputs[0]] == ImageType(21, 80, 52)
    module = agree(graph, tmp_path, noise(2, 3, 20, 13)).train()
    x, labels = noise(2, 3, 20, 13), torch.arange(2 * 80 * 52).view(2, 80, 52) % 21
    assert learns(module.parameters(), lambda: F.cross_entropy(module(x), labels))


def test_an_image_of_height_1_is_a_signal(tmp_path: Path) -> None:
    build = Builder(signal=SignalType(3, 40))
    x = build("reshape", "signal", name="in", channels=3, height=1)
    x = build("conv2d", x, name="conv", out=6, kernel=(1, 5), stride=(1, 2), bias=True)
    x = build("max_pool", build("batch_norm", x, name="bn"), name="pool", kernel=(1, 3))
    x = build("conv_transpose2d", x, name="up", out=3, kernel=(1, 4), stride=(1, 2))
    x = build("resize_bilinear", x, build("reshape", "signal", name="like", channels=3, height=1))
    graph = build.graph(build("reshape", x, "signal", name="out"))
    signal = noise(2, 3, 40)
    module = agree(graph, tmp_path, signal).eval()
    w = {
        key: value.squeeze(2) if value.dim() == 4 else value
        for key, value in module.state_dict().items()
    }
    y = F.conv1d(signal, w["conv.weight"], w["conv.bias"], 2, 2)
    statistics = (w[f"bn.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
    y = F.max_pool1d(F.batch_norm(y, *statistics), 3, 1)
    y = F.interpolate(F.conv_transpose1d(y, w["up.weight"], None, 2, 1), 40, mode="linear")
    torch.testing.assert_close(module(signal), y)
    assert graph == nasir.parse_graph(nasir.print_graph(graph))


@pytest.mark.parametrize("sizes", [(2, 82), (7, 15), (28, 57), (57, 28), (3, 141), (13, 199)])
def test_the_nearest_pixel_is_torchs_at_every_size(sizes: tuple[int, int], tmp_path: Path) -> None:
    old, new = sizes
    build = Builder(image=ImageType(1, old, 3), like=ImageType(1, new, 5))
    agree_at = build.graph(build("resize_nearest", "image", "like", name="near"))
    agree(agree_at, tmp_path, noise(2, 1, old, 3), noise(2, 1, new, 5))


def test_initial_values_are_within_torchs_bounds() -> None:
    build = Builder(image=ImageType(12, 4, 4))
    x = build("conv_transpose2d", "image", name="up", out=8, kernel=3, groups=2, bias=True)
    graph = build.graph(build("layer_norm", x, name="norm"))
    own, torchs = (
        lowering.to_torch(graph).state_dict(),
        torch.nn.ConvTranspose2d(12, 8, 3, groups=2),
    )
    bound = (4 * 9) ** -0.5
    for key, value in torchs.named_parameters():
        found = own[f"up.{key}"]
        assert found.shape == value.shape
        assert 0.8 * bound < float(found.abs().max()) <= bound
        assert float(value.detach().abs().max()) <= bound
    assert torch.equal(own["norm.weight"], torch.ones(8))
    assert torch.equal(own["norm.bias"], torch.zeros(8))


def test_an_op_that_is_no_option_may_change_the_type() -> None:
    text = (ROOT / "spaces" / "examples" / "attention.yaml").read_text()
    with pytest.raises(NasirError, match="the op 'heads' turns") as caught:
        nasir.load_space(text.replace("[attention, transformer,", "[heads, transformer,"))
    assert (caught.value.code, caught.value.where.line) == ("E305", 8)


def test_norms_and_shares_of_sequences_are_those_of_their_channels(tmp_path: Path) -> None:
    build = Builder(x=SequenceType(3))
    norm = build("gelu", build("layer_norm", "x", axis=-1))
    agree(build.graph(norm, build("softmax", "x", axis=-1)), tmp_path, noise(2, 4, 3))

"""Stand-alone Python files compute what the lowered network computes."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nasir
from lowering.python import load_python, to_python
from lowering.torch import to_torch
from nasir import Builder, Graph, ImageType
from tests.refusals import fails_with
from tests.test_exports import DENSE, GRAPHS


def darts(layers: int = 6, *, auxiliary: bool = False) -> Graph:
    return nasir.network("darts_v2", channels=4, layers=layers, auxiliary=auxiliary)


def lowered(graph: Graph) -> nn.Module:
    """The network in torch, with statistics and biases that are not the initial ones."""
    module = to_torch(graph)
    generator = torch.Generator().manual_seed(1)
    for key, value in module.state_dict().items():
        if key.endswith(("bias", "running_mean")):
            value.normal_(generator=generator)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 2.0, generator=generator)
    return module


def images(graph: Graph) -> Tensor:
    shape = graph.inputs[0][1].shape
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(2))


def test_noise_in_the_file_is_drawn_anew_and_repeats_with_the_generator(tmp_path: Path) -> None:
    graph = GRAPHS["noise"]()
    path, _ = to_python(graph, lowered(graph), tmp_path / "net.py")
    network = load_python(path)
    found: list[Tensor] = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(network(images(graph)))
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


def test_training_gives_the_same_losses_gradients_and_statistics(tmp_path: Path) -> None:
    graph = darts(auxiliary=True)
    module = lowered(graph).double().train()
    network = load_python(to_python(graph, module, tmp_path / "net.py")[0]).train()
    for one in (module, network):
        logits, auxiliary = one(images(graph).double())
        (logits.logsumexp(1).sum() + 0.4 * auxiliary.square().mean()).backward()
    found = dict(network.named_parameters())
    expected = dict(module.named_parameters())
    for path, key in (
        ("stem.conv.weight", "stem/conv.weight"),
        ("c03.pre0.conv2.weight", "c03/pre0/conv2.weight"),
        ("c01.n3_e0_sep_conv_3x3.dw2.weight", "c01/n3.e0/sep_conv_3x3/dw2.weight"),
        ("aux.linear.bias", "aux/linear.bias"),
    ):
        torch.testing.assert_close(found[path].grad, expected[key].grad, rtol=1e-9, atol=1e-12)
    mean = network.state_dict()["c05.pre1.bn.running_mean"]
    torch.testing.assert_close(mean, module.state_dict()["c05/pre1/bn.running_mean"])


def test_a_cell_whose_inside_is_read_from_outside_returns_two_values(tmp_path: Path) -> None:
    graph = nasir.network(DENSE, channels=4, layers=2)
    nodes = [
        n.rewired({n.inputs[0]: "c04/n2"}) if n.name == "c05/n1.e0/nor_conv_3x3" else n
        for n in graph.nodes
    ]
    graph = graph.with_nodes(nodes)
    module = lowered(graph)
    path, _ = to_python(graph, module, tmp_path / "net.py")
    assert "-> tuple[Tensor, Tensor]" in path.read_text()
    network = load_python(path)
    assert torch.equal(network(images(graph)), module.eval()(images(graph)))


def test_names_that_are_no_identifiers_or_clash_are_told_apart(tmp_path: Path) -> None:
    b = Builder(image=ImageType(3, 8, 8))
    x = b("conv2d", "image", name="a/b", out=4, kernel=3)
    for name in ("a_b", "a#b", "forward", "class", "self", "F", "x.y+", "torch"):
        x = b("conv2d", x, name=name, out=4, kernel=1, bias=True)
        x = b("tanh", x, name=f"{name}/t")
    graph = b.graph(x)
    weights = {ref.key: torch.randn(ref.shape) for ref in graph.params}
    path, _ = to_python(graph, _Weights(weights), tmp_path / "net.py")
    image = images(graph)
    expected = image
    for node in graph.nodes:
        if node.op.name == "tanh":
            expected = torch.tanh(expected)
        else:
            expected = nn.functional.conv2d(
                expected,
                weights[f"{node.name}.weight"],
                weights.get(f"{node.name}.bias"),
                padding=node.attrs.margins,  # pyright: ignore[reportAttributeAccessIssue]
            )
    assert torch.equal(load_python(path)(image), expected)


def test_nodes_that_share_a_weight_share_it_in_the_file(tmp_path: Path) -> None:
    b = Builder(image=ImageType(3, 8, 8))
    x = b("conv2d", "image", name="first", out=3, kernel=3)
    graph = b.graph(b("conv2d", x, name="second", out=3, kernel=3))
    first, second = graph.nodes
    graph = graph.with_nodes([first, replace(second, params=first.params)])
    weight = torch.randn(3, 3, 3, 3)
    path, _ = to_python(graph, _Weights({"first.weight": weight}), tmp_path / "net.py")
    network: Any = load_python(path)
    assert network.second.weight is network.first.weight
    expected = nn.functional.conv2d(images(graph), weight, padding=1)
    expected = nn.functional.conv2d(expected, weight, padding=1)
    assert torch.equal(network(images(graph)), expected)


class _Weights(nn.Module):
    """A module with nothing but a state."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self._state = weights

    def state_dict(self, *_args: object, **_options: object) -> dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._state


def test_a_file_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = nasir.network(DENSE, channels=4, layers=1)
    module = lowered(graph)
    before = torch.get_rng_state()
    export = sys.modules["lowering.python.export"]
    write = export.write_file
    for old, new in (
        ("F.relu(", "F.silu("),
        ("return ", "return torch.nothing or "),
        (":\n", "\n"),
    ):

        def wrong(*arguments: Any, old: str = old, new: str = new) -> Any:
            text, places = write(*arguments)
            return text.replace(old, new), places

        monkeypatch.setattr(export, "write_file", wrong)
        with fails_with("E504", "the Python file"):
            to_python(graph, module, tmp_path / "net.py")
        assert not list(tmp_path.iterdir())
    assert torch.equal(torch.get_rng_state(), before)

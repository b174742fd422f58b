"""Language models as ONNX and Python files, as programs of torch.compile, and as drawings."""

import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

import lowering
import nasir
from nasir import Graph

V, H = 30, 5


def make(name: str) -> tuple[Graph, lowering.Network]:
    """The network with weights large enough for the activations to matter."""
    graph = nasir.network(name, vocabulary=V, hidden=H)
    module = lowering.to_torch(graph).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    return graph, module


def inputs(steps: int, batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(steps)
    tokens = torch.randint(V, (steps, batch), generator=generator)
    return tokens, torch.randn(batch, H, generator=generator)


def evaluate(module: nn.Module, steps: int, batch: int) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        return module(*inputs(steps, batch))


def session(path: Path, steps: int, batch: int) -> list[Tensor]:
    tokens, hidden = inputs(steps, batch)
    run = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = run.run(None, {"tokens": tokens.numpy(), "hidden": hidden.numpy()})
    return [torch.as_tensor(value) for value in found]


def test_an_onnx_file_takes_any_number_of_steps_and_texts(tmp_path: Path) -> None:
    graph, module = make("DARTS_V2@darts_rnn")
    path = lowering.to_onnx(graph, module, tmp_path / "net.onnx")
    for steps, batch in ((1, 1), (4, 3), (35, 2)):
        expected = evaluate(module, steps, batch)
        for x, y in zip(session(path, steps, batch), expected, strict=True):
            assert x.shape == y.shape
            assert float((x - y).abs().max()) < 1e-4 * max(1.0, float(y.abs().max()))


def test_the_cell_is_one_onnx_function_called_from_a_scan(tmp_path: Path) -> None:
    graph, module = make("DARTS_V2@darts_rnn")
    model = onnx.load(lowering.to_onnx(graph, module, tmp_path / "net.onnx"))
    assert [function.name for function in model.functions] == ["recurrent"]
    (scan,) = [node for node in model.graph.node if node.op_type == "Scan"]
    (body,) = [attribute.g for attribute in scan.attribute if attribute.name == "body"]
    assert [(node.domain, node.op_type) for node in body.node] == [
        ("nasir", "recurrent"),
        ("", "Identity"),
    ]
    assert [value.name for value in model.graph.input] == ["tokens", "hidden"]
    assert [value.name for value in model.graph.output] == ["log_probabilities", "next_hidden"]
    weights = {tensor.name for tensor in model.graph.initializer}
    assert weights == set(module.state_dict())


def test_the_python_file_draws_in_training_what_the_network_draws(tmp_path: Path) -> None:
    graph, module = make("DARTS_V2@darts_rnn")
    network = lowering.load_python(lowering.to_python(graph, module, tmp_path / "net.py")[0])
    assert sum(weight.numel() for weight in network.parameters()) == nasir.cost(graph).params
    torch.manual_seed(0)
    expected = module.train()(*inputs(4, 3))
    torch.manual_seed(0)
    assert all(map(torch.equal, network.train()(*inputs(4, 3)), expected))


def test_the_python_file_runs_by_itself(tmp_path: Path) -> None:
    graph, module = make("DARTS_V2@darts_rnn")
    path, _ = lowering.to_python(graph, module, tmp_path / "net.py")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "(5, 1, 30) (1, 5)\n"
    assert "multiply-adds for one token" in path.read_text()


def test_the_python_file_returns_the_states_in_training_where_they_are_asked_for(
    tmp_path: Path,
) -> None:
    graph = nasir.network("penn_pgd", vocabulary=V, hidden=H, auxiliary=True)
    module = lowering.to_torch(graph)
    network = lowering.load_python(lowering.to_python(graph, module, tmp_path / "net.py")[0])
    results: list[tuple[Tensor, ...]] = []
    for each in (module, network):
        torch.manual_seed(0)
        results.append(each.train()(*inputs(4, 3)))
    assert len(results[0]) == 3
    assert all(map(torch.equal, *results))
    assert len(network.eval()(*inputs(4, 3))) == 2

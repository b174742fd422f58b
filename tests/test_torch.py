"""The lowering to torch: an ordinary module with stable keys, seeded by key."""

import copy
import gc
import linecache
import pickle
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lowering
import nasir
from lowering.torch import RULES, layers
from nasir.ops import PRIMITIVES

COMPILER = sys.modules["lowering.torch.policies"]


def small(genotype: str = "darts_v2", auxiliary: bool = True) -> nasir.Graph:
    return nasir.network(genotype, channels=4, layers=3, auxiliary=auxiliary)


def disturbed(module: lowering.Network, seed: int = 0) -> lowering.Network:
    """The module with batch norms that do something in evaluation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in module.state_dict().items():
            if "bn" in key:
                noise = torch.rand(value.shape, generator=generator, dtype=torch.float64)
                value.copy_((0.5 + noise).to(value.dtype))
    return module


def test_every_primitive_has_a_torch_rule() -> None:
    assert set(RULES) == set(PRIMITIVES)


def test_shared_and_plain_lowerings_are_bitwise_equal_in_training_and_evaluation() -> None:
    graph = small()
    shared = lowering.to_torch(graph, seed=3).double()
    plain = lowering.to_torch(graph, seed=3, optimise=False).double()
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    for a, b in zip(shared(image), plain(image), strict=True):
        assert torch.equal(a, b)
    assert list(shared.state_dict()) == list(plain.state_dict())
    for key, value in shared.state_dict().items():
        assert torch.equal(value, plain.state_dict()[key]), key
    assert torch.equal(shared.eval()(image), plain.eval()(image))


def test_a_weight_depends_on_its_seed_and_key_alone() -> None:
    wide = lowering.to_torch(nasir.network("darts_v2", channels=4, layers=6)).state_dict()
    short = lowering.to_torch(nasir.network("pc_darts_cifar", channels=4, layers=3)).state_dict()
    assert torch.equal(wide["stem/conv.weight"], short["stem/conv.weight"])
    other = lowering.to_torch(nasir.network("darts_v2", channels=4, layers=6), seed=1).state_dict()
    assert not torch.equal(wide["stem/conv.weight"], other["stem/conv.weight"])


def test_copies_and_pickles_compute_the_same_with_weights_of_their_own() -> None:
    module = disturbed(lowering.to_torch(small(auxiliary=False))).eval()
    image = torch.randn(1, 3, 32, 32)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(image), module(image))
        with torch.no_grad():
            next(twin.parameters()).zero_()
        assert not torch.equal(twin(image), module(image))


@pytest.mark.parametrize("genotype", ["darts_v2", "bananas", "nasnet", "amoebanet"])
def test_the_network_for_inference_equals_the_network(genotype: str) -> None:
    graph = small(genotype, auxiliary=False)
    module = disturbed(lowering.to_torch(graph).double()).eval()
    folded = lowering.to_inference(graph, module)
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(folded(image), module(image), rtol=1e-9, atol=1e-9)
    assert len(folded.state_dict()) < len(module.state_dict())
    assert torch.equal(folded.train()(image), folded.eval()(image))


def test_a_name_that_torch_modules_use_themselves_is_refused() -> None:
    build = nasir.Builder(x=nasir.ImageType(2, 4, 4))
    graph = build.graph(build("conv2d", "x", name="forward", out=2, kernel=1))
    with pytest.raises(nasir.NasirError) as caught:
        lowering.to_torch(graph)
    assert caught.value.code == "E401"


def test_weights_survive_a_file(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    module = disturbed(lowering.to_torch(small()))
    lowering.save_weights(module, path)
    twin = lowering.to_torch(small(), seed=1)
    lowering.load_weights(twin, path)
    for key, value in module.state_dict().items():
        assert torch.equal(value, twin.state_dict()[key])


def test_weights_of_another_network_are_refused_and_nothing_changes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "net.safetensors"
    lowering.save_weights(lowering.to_torch(small(auxiliary=False)), path)
    module = lowering.to_torch(small())
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(nasir.NasirError) as caught:
        lowering.load_weights(module, path)
    assert caught.value.code == "E503"
    assert "aux/conv1.weight" in caught.value.message
    wide = lowering.to_torch(nasir.network("darts_v2", channels=8, layers=3, auxiliary=True))
    lowering.save_weights(wide, path)
    with pytest.raises(nasir.NasirError, match="shape") as caught:
        lowering.load_weights(module, path)
    assert caught.value.code == "E503"
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_a_broken_weights_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"\x00" * 20)
    for file, code in ((path, "E104"), (path.parent, "E101"), (path.parent / "no", "E101")):
        with pytest.raises(nasir.NasirError) as caught:
            lowering.load_weights(lowering.to_torch(small()), file)
        assert caught.value.code == code
        assert str(file) in str(caught.value)


def test_calls_in_a_large_program_take_no_memory_from_the_system() -> None:
    program: Any = lowering.to_torch(nasir.network("darts_v2", layers=6)).programs[False]
    assert program.__code__.co_nlocals > 200
    assert program.__code__.co_stacksize >= 2048  # more than a chunk of Python's frames


def test_the_compiled_network_equals_the_eager_one_and_shares_its_weights() -> None:
    build = nasir.Builder(x=nasir.ImageType(3, 8, 8))
    convolution = build("conv2d", build("relu", "x"), out=4, kernel=3)
    module = lowering.to_torch(build.graph(convolution)).eval()
    image = torch.randn(2, 3, 8, 8)
    fast = lowering.compile(module)
    with torch.no_grad():
        torch.testing.assert_close(fast(image), module(image), rtol=1e-5, atol=1e-5)
        next(module.parameters()).mul_(2)
        torch.testing.assert_close(fast(image), module(image), rtol=1e-5, atol=1e-5)
    assert list(fast.state_dict()) == list(module.state_dict())


def test_without_a_compiler_the_network_runs_eagerly_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(COMPILER, "_cpp_compiler", lambda: "")
    module = lowering.to_torch(small(auxiliary=False)).eval()
    with pytest.warns(lowering.CompileWarning, match=r"no C\+\+ compiler"):
        fast = lowering.compile(module)
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(fast(image), module(image))


def test_a_compiler_that_fails_is_named_and_the_network_runs_eagerly(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(COMPILER, "_cpp_compiler", lambda: "true")
    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", lambda: "false")
    torch.compiler.reset()
    build = nasir.Builder(x=nasir.ImageType(3, 5, 5))
    module = lowering.to_torch(build.graph(build("dil_conv_3x3", "x"))).eval()
    fast = lowering.compile(module)
    image = torch.randn(1, 3, 5, 5)
    import_module("torch._inductor.compile_fx")  # which warns of what it is made of
    with (
        pytest.warns(lowering.CompileWarning, match="running without torch.compile"),
        torch.no_grad(),
    ):
        assert torch.equal(fast(image), module(image))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        assert torch.equal(fast(image), module(image))


def test_the_source_reads_as_straight_line_python() -> None:
    build = nasir.Builder(x=nasir.ImageType(2, 4, 4))
    graph = build.graph(build("nor_conv_1x1", "x", name="edge"))
    source = lowering.to_torch(graph).source()
    assert "edge_conv = torch.conv2d(edge_relu, edge_conv_weight" in source
    assert "for " not in source


def test_the_source_of_a_module_goes_with_it() -> None:
    gc.collect()
    before = {name for name in linecache.cache if "nasir" in name}
    module = lowering.to_torch(small())
    module.eval()(torch.randn(1, 3, 32, 32))
    made = {name for name in linecache.cache if "nasir" in name} - before
    assert made, "tracebacks show it"
    del module
    gc.collect()
    assert not made & set(linecache.cache)


_THIN = """
import torch
from lowering.torch.layers import strided_product
torch.set_num_threads(1)
for channels in (4, 8):
    for _ in range(20):
        x = torch.randn(8, channels, 56, 56).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(8, channels, 1, 1, requires_grad=True)
        strided_product(x.requires_grad_(), weight, None, (2, 2)).sum().backward()
"""


@pytest.mark.slow
def test_gradients_of_thin_strided_products_stay_in_their_memory() -> None:
    """torch's own convolution ends such a process as a corrupted heap."""
    run = subprocess.run([sys.executable, "-c", _THIN], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("channels", [3, 16])
def test_a_strided_product_is_the_convolution(channels: int) -> None:
    x = torch.randn(2, channels, 7, 6).double().contiguous(memory_format=torch.channels_last)
    weight = torch.randn(5, channels, 1, 1).double()
    found = layers.strided_product(x, weight, None, (2, 2))
    assert torch.equal(found, nn.functional.conv2d(x, weight, None, 2))

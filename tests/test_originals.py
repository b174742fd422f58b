"""Weights of the original implementations: names, meaning, and files that are none."""

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import lowering
import nasir
from nasir import NasirError
from runners.originals import import_weights, translate
from tests.command_line import call
from tests.original_networks import (
    bn_shapes,
    filled,
    head_shapes,
    language_model,
    quark0,
    quark0_shapes,
    tiny_network,
)
from tests.refusals import fails_with
from tests.strategies import examples

NAMES = Path(__file__).parent.parent.parent / "shared" / "spec" / "state-dict-names.json"
NB201 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
CASES = {
    "cnn cifar, DARTS_V2, C=4, layers=3, 10 classes, auxiliary": "darts_v2",
    "cnn cifar, AmoebaNet, C=4, layers=3, 10 classes": "AmoebaNet",
    "cnn imagenet, DARTS_V2, C=4, layers=3, 10 classes, auxiliary": "darts_v2",
    "rnn, DARTS_V2, vocabulary 50, hidden 16": "DARTS_V2@darts_rnn",
    f"nasbench201, {NB201}, C=4, N=1, 10 classes": NB201,
}


def documented(case: str) -> dict[str, Tensor]:
    """A state with the documented names and shapes, filled at random."""
    if not NAMES.is_file():
        pytest.skip("the list of the originals' names is not there")
    shapes: Mapping[str, list[int]] = json.loads(NAMES.read_text())["state_dicts"][case]
    return filled(shapes)


SUPERNET = "cnn supernet, DARTS, C=4, layers=3, 10 classes"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.split(", C=")[0])
def test_every_documented_tensor_gets_one_place(case: str, tmp_path: Path) -> None:
    state = documented(case)
    torch.save(state, tmp_path / "original.pt")
    done = import_weights(CASES[case], tmp_path / "original.pt", tmp_path / "ours.safetensors")
    ours = load_file(tmp_path / "ours.safetensors")
    kept = [
        name
        for name in state
        if not name.endswith("num_batches_tracked") and name != "decoder.weight"
    ]
    assert (done.tensors, done.left_out) == (len(kept), ())
    assert sorted(float(x.sum()) for x in ours.values()) == pytest.approx(
        sorted(float(state[name].sum()) for name in kept)
    )


def as_autodl(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of DARTS' networks with the names that AutoDL-Projects gives the same tensors."""
    other = {"stem.0.": "stem.conv.", "stem.1.": "stem.bn."}
    other |= {"conv_1.": "convs.0.", "conv_2.": "convs.1."}
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        for theirs, named in other.items():
            name = name.replace(theirs, named)
        found[name] = value
    return found


def test_gdas_as_autodl_trains_it_has_the_published_parameters(tmp_path: Path) -> None:
    """GDAS_V1, C = 16, N = 2 cells a stage: 330,330 parameters, 435,466 in the auxiliary head."""
    genotype = nasir.load_genotype("GDAS_V1")
    state = filled(quark0_shapes(genotype, 16, 8))
    state |= filled(head_shapes("auxiliary_head", 256, last_norm=True))
    file = saved(tmp_path, {"base-model": 3, "network": as_autodl(state)})
    done = import_weights("GDAS_V1", file, tmp_path / "ours.safetensors")
    assert (done.size["layers"], done.size["channels"], done.auxiliary) == (8, 16, True)
    ours = load_file(tmp_path / "ours.safetensors")
    counted = {key: value.numel() for key, value in ours.items() if "running" not in key}
    head = sum(count for key, count in counted.items() if key.startswith("aux/"))
    assert (sum(counted.values()) - head, head) == (330_330, 435_466)


def test_autodls_head_for_imagenet_is_left_out(tmp_path: Path) -> None:
    state = documented("cnn imagenet, DARTS_V2, C=4, layers=3, 10 classes, auxiliary")
    file = saved(tmp_path, as_autodl(state))
    assert import_weights("darts_v2", file, tmp_path / "out").auxiliary
    state |= filled(bn_shapes("auxiliary_head.features.6", 768))
    file = saved(tmp_path, as_autodl(state))
    done = import_weights("darts_v2", file, tmp_path / "out")
    assert not done.auxiliary
    assert set(done.left_out) == {
        name
        for name in state
        if name.startswith("auxiliary_head.") and not name.endswith("num_batches_tracked")
    }


def test_a_supernet_gets_every_tensor_of_the_original_supernet(tmp_path: Path) -> None:
    state = documented(SUPERNET) | {"alphas_normal": torch.zeros(14, 8)}
    file = saved(tmp_path, {"model": state})
    done = import_weights("darts", file, tmp_path / "ours.safetensors")
    assert done.left_out == ("alphas_normal",)
    module = lowering.to_torch(nasir.supernet("darts", channels=4, layers=3))
    module.load_state_dict(load_file(tmp_path / "ours.safetensors"))
    ours = module.state_dict()
    for number, option, part in ((4, "sep_conv_3x3", "op.6"), (7, "dil_conv_5x5", "op.2")):
        key = {"op.6": "pw2", "op.2": "pw1"}[part]
        theirs = state[f"cells.2._ops.13._ops.{number}.{part}.weight"]
        assert torch.equal(ours[f"c02/n5.e4/{option}/{key}.weight"], theirs)
    pooled = state["cells.1._ops.3._ops.2.1.running_mean"]  # node 3 reads 0, 1, 2: its second edge
    assert torch.equal(ours["c01/n3.e1/avg_pool_3x3/norm.running_mean"], pooled)


def test_a_supernet_of_partial_channels_is_recognised_by_its_shapes(tmp_path: Path) -> None:
    """PC-DARTS's ops see a quarter of the channels; the names are those of DARTS' supernets."""
    whole = documented(SUPERNET)
    graph = nasir.partial_channels(nasir.supernet("darts", channels=16, layers=3), 4)
    wide = lowering.to_torch(graph).state_dict()
    plain = nasir.supernet("darts", channels=4, layers=3)
    pairs = translate(
        nasir.load_space("darts"), plain, {k: v for k, v in whole.items() if v.dim()}
    )[0]
    names = {id(value): name for name, value in whole.items()}
    state = {names[id(value)]: wide[key].clone() for key, value in pairs.items()}
    import_weights("darts", saved(tmp_path, state), tmp_path / "ours.safetensors")
    ours = load_file(tmp_path / "ours.safetensors")
    assert all(torch.equal(ours[key], value) for key, value in wide.items())


def test_a_supernets_weights_are_called_that(tmp_path: Path) -> None:
    with fails_with("E503", "a supernet's") as caught:
        import_weights("darts_v2", saved(tmp_path, documented(SUPERNET)), tmp_path / "out")
    assert "darts" in caught.value.hint


@pytest.mark.parametrize("name", ["darts_v2", "darts_v1", "DrNAS_cifar10", "PC_DARTS_cifar"])
def test_an_imported_network_answers_as_the_original(name: str) -> None:
    genotype = nasir.load_genotype(name)
    state = {k: v.double() for k, v in filled(quark0_shapes(genotype, 4, 4)).items()}
    graph = nasir.network(genotype, "cifar", channels=4, layers=4)
    module = lowering.to_torch(graph).double().eval()
    module.load_state_dict(dict(translate(genotype, graph, state)[0]))
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    expected = quark0(state, genotype, 4, image)
    assert torch.allclose(module(image), expected, atol=1e-10, rtol=1e-10)


def test_an_imported_nasbench201_network_answers_as_the_original() -> None:
    state = {
        name: value if value.dtype == torch.int64 else value.double()
        for name, value in documented(f"nasbench201, {NB201}, C=4, N=1, 10 classes").items()
        if not name.endswith("num_batches_tracked")
    }
    genotype = nasir.load_genotype(NB201)
    graph = nasir.network(genotype, channels=4, layers=1)
    module = lowering.to_torch(graph).double().eval()
    module.load_state_dict(dict(translate(genotype, graph, state)[0]))
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    assert torch.allclose(module(image), tiny_network(state, image), atol=1e-10, rtol=1e-10)


def test_an_imported_language_model_answers_as_the_original() -> None:
    genotype = nasir.load_genotype("DARTS_V2@darts_rnn")
    shapes: dict[str, tuple[int, ...]] = {"encoder.weight": (50, 16), "rnns.0._W0": (32, 32)}
    shapes |= {f"rnns.0._Ws.{node}": (16, 32) for node in range(8)}
    shapes |= {"decoder.weight": (50, 16), "decoder.bias": (50,)}
    state = {name: value.double() for name, value in filled(shapes).items()}
    graph = nasir.network(genotype, vocabulary=50, hidden=16)
    module = lowering.to_torch(graph).double().eval()
    module.load_state_dict(dict(translate(genotype, graph, state)[0]))
    tokens = torch.randint(50, (5, 3), generator=torch.Generator().manual_seed(1))
    hidden = torch.randn(3, 16, generator=torch.Generator().manual_seed(2)).double()
    found, last = module(tokens, hidden)
    expected, after = language_model(state, genotype, tokens, hidden)
    assert torch.allclose(found, expected, atol=1e-10)
    assert torch.allclose(last, after, atol=1e-10)


def saved(tmp_path: Path, state: object) -> Path:
    torch.save(state, tmp_path / "original.pt")
    return tmp_path / "original.pt"


@pytest.fixture
def state() -> dict[str, Tensor]:
    return filled(quark0_shapes(nasir.load_genotype("darts_v2"), 4, 3))


def test_checkpoints_replicas_and_safetensors_are_looked_into(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file(state, tmp_path / "original.safetensors")
    inner = {f"module.{name}": value for name, value in state.items()}
    arguments = argparse.Namespace(arch="DARTS_V2")
    files = (
        saved(tmp_path, {"epoch": 3, "args": arguments, "state_dict": inner, "optimizer": {}}),
        tmp_path / "original.safetensors",
    )
    found: list[dict[str, Tensor]] = []
    for number, file in enumerate(files):
        import_weights("darts_v2", file, tmp_path / f"{number}.safetensors")
        found.append(load_file(tmp_path / f"{number}.safetensors"))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


@pytest.mark.parametrize(
    ("prefix", "under"),
    [
        ("model.", "state_dict"),
        ("net.", "model"),
        ("_orig_mod.", "model_state_dict"),
        ("model._orig_mod.module.", "network"),
        ("model.", "ema"),
    ],
)
def test_prefixes_and_wrappers_of_the_field_are_looked_through(
    prefix: str, under: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    inner = {f"{prefix}{name}": value for name, value in state.items()}
    inner |= {f"{prefix}total_ops": torch.zeros(1), f"{prefix}cells.0.total_params": torch.zeros(1)}
    done = import_weights(
        "darts_v2", saved(tmp_path, {"epoch": 3, under: inner}), tmp_path / "ours.safetensors"
    )
    assert (done.tensors, done.left_out) == (len(state), ())


STARTS = (
    "stem.0.weight", "stem.conv.weight", "stem0.3.weight", "lastact.0.weight", "alphas_normal",
    "cells.0.preprocess0.op.1.weight", "cells.x.preprocess0.op.1.weight", "classifier.weight",
    "cells.0._ops.0._ops.4.op.1.weight", "cells.99999999999.weight", "cells", "encoder.weight",
    "rnns.0._W0", "auxiliary_head.features.6.weight", "cells." + "9" * 5000 + ".weight",
)  # fmt: skip
SHAPES = ((), (0,), (3,), (3, 0), (12, 3, 3, 3), (10, 256), (1, 1, 1, 1))


@given(
    st.dictionaries(st.sampled_from(STARTS), st.sampled_from(SHAPES), max_size=8),
    st.sampled_from((torch.float32, torch.int64, torch.complex64)),
    st.sampled_from(("darts_v2", "darts", NB201, "DARTS_V2@darts_rnn")),
)
@examples(150)
def test_small_states_of_any_names_and_shapes_are_an_error_of_their_own(
    shapes: dict[str, tuple[int, ...]], dtype: torch.dtype, name: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "original.pt"
        torch.save({key: torch.zeros(shape, dtype=dtype) for key, shape in shapes.items()}, path)
        with pytest.raises(NasirError) as caught:
            import_weights(name, path, Path(folder) / "out")
    assert caught.value.code in ("E503", "E201", "E302")


def test_a_network_larger_than_its_file_takes_no_memory(tmp_path: Path) -> None:
    state = filled(quark0_shapes(nasir.load_genotype("darts_v2"), 4, 3))
    state["stem.0.weight"] = torch.zeros(3 * 60_000, 3, 1, 1)
    with fails_with("E503", "parameters, and the file"):
        import_weights("darts_v2", saved(tmp_path, state), tmp_path / "out")


class Whole(nn.Module):
    """A module that was saved whole."""


def test_a_whole_module_is_refused_without_running_its_code(tmp_path: Path) -> None:
    with fails_with("E603", "whole objects") as caught:
        import_weights("darts_v2", saved(tmp_path, Whole()), tmp_path / "out.safetensors")
    assert "state_dict()" in caught.value.hint
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    "content", [b"", b"no file of torch's", b"PK\x03\x04 broken"], ids=["empty", "text", "zip"]
)
def test_what_is_no_state_dict_is_one_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    with fails_with("E503") as caught:
        import_weights("darts_v2", tmp_path / "bad.pt", tmp_path / "out.safetensors")
    assert str(tmp_path / "bad.pt") in str(caught.value.where)


@pytest.mark.parametrize("found", [{}, {"a": 3}, [torch.zeros(2)], {"a": torch.zeros(2)}])
def test_tensors_of_no_known_network_are_one_error(found: object, tmp_path: Path) -> None:
    with fails_with("E503"):
        import_weights("darts_v2", saved(tmp_path, found), tmp_path / "out.safetensors")


@pytest.mark.parametrize("change", ["missing", "shape", "more", "tied"])
def test_a_changed_state_does_not_fit(change: str, tmp_path: Path) -> None:
    genotype = "darts_v2"
    state = filled(quark0_shapes(nasir.load_genotype(genotype), 4, 3))
    if change == "missing":
        del state["cells.0._ops.0.op.1.weight"]
    elif change == "shape":
        state["cells.0._ops.0.op.1.weight"] = torch.zeros(4, 1, 5, 5)
    elif change == "more":
        state["cells.0.extra.weight"] = torch.zeros(3)
    else:
        genotype = "DARTS_V2@darts_rnn"
        shapes = {"encoder.weight": (50, 16), "rnns.0._W0": (32, 32), "decoder.weight": (50, 16)}
        shapes |= {f"rnns.0._Ws.{node}": (16, 32) for node in range(8)} | {"decoder.bias": (50,)}
        state = filled(shapes)
        state["decoder.weight"] = state["decoder.weight"] + 1
    with fails_with("E503"):
        import_weights(genotype, saved(tmp_path, state), tmp_path / "out.safetensors")


def test_the_command_imports_and_others_take_the_result(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    ours = tmp_path / "ours.safetensors"
    done = call("import-weights", "darts_v2", saved(tmp_path, state), "-o", ours)
    assert done.code == 0, done.err
    assert "4 channels, 3 layers" in done.out
    facts = call("import-weights", "darts_v2", tmp_path / "original.pt", "-o", ours, "--json")
    assert json.loads(facts.out)["size"]["layers"] == 3
    compiled = call("compile", "darts_v2", "--weights", ours, "--no-compile")
    assert compiled.code == 0, compiled.err
    assert "4 channels, 3 layers" in compiled.out

"""What extensions bring: ops, formats, spaces, methods, parts, hooks; and how they are found."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import lowering
import nasir
from nasir import Extension, NasirError, Space, extension
from nasir.formats.table import FORMATS, named_format
from nasir.ops import NoAttrs, OpSpec
from nasir.space.load import spaces_directory
from nasir.space.skeletons import SKELETONS
from nasir.table import Table
from runners.experiment.architect import Regulariser, Stop
from runners.experiment.method import PARTS, read_method
from runners.experiment.mixture import Drawn, MixturePart, Rows
from runners.experiment.recipe import read_recipe
from runners.experiment.run import Hook
from runners.experiment.search import resume, search
from runners.folder.facts import read_facts
from runners.machine.machine import offered_extensions
from tests.command_line import call
from tests.refusals import fails_with
from tests.searches import tiny

EXAMPLE = spaces_directory() / "examples" / "fourier.py"
SPACE = EXAMPLE.with_suffix(".yaml")


def _same(attrs: NoAttrs, inputs: Sequence[nasir.Type]) -> nasir.Type:
    return inputs[0]


def _refused(message: str, *given: Extension | str | Path) -> NasirError:
    with pytest.raises(NasirError, match=message) as caught:
        nasir.use(*given)
    return caught.value


def test_an_op_from_outside_is_the_same_in_torch_onnx_and_python(tmp_path: Path) -> None:
    with nasir.use(EXAMPLE):
        space = nasir.load_space(SPACE)
        genotype = next(
            g for seed in range(99) if "fourier_mix" in str(g := nasir.sample(space, seed))
        )
        graph = nasir.network(genotype, channels=4, layers=1, resolution=16)
        module = lowering.to_torch(graph).eval()
        text = lowering.to_onnx(graph, module, tmp_path / "n.onnx")
        assert text is not None
        assert lowering.compare(graph, module, tmp_path / "n.onnx").difference < 1e-4
        lowering.to_python(graph, module, tmp_path / "n.py")
        x = torch.randn(2, 3, 16, 16)
        assert torch.equal(lowering.load_python(tmp_path / "n.py")(x), module(x))
        assert nasir.size(space) == 4**6
        supernet = lowering.to_torch(nasir.supernet(space, channels=4, layers=1))
        assert list(supernet.parameters())
    with pytest.raises(NasirError, match="unknown op 'fourier_mix'"):
        nasir.load_space(SPACE)


def test_a_run_names_its_extensions_and_does_not_resume_without_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with nasir.use(EXAMPLE):
        search(tiny(str(SPACE)), run)
        facts: Any = read_facts(run)
        assert facts["extensions"]["fourier"]["version"] == "1.0"
        resume(run, {})
    with fails_with("E726", "'fourier', which is not in use"):
        resume(run, {})
    with nasir.use(EXAMPLE) as found:
        newer = replace(found.used[0].extension, version="2.0")
    with nasir.use(newer), pytest.raises(NasirError, match="and is"):
        resume(run, {})


def test_use_is_an_option_before_and_behind_the_command(tmp_path: Path) -> None:
    for given in (["--use", EXAMPLE, "check", SPACE], ["check", SPACE, f"--use={EXAMPLE}"]):
        assert call(*given).code == 0
    assert call("check", SPACE).code == 2
    assert "extension fourier" in call("doctor", "--use", EXAMPLE).out
    assert call("spaces", "--use", tmp_path / "none.py").code == 2


def test_names_that_clash_are_an_error_and_nothing_is_used() -> None:
    relu = OpSpec("relu", "another", NoAttrs, _same)
    mine = OpSpec("mine", "own", NoAttrs, _same)
    assert _refused("'relu', which nasir has", Extension(name="a", ops=[mine, relu])).code == "E505"
    _refused("'darts', which nasir has", Extension(name="a", methods={"darts": {}}))
    with nasir.use(Extension(name="a", ops=[mine])):
        _refused("two extensions bring 'mine'", Extension(name="b", ops=[mine]))
        _refused("'a' is in use", Extension(name="a"))
    early = Extension(name="a", methods={"early": {}})
    with nasir.use(early), pytest.raises(NasirError, match="'early', which nasir has"):
        Table.of({"early": 0}, "method")  # a module that is imported later
    _refused("belongs to no op", Extension(name="a", torch={"mine": _same}))
    nasir.use(Extension(name="a", ops=[mine])).close()


MINE = OpSpec("mine", "own", NoAttrs, _same)


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ({"parts": {"regulariser": {}}}, "the kind 'regulariser'", "did you mean 'regularise'?"),
        ({"parts": {"samplers": {}}}, "the kind 'samplers'", "known: architect, ask, edges"),
        ({"parts": {"stop": {"never": Stop}}}, "parts['stop']", "objects by name"),
        ({"ops": ["gelu"]}, "'gelu' as ops[0]", "ops are OpSpec objects"),
        ({"ops": [MINE], "torch": {"mine": "F.gelu"}}, "torch['mine']", "torch are functions"),
        ({"macros": [MINE]}, "'<op mine>' as macros[0]", "Macro objects"),
        ({"formats": ["darts"]}, "formats[0]", "Format objects"),
        ({"skeletons": ["cifar"]}, "skeletons[0]", "Skeleton objects"),
        ({"methods": {"mine": 3}}, "'3' as methods['mine']", "paths of files"),
        ({"recipes": {"mine": None}}, "recipes['mine']", "paths of files"),
        ({"tasks": {"mine": "digits"}}, "tasks['mine']", "functions by name"),
        ({"hooks": {"mine": 3}}, "hooks['mine']", "functions by name"),
    ],
)
def test_rows_that_nothing_would_read_are_an_error(
    fields: dict[str, Any], message: str, hint: str
) -> None:
    with fails_with("E505") as caught:
        nasir.use(Extension(name="a", **fields))
    assert message in caught.value.message.replace('"', "'")
    assert hint in caught.value.hint
    assert not extension.in_use()


def test_the_kinds_of_parts_are_those_of_methods() -> None:
    assert tuple(PARTS) == extension.PARTS


def test_a_target_without_a_rule_is_named_when_it_is_asked_for(tmp_path: Path) -> None:
    mine = OpSpec("mine", "own", NoAttrs, _same)
    with nasir.use(Extension(name="a", ops=[mine])):
        builder = nasir.Builder(x=nasir.ImageType(2, 4, 4))
        graph = builder.graph(builder("mine", "x"))
        assert nasir.cost(graph).macs == 0
        with pytest.raises(NasirError, match="mine"):
            lowering.to_torch(graph)
    with nasir.use(Extension(name="a", ops=[mine], torch={"mine": lambda e, a, x: x})):
        module = lowering.to_torch(graph)
        for write, end in ((lowering.to_onnx, "onnx"), (lowering.to_python, "py")):
            with pytest.raises(NasirError, match="no rule for the op 'mine'"):
                write(graph, module, tmp_path / f"n.{end}")


def test_files_that_fail_to_load_are_named_with_their_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nasir\n\nraise ValueError('no')\n")
    assert _refused("ValueError: no", broken).where.line == 3
    empty = tmp_path / "empty.py"
    empty.write_text("import nasir\n")
    _refused("no variable that is a nasir.Extension", empty)
    assert _refused("no module", "nasir_nothing_of_that_name").code == "E201"
    assert _refused("does not exist", tmp_path / "absent.py").code == "E101"


def test_packages_offer_extensions_by_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "offer-1.dist-info").mkdir()
    (tmp_path / "offer-1.dist-info" / "METADATA").write_text("Name: offer\nVersion: 1\n")
    points = "[console_scripts]\nx = y:z\n\n[nasir]\noffer = fourier:extension\n"
    (tmp_path / "offer-1.dist-info" / "entry_points.txt").write_text(points)
    (tmp_path / "fourier.py").write_text(EXAMPLE.read_text())
    monkeypatch.syspath_prepend(tmp_path)
    assert offered_extensions() == ["offer"]
    assert "fourier" in call("check", SPACE).out
    with nasir.use("offer") as used:
        assert used.used[0].extension.name == "fourier"


class Flat(MixturePart):
    """Equal weights, plus a multiple of the logits that vanishes."""

    def mix(self, rows: Rows, learner: Any, moment: Any) -> Drawn:
        return Drawn({name: (row * 0.5).softmax(0) for name, row in rows.items()})


class Entropy(Regulariser):
    """scale · the mean entropy of the mixture's rows."""

    scale: float = 0.1

    def term(self, live: Rows, logits: Rows, moment: Any) -> torch.Tensor:
        rows = [row.softmax(0) for row in live.values()]
        return self.scale * -torch.stack([(row * row.log()).sum() for row in rows]).mean()


class Never(Stop):
    """Measures the epoch's number."""

    logged = "number"

    def due(self, epoch: int) -> bool:
        return True

    def measure(self, learner: Any, moment: Any) -> float:
        return float(moment.number)

    def stops(self, values: Sequence[float]) -> int | None:
        return None


class Counting(Hook):
    """Counts steps."""

    keys = ("steps",)

    def __init__(self, learner: Any) -> None:
        self.steps = 0

    def after(self, run: Any, epoch: Any, batch: Any, at: Any) -> None:
        self.steps += 1

    def end(self, run: Any, epoch: Any, row: dict[str, Any]) -> None:
        row["counted"] = self.steps


def test_parts_methods_and_hooks_from_outside_make_a_search(tmp_path: Path) -> None:
    own = Extension(
        name="ideas",
        methods={
            "mine": {
                "like": "darts",
                "mixture": "flat",
                "regularise": {"part": "entropy", "scale": 0.2},
                "stop": "never",
            }
        },
        recipes={"brief": {"like": "cifar10", "train": {"epochs": 1}}},
        parts={
            "mixture": {"flat": Flat()},
            "regularise": {"entropy": Entropy()},
            "stop": {"never": Never()},
        },
        hooks={"counting": Counting},
    )
    with nasir.use(own):
        assert read_method("mine", "cifar").regularise == Entropy(scale=0.2)
        assert read_recipe("brief").train.epochs == 1
        result = search(tiny(method="mine"), tmp_path / "run")
        assert result.row["counted"] == 4
        assert result.row["number"] == 1.0
        facts: Any = read_facts(tmp_path / "run")
        assert facts["method"]["mixture"] == "flat"
        assert facts["method"]["regularise_values"]["scale"] == 0.2
    with pytest.raises(NasirError, match="unknown method 'mine'"):
        read_method("mine", "cifar")


def test_formats_spaces_and_skeletons_from_outside_are_rows() -> None:
    space: Space = replace(nasir.load_space("darts"), name="mine")
    own = Extension(
        name="rows",
        formats=[replace(named_format("darts"), name="mine")],
        spaces=[space],
        skeletons=[replace(SKELETONS["cifar"], name="mine")],
    )
    with nasir.use(own):
        assert nasir.load_space("mine") is space
        assert "mine" in FORMATS
        graph = nasir.network(nasir.sample(space, 0), "mine", channels=4, layers=3)
        assert nasir.cost(graph).params > 0
    assert "mine" not in SKELETONS

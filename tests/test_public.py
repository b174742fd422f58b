"""Public functions take the same kinds of arguments; others are errors with the expected types."""

from collections.abc import Callable, Iterator
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest
import torch

import lowering
import nasir
import runners
from tests.supernets import inputs_of, mixture_of

GRAPH = nasir.network("darts_v2", channels=4, layers=3, resolution=8)
GENOTYPE = nasir.load_genotype("darts_v2")

WRONG: dict[str, Callable[[Any], Any]] = {
    "cost": nasir.cost,
    "run_passes": lambda given: nasir.run_passes(given, ("expand",)),
    "to_torch": lowering.to_torch,
    "to_inference": lambda given: lowering.to_inference(given, lowering.to_torch(GRAPH)),
}
LOOSE: Any = nasir.run_passes


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("given", ["darts_v2", GENOTYPE, None], ids=["name", "genotype", "none"])
def test_what_is_no_graph_is_an_error_that_says_how_to_make_one(name: str, given: Any) -> None:
    with pytest.raises(TypeError, match=r"must be a graph, not .* nasir\.network"):
        WRONG[name](given)


def test_passes_are_taken_by_name() -> None:
    by_name, records = nasir.run_passes(GRAPH, ("expand", nasir.PASSES["cse"]))
    assert [record.name for record in records] == ["expand", "cse"]
    assert by_name == nasir.run_passes(GRAPH, [nasir.PASSES[r.name] for r in records])[0]
    assert nasir.run_passes(GRAPH, "expand")[1][0].name == "expand"
    with pytest.raises(nasir.NasirError, match="unknown pass 'expend'") as caught:
        nasir.run_passes(GRAPH, ("expend",))
    assert caught.value.code == "E201"
    with pytest.raises(TypeError, match="a pass must be a Pass or a name, not int"):
        LOOSE(GRAPH, (3,))


def test_logits_are_taken_by_name_as_the_module_takes_them() -> None:
    graph = nasir.supernet("nasbench201", channels=2, layers=1, resolution=8)
    logits = mixture_of(graph)

    def loss(run: Any) -> torch.Tensor:
        return run(*inputs_of(graph), logits).square().mean()

    module = lowering.to_torch(graph).double()
    found = lowering.first_order(module, logits, loss)
    expected = lowering.first_order(module, [*logits.values()], loss)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


SPACE = nasir.load_space("nasbench201")
SMALL = nasir.unrank(SPACE, 1462)
NETWORK = nasir.network(SMALL, channels=4, layers=1, resolution=8)
SUPERNET = nasir.supernet(SPACE, channels=4, layers=1, resolution=8)
MODULE = lowering.to_torch(NETWORK)
WEIGHTS = {choice.name: [1.0] * len(choice.options) for choice in SUPERNET.choices}
RIGHT: dict[str, Any] = {
    **dict.fromkeys(("genotype", "first", "second", "decisions"), SMALL),
    **dict.fromkeys(("weights", "logits"), WEIGHTS),
    **dict.fromkeys(("train", "valid"), lambda run: torch.zeros(())),
    **{key: {} for key in ("kept", "narrow", "asked")},
    "graph": NETWORK,
    "space": SPACE,
    "module": MODULE,
    "text": nasir.print_graph(NETWORK),
    "source": "darts_v2",
    "seed": 0,
    "index": 0,
    "parts": 2,
    "passes": ("expand",),
    "step": lowering.Unrolled(0.1),
    "key": "key",
    "inputs": torch.zeros(1, 3, 8, 8),
    "request": None,
}
OTHER: tuple[Any, ...] = (
    *(None, "nowhere", Path("nowhere"), "long" * 500, "a\0b", 3, -1, True, float("nan"), object()),
    *(SMALL, GENOTYPE, NETWORK, SUPERNET, SPACE, MODULE, torch.zeros(2)),
    *({"a": 1}, {1: None}, (1, "a"), (), [None], b"nowhere"),
)
"""What a caller may take for an argument by mistake; some of it is right for some arguments."""
TAKES_LONG = {"count_classes", "compile_genotype"}
FUNCTIONS = {
    f"{package.__name__}.{name}": getattr(package, name)
    for package in (nasir, lowering, runners)
    for name in package.__all__
    if callable(found := getattr(package, name)) and not isinstance(found, type)
}


def _calls(name: str, function: Any) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Calls of a function with one argument that is another thing than wanted."""
    parameters = signature(function).parameters.values()
    many = [p.name for p in parameters if p.kind is Parameter.VAR_POSITIONAL]
    single = [p for p in parameters if p.name not in many]
    needed = {p.name: RIGHT.get(p.name) for p in single if p.default is p.empty}
    for parameter in single:
        if {name, f"{name}.{parameter.name}"} & TAKES_LONG:
            continue
        for value in OTHER:
            given = needed | {parameter.name: value}
            if many:
                yield parameter.name, (*given.values(), *(RIGHT[each] for each in many)), {}
            else:
                yield parameter.name, (), given


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_argument_is_an_error_in_a_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RIGHT, "path", tmp_path / "file")
    monkeypatch.setitem(RIGHT, "out", tmp_path / "run")
    function: Any = FUNCTIONS[name]
    wrong: list[str] = []
    for parameter, args, given in _calls(name.partition(".")[2], function):
        try:
            found = function(*args, **given)
            if isinstance(found, Iterator):
                next(found, None)
        except (nasir.NasirError, TypeError, ValueError) as error:
            if " " not in str(error):
                wrong.append(f"{parameter}: {error!r}")
        except BaseException as error:
            wrong.append(f"{parameter}: {error!r}")
    assert wrong == []


def test_spaces_and_genotypes_are_taken_by_name() -> None:
    assert nasir.size("nasbench201") == 15_625
    cell = nasir.dump_genotype(SMALL, "nasbench201")
    assert nasir.rank("nasbench201", cell) == 1462
    assert nasir.unrank("nasbench201", 1462) == SMALL
    assert next(nasir.enumerate_genotypes("nasbench201")) == nasir.unrank(SPACE, 0)
    assert nasir.mutate("nasbench201", cell, 0) == nasir.mutate(SPACE, SMALL, 0)
    assert nasir.crossover("nasbench201", cell, SMALL, 0) == SMALL
    assert nasir.canonical_id(cell) == nasir.canonical_id(SMALL)
    assert nasir.picks(SUPERNET, cell) == nasir.picks(SUPERNET, SMALL)
    assert nasir.resolve(SUPERNET, cell) == nasir.resolve(SUPERNET, SMALL)
    with pytest.raises(TypeError, match=r"`space` must be a space, text or a path, not int"):
        LOOSE_SIZE(3)


LOOSE_SIZE: Any = nasir.size

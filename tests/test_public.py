"""Public functions take what their neighbours take, or a sentence says what is wanted."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import lowering
import nasir
from nasir.ops import PRIMITIVES
from runners.quantise import AT_ONCE, _Pictures  # pyright: ignore[reportPrivateUsage]
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
    with pytest.raises(TypeError, match=r"a graph is wanted, not .* nasir\.network"):
        WRONG[name](given)


def test_passes_are_taken_by_name() -> None:
    by_name, records = nasir.run_passes(GRAPH, ("expand", nasir.PASSES["cse"]))
    assert [record.name for record in records] == ["expand", "cse"]
    assert by_name == nasir.run_passes(GRAPH, [nasir.PASSES[r.name] for r in records])[0]
    assert nasir.run_passes(GRAPH, "expand")[1][0].name == "expand"
    with pytest.raises(nasir.NasirError, match="unknown pass 'expend'") as caught:
        nasir.run_passes(GRAPH, ("expend",))
    assert caught.value.code == "E406"
    with pytest.raises(TypeError, match="a pass or its name is wanted, not int"):
        LOOSE(GRAPH, (3,))


def test_a_builder_takes_an_op_of_its_users_own() -> None:
    own = replace(PRIMITIVES["relu"], name="mine")
    build = nasir.Builder(x=nasir.ImageType(3, 4, 4))
    graph = build.graph(build(own, "x"))
    assert graph.nodes[0].op is own


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


def test_quantising_reads_few_pictures_at_a_time() -> None:
    class Batch:
        inputs = (torch.zeros(10, 3, 8, 8),)

    class Task:
        def plain(self) -> list[Batch]:
            return [Batch(), Batch()]

    task: Any = Task()
    pictures = _Pictures("image", task)
    sizes: list[int] = []
    while (given := pictures.get_next()) is not None:
        sizes.append(len(given["image"]))
    assert sum(sizes) == 20
    assert max(sizes) <= AT_ONCE

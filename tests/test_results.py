"""Published results: each has a source, and what can be computed is."""

import json
from typing import Any

import pytest

import nasir
from nasir.formats import entries
from nasir.space.load import PublishedResult, results
from tests.command_line import call

CIFAR: dict[str, dict[str, Any]] = {
    "cifar10": {},
    "cifar100": {"classes": 100},
    "imagenet": {"skeleton": "imagenet"},
}


def test_the_genotypes_that_results_name_are_shipped() -> None:
    names = {entry.name for entry in entries()}
    assert {result.genotype for result in results()} - {""} <= names


@pytest.mark.parametrize(
    "result",
    [r for r in results() if r.status == "computed" and r.genotype],
    ids=lambda r: f"{r.genotype}-{r.dataset}",
)
def test_a_computed_result_is_what_nasir_computes(result: PublishedResult) -> None:
    graph = nasir.network(result.genotype, **CIFAR[result.dataset])
    assert nasir.cost(graph).params == result.value


def test_published_sizes_are_those_of_the_genotypes() -> None:
    for result in results():
        if result.genotype and result.parameters_million:
            graph = nasir.network(result.genotype, **CIFAR[result.dataset])
            millions = nasir.cost(graph).params / 1e6
            assert abs(millions - result.parameters_million) <= 0.051, result


def test_the_command_lists_them_with_their_sources() -> None:
    shown = call("spaces", "--results")
    assert shown.code == 0
    assert "DrNAS:README.MD" in shown.out
    facts = json.loads(call("spaces", "--results", "--json").out)
    assert len(facts) == len(results())

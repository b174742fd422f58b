"""`nasir sample`, `nasir id` and the sizes that `nasir spaces` shows."""

import json
from random import Random

import pytest

import nasir
from nasir import load_genotype, load_space
from tests.command_line import call


def test_samples_are_printed_one_a_line_and_can_be_read_back() -> None:
    done = call("sample", "darts", "-n", "5", "--seed", "3")
    space, random = load_space("darts"), Random(3)
    assert done.code == 0
    assert [nasir.rank(space, load_genotype(line)) for line in done.out.splitlines()] == [
        nasir.rank(space, nasir.sample(space, random)) for _ in range(5)
    ]


def test_a_genotype_that_no_line_can_hold_is_written_in_full() -> None:
    text = "nasir: 1\nspace: mine\nskeleton: cifar\nlayout: {pattern: [normal]}\ncells:\n"
    text += "  normal: {inputs: 1, nodes: 1, ops: [skip_connect], output: [1]}\n"
    done = call("sample", text)
    assert load_genotype(done.out).cell("normal").inputs == 1


def test_samples_as_json_have_rank_id_and_genotype() -> None:
    (facts,) = json.loads(call("sample", "nasbench201", "--json").out)
    genotype = nasir.sample(load_space("nasbench201"), 0)
    assert facts["rank"] == nasir.rank(load_space("nasbench201"), genotype)
    assert facts["id"] == nasir.canonical_id(genotype)
    assert facts["genotype"]["space"] == "nasbench201"


@pytest.mark.parametrize("arguments", [("-n", "0"), ("--seed", "-1"), ("-n", "x")])
def test_a_wrong_number_is_a_wrong_call(arguments: tuple[str, str]) -> None:
    assert call("sample", "darts", *arguments).code == 2


def test_ids_are_printed_with_the_names() -> None:
    done = call("id", "darts_v2", "darts_v1")
    names = {line.split("  ")[1]: line.split("  ")[0] for line in done.out.splitlines()}
    assert names == {
        name: nasir.canonical_id(load_genotype(name)) for name in ("DARTS_V2", "DARTS_V1")
    }


def test_spaces_shows_the_sizes() -> None:
    assert "1.08e+18" in call("spaces").out
    done = call("spaces", "s1").out
    assert "2,123,366,400 genotypes" in done
    assert "46,080 cells" in done


def test_spaces_counts_different_architectures_when_asked() -> None:
    done = call("spaces", "nasbench201_connect", "--classes")
    assert "729 genotypes, 132 different architectures" in done.out
    facts = json.loads(call("spaces", "nasbench201_s2", "--classes", "--json").out)
    assert (facts["size"], facts["classes"]) == (64, 39)


def test_spaces_says_where_counting_is_too_much() -> None:
    done = call("spaces", "darts", "--classes", "--json")
    assert "too many" in done.err
    assert "classes" not in json.loads(done.out)
    assert call("spaces", "--classes").code == 2

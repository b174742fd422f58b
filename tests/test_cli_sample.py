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


def test_samples_of_nasbench201_are_its_strings() -> None:
    done = call("sample", "nasbench201", "--count", "2", "--seed", "1")
    assert [line.count("~") for line in done.out.splitlines()] == [6, 6]


def test_a_genotype_that_no_line_can_hold_is_written_in_full() -> None:
    text = "nasir: 1\nspace: mine\nskeleton: cifar\nlayout: {pattern: [normal]}\ncells:\n"
    text += "  normal: {inputs: 1, nodes: 1, ops: [skip_connect], output: [1]}\n"
    done = call("sample", text)
    assert load_genotype(done.out).cell("normal").inputs == 1


def test_samples_are_written_in_the_format_that_is_asked_for() -> None:
    done = call("sample", "darts_no_none", "--format", "nnabla")
    assert load_space("darts_no_none").contains(load_genotype(done.out)) == ()


def test_a_format_that_cannot_hold_the_sample_says_so() -> None:
    done = call("sample", "s4", "--format", "nnabla")
    assert (done.code, "E208" in done.err, done.out) == (2, True, "")


def test_samples_as_json_have_rank_id_and_genotype() -> None:
    (facts,) = json.loads(call("sample", "nasbench201", "--json").out)
    genotype = nasir.sample(load_space("nasbench201"), 0)
    assert facts["rank"] == nasir.rank(load_space("nasbench201"), genotype)
    assert facts["id"] == nasir.canonical_id(genotype)
    assert facts["genotype"]["space"] == "nasbench201"


@pytest.mark.parametrize("arguments", [("-n", "0"), ("--seed", "-1"), ("-n", "x")])
def test_a_wrong_number_is_a_wrong_call(arguments: tuple[str, str]) -> None:
    assert call("sample", "darts", *arguments).code == 2


def test_an_unknown_space_is_a_wrong_call() -> None:
    done = call("sample", "drats", "--json")
    assert done.code == 2
    assert json.loads(done.err)["error"]["code"] == "E201"


def test_ids_are_printed_with_the_names() -> None:
    done = call("id", "darts_v2", "darts_v1")
    names = {line.split("  ")[1]: line.split("  ")[0] for line in done.out.splitlines()}
    assert names == {
        name: nasir.canonical_id(load_genotype(name)) for name in ("DARTS_V2", "DARTS_V1")
    }


def test_ids_as_json() -> None:
    (facts,) = json.loads(call("id", "darts_v2", "--json").out)
    assert facts == {
        "genotype": "DARTS_V2",
        "id": nasir.canonical_id(load_genotype("darts_v2")),
    }


def test_equal_cells_read_from_standard_input_have_one_id() -> None:
    first = call("id", "-", stdin="|none~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|")
    second = call("id", "-", stdin="|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    assert first.out == second.out
    assert first.code == 0


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


def test_spaces_as_json_has_the_sizes() -> None:
    facts = json.loads(call("spaces", "darts", "--json").out)
    assert facts["size"] == 1_037_664_180**2
    assert facts["cells"]["reduce"]["size"] == 1_037_664_180

"""AutoDL's structure list of NAS-Bench-201 cells."""

import pytest

from nasir import NasirError, dump_genotype, load_genotype
from nasir.files import Source
from nasir.formats import detect

# spec: the fixed baseline of the benchmark's family, which leaves two edges out.
BASELINE = (
    "[(('nor_conv_3x3', 0),), (('nor_conv_3x3', 1),), (('skip_connect', 0), ('skip_connect', 2))]"
)


def test_a_structure_list_is_its_string_with_missing_edges_as_none() -> None:
    assert detect(Source.of(BASELINE)).name == "autodl"
    assert dump_genotype(load_genotype(BASELINE), "nasbench201") == (
        "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
    )


def test_brackets_quotes_and_white_space_do_not_matter() -> None:
    other = BASELINE.replace("(", "[").replace(")", " ]").replace("'", '"').replace(", ", ",\n ")
    assert load_genotype(other) == load_genotype(BASELINE)


@pytest.mark.parametrize(
    ("old", "new", "code", "column"),
    [
        ("'nor_conv_3x3', 1", "'nor_conv_3x4', 1", "E201", 28),
        ("(('nor_conv_3x3', 0),)", "(('nor_conv_3x3', 1),)", "E202", 20),
        ("('nor_conv_3x3', 1),)", "('nor_conv_3x3', 1), ('none', 1))", "E202", 57),
        ("('skip_connect', 2)", "5", "E109", 72),
        ("'skip_connect', 2", "'skip_connect', 2, 1", "E109", 72),
        ("(('nor_conv_3x3', 1),), ", "", "E202", 1),
        ("(('nor_conv_3x3', 1),)", "()", "E202", 26),
        ("('skip_connect', 2))]", "('skip_conn", "E104", 83),
    ],
)
def test_a_wrong_list_is_told_where(old: str, new: str, code: str, column: int) -> None:
    assert old in BASELINE
    with pytest.raises(NasirError) as caught:
        load_genotype(Source.of(BASELINE.replace(old, new)).text + "\n")
    assert (caught.value.code, caught.value.where.column) == (code, column)

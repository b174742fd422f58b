"""AutoDL's structure list of NAS-Bench-201 cells."""

from nasir import dump_genotype, load_genotype
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

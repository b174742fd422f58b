"""Every space through every format: what a format can hold comes back the same."""

import pytest

import nasir
from nasir import Genotype, NasirError, Space
from nasir.formats import FORMATS
from nasir.space import catalog

WRITTEN = tuple(row.name for row in FORMATS.values() if row.dump is not None)
_DARTS = {
    "nasir",
    "darts",
    "ptdarts",
    "aw_nas",
    "nnabla",
    "naslib",
    "bananas",
    "nni_darts",
    "nasbench301",
}
HELD = {
    "darts": _DARTS,
    "darts_rnn": {"nasir", "darts"},
    "nasbench201": {
        "nasir",
        "nasbench201",
        "autodl",
        "naslib",
        "nasbench201_by_node",
        "nasbench201_by_source",
        "nni_nasbench201",
    },
    "nasbench101": {"nasir", "nasbench101"},
    "nasbench1shot1_1": {"nasir", "nasbench101", "nasbench1shot1"},
    "nasbench1shot1_2": {"nasir", "nasbench101", "nasbench1shot1"},
    "nasbench1shot1_3": {"nasir", "nasbench101", "nasbench1shot1"},
    "nnabla": _DARTS,
    "ptdarts": _DARTS,
    "s1": _DARTS,
}
"""The formats that hold every genotype of a space; others may hold some."""


def dumped(genotype: Genotype, name: str) -> str | None:
    """The genotype in that format; None where it says that it cannot hold it."""
    try:
        return nasir.dump_genotype(genotype, name)
    except NasirError as error:
        own = (f"{name} cannot express ", "the genotype is not in NAS-Bench-101")
        if error.code != "E208" or not error.message.startswith(own):
            raise
        return None


@pytest.mark.parametrize("space", catalog().values(), ids=catalog())
def test_what_a_format_holds_comes_back(space: Space) -> None:
    held: set[str] = set(WRITTEN)
    for seed in range(25):
        genotype = nasir.sample(space, seed)
        for name in WRITTEN:
            text = dumped(genotype, name)
            if text is None:
                held.discard(name)
            else:
                back = nasir.load_genotype(text, space, format=name)
                assert back.cells == genotype.cells, (name, text)
    assert "nasir" in held
    assert held == HELD.get(space.name, held)

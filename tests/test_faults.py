"""Every fault of a file has its code and its place, and none escapes as another exception."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from nasir import NasirError, dump_genotype, load_genotype, load_space, parse_graph
from nasir.document import parse_document
from nasir.files import Source
from runners.experiment.experiment import read_experiment
from runners.experiment.method import read_method
from runners.experiment.recipe import read_recipe

DATA = Path(__file__).parent / "data" / "faults"
TEXTS: dict[str, Callable[[str], object]] = {
    "genotype": load_genotype,
    "naslib": partial(load_genotype, format="naslib"),
    "space": load_space,
    "graph": parse_graph,
    "document": lambda text: parse_document(Source.of(text)),
}
FILES: dict[str, Callable[[str], object]] = {
    "method": lambda path: read_method(path, "cifar"),
    "recipe": read_recipe,
    "experiment": read_experiment,
}

Row = tuple[str, str, str, int, int, str]
"""What reads the text, the text, the error's code, line and column, and a part of its message."""


def rows() -> dict[str, Row]:
    """The rows of the data file by the names of their tests."""
    found: dict[str, Row] = {}
    for group in YAML(typ="safe", pure=True).load(DATA / "faults.yaml"):
        file = group.get("file")
        base: str = (DATA / file).read_text() if file else group.get("base", "")
        for number, row in enumerate(group["faults"]):
            parts: list[Any] = [group["old"], *row] if "old" in group else row
            if base:
                old, new, *parts = parts
                assert old in base, row
                parts = [base.replace(old, new, 1), *parts]
            text, code, line, column, *message = parts
            name = f"{group['name']} {number}"
            found[name] = (group["reads"], text, code, line, column, "".join(message))
    return found


SPACE = (DATA / "space.yaml").read_text()
ROWS = rows()
DEEP = [
    *(f"  op{i}: {{steps: [{{op: op{i + 1}}}]}}\n" for i in range(8)),
    "  op8: {steps: [{op: relu}]}\n",
]
LARGE: list[Row] = [
    ("space", SPACE.replace("ops:\n", "ops:\n" + "".join(DEEP), 1), "E106", 11, 3, ""),
    ("document", '{"a": ' + "9" * 5000 + "}", "E107", 1, 7, ""),
    ("document", "[" * 100_000, "E106", 1, 65, ""),
    ("document", "a: 1\n" + "# x\n" * 2**17, "E106", 0, 0, ""),
    ("graph", f"nasir graph 1\nop gate {'[' * 5000}\n", "E104", 2, 4, ""),
    ("graph", f"nasir graph 1\nchoice c: input, keep {'9' * 5000} of a", "E104", 2, 23, ""),
    ("method", f"stages: [{', '.join(['{epochs: 1}'] * 101)}]", "E109", 1, 9, "must be "),
]


@pytest.mark.parametrize(
    ("reads", "text", "code", "line", "column", "message"),
    [*ROWS.values(), *LARGE],
    ids=[*ROWS, *(f"large {number}" for number in range(len(LARGE)))],
)
def test_a_fault_has_its_code_and_its_place(
    reads: str, text: str, code: str, line: int, column: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    if reads in FILES:
        path.write_text(text)
    with pytest.raises(NasirError) as caught:
        FILES[reads](str(path)) if reads in FILES else TEXTS[reads](text)
    error = caught.value
    assert (error.code, error.where.line, error.where.column) == (code, line, column), error
    assert message in f"{error.message} {error.hint}"
    assert error.where.text == text.split("\n")[line - 1].rstrip(" ")
    assert error.where.file == str(path) or reads in TEXTS


OWN = '{{"nasir": 1, "genotype": {{"space": "a", "cells": {{"a": {{"inputs": 2, {}}}}}}}}}'


@pytest.mark.parametrize(
    "text",
    [
        '{"nasir": 1, "a": [' + "0, " * 10**5 + "NaN]}",
        OWN.format('"nodes": [' + '[["none", 0]], ' * 20_000 + '[]], "output": [2]'),
        OWN.format('"nodes": [[["none", 0]]], "output": [' + "2, " * 10**5 + "2]"),
        "+".join(["|none~0|"] * 400_000),
        "|" + "none~0|" * 100_000,
        "nasir: 1\na: [" + "x, " * 20_000 + ".nan]",
        "Genotype(normal=[" + "('none', 0)," * 5000 + "], normal_concat=x)",
        "Genotype(" + "a." * 30_000 + "a)",
        "Genotype(" + "1+" * 30_000 + "1)",
    ],
    ids=range(9),
)
def test_a_large_wrong_file_is_refused(text: str) -> None:
    with pytest.raises(NasirError):
        load_genotype(text)  # quadratic work would take minutes


WHOLE = [
    *(("genotype", dump_genotype("darts_v2", name)) for name in ("nasir", "darts", "nnabla")),
    ("genotype", "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|"),
    ("genotype", (DATA / "genotype.yaml").read_text()),
    *(("space", (DATA / name).read_text()) for name in ("cells.yaml", "edges.yaml")),
]  # fmt: skip
"""What reads a text, and one without a fault."""


@pytest.mark.parametrize(("reads", "text"), WHOLE)
def test_a_file_truncated_anywhere_raises_only_nasir_errors(reads: str, text: str) -> None:
    accepted = 0
    for end in range(len(text)):
        with suppress(NasirError):
            TEXTS[reads](text[:end])
            accepted += 1
    assert accepted < len(text) / 4


@given(
    st.sampled_from(WHOLE),
    st.integers(0, 10**6),
    st.text("[]{}()|+~:,'\"\\\n\0é\ud8009-a", max_size=3),
)
def test_a_file_with_an_edit_anywhere_raises_only_nasir_errors(
    whole: tuple[str, str], position: int, put: str
) -> None:
    reads, text = whole
    start = position % len(text)
    with suppress(NasirError):
        TEXTS[reads](text[:start] + put + text[start + 1 :])

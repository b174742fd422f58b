"""Errors as users see them, and that a test raises each of them."""

import copy
import pickle
import re
from pathlib import Path

import pytest

from nasir.errors import CODES, NasirError, Where, nearest, quoted, unknown_op

TESTS = Path(__file__).parent


@pytest.mark.parametrize("code", CODES)
def test_each_code_is_asserted_by_some_test(code: str) -> None:
    """A text search, which cannot tell what a test does with the code: reviewers can."""
    here = Path(__file__).resolve()
    files = [path for path in TESTS.rglob("test_*.py") if path.resolve() != here]
    assert any(code in path.read_text(encoding="utf-8") for path in files)


def test_each_code_that_the_packages_raise_is_declared() -> None:
    found: set[str] = set()
    for package in ("nasir", "lowering", "runners"):
        for path in (TESTS.parent / package).rglob("*.py"):
            found |= set(re.findall(r'"(E\d{3})"', path.read_text(encoding="utf-8")))
    assert found == set(CODES)


def test_an_undeclared_code_is_a_mistake_of_the_program() -> None:
    with pytest.raises(AssertionError, match="E999"):
        NasirError("E999", "nothing")


def test_an_error_shows_place_code_message_source_line_caret_and_hint() -> None:
    where = Where("mine.yaml", 14, 9, "      - sep_conv_3x4")
    error = unknown_op("sep_conv_3x4", ["sep_conv_3x3", "none"], where)
    assert str(error) == (
        "mine.yaml:14:9: E201 unknown op 'sep_conv_3x4'\n"
        "  14 |       - sep_conv_3x4\n"
        "               ^\n"
        "  hint: did you mean 'sep_conv_3x3'?"
    )


def test_an_error_without_a_column_shows_no_caret() -> None:
    error = NasirError("E104", "cut off", Where("a.json", 3, text="{"))
    assert str(error) == "a.json:3: E104 cut off\n  3 | {"


@pytest.mark.parametrize("column", [1, 40, 96, 97, 250, 499, 500])
def test_a_long_line_is_shown_around_its_column(column: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(500))
    _, source, caret = str(NasirError("E104", "here", Where("f", 1, column, text))).splitlines()
    assert len(source) == len("  1 | ") + 96
    assert source[caret.index("^")] == text[column - 1]


def test_tabs_and_control_characters_leave_the_caret_in_its_place() -> None:
    error = NasirError("E104", "here", Where("f", 1, 4, "\ta\x1bX"))
    assert str(error).splitlines()[1:] == ["  1 |  a X", "         ^"]


def test_an_error_survives_a_pickle_and_a_copy() -> None:
    error = NasirError("E104", "m", Where("f", 1, 2, "text"), "h")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(other) == str(error)
        assert other.facts() == error.facts()


def test_the_nearest_name_is_found_in_any_case() -> None:
    assert nearest("DARTS_v3", ["darts_V2", "none"]) == "did you mean 'darts_V2'?"


def test_a_long_list_of_names_is_cut() -> None:
    hint = nearest("?", [f"name{i:02d}" for i in range(30)])
    assert hint.endswith("name19, …")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", "'a'"),
        ("a\nb", r"'a\nb'"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("é", "'é'"),
        ("\ud800", r"'\ud800'"),
        (3.5, "'3.5'"),
        ("x" * 61, f"'{'x' * 59}…'"),
    ],
)
def test_a_value_is_quoted_on_one_line(value: object, shown: str) -> None:
    assert quoted(value) == shown

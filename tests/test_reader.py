"""Reading files: every fault has a code and a place, and none escapes as another exception."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasir import NasirError
from nasir.document import Document, Json, parse_document
from nasir.files import Source, read_source


def refusal(path: Path) -> NasirError:
    with pytest.raises(NasirError) as caught:
        _ = read_source(path).text
    return caught.value


def read(text: str, name: str = "<text>") -> Document:
    return parse_document(Source.of(text, name))


def test_a_missing_file_is_named_with_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "genotype.json").write_text("{}")
    error = refusal(tmp_path / "genotpye.json")
    assert error.code == "E101"
    assert "genotype.json" in error.hint


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refusal(tmp_path / "loop").code == "E101"


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [(b"ab\n\xff\xfe", 2, 1), (b"a\0b", 1, 2), (b"\x89PNG\r\n", 1, 1)],
)
def test_a_binary_file_is_refused_at_its_first_odd_byte(
    tmp_path: Path, content: bytes, line: int, column: int
) -> None:
    (tmp_path / "file").write_bytes(content)
    error = refusal(tmp_path / "file")
    assert (error.code, error.where.line, error.where.column) == ("E103", line, column)


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b" " * (4 * 2**20 + 1))
    assert refusal(tmp_path / "file").code == "E106"


def test_yaml_keeps_the_places_of_keys_and_values() -> None:
    document = read("# top\na:\n  - 1\n  - b: x # comment\n")
    assert str(document.place(("a", 1, "b"))) == "<text>:4:8"
    assert str(document.key_place(("a", 1, "b"))) == "<text>:4:5"


def test_yaml_means_what_version_1_2_says() -> None:
    document = read("a: [yes, on, true, ~, 007, 1.5, '1', 2001-01-01, 1_0]\n2: x")
    assert document.data == {
        "a": ["yes", "on", True, None, 7, 1.5, "1", "2001-01-01", "1_0"],
        "2": "x",
    }


JSON_VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=4), st.sampled_from([None, 1, "\t"]))
def test_json_reads_as_the_standard_library_reads_it(
    value: dict[str, Json], indent: int | str | None
) -> None:
    import json

    document = read(json.dumps(value, indent=indent))
    assert document.data == value
    assert set(document.places.values) == set(paths((), value))


def paths(path: tuple[str | int, ...], value: Json) -> list[tuple[str | int, ...]]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value if isinstance(value, list) else [])
    )
    return [path, *(found for key, child in inner for found in paths((*path, key), child))]


@given(st.text(alphabet='{}[]:,"\\ \n\t\rab01-.eE&*!|>#?%@`~\x00\x07\ud800é', max_size=30))
def test_no_text_raises_anything_but_nasir_errors(text: str) -> None:
    for name in ("<text>", "x.json", "x.yaml"):
        with suppress(NasirError):
            parse_document(Source.of(text, name)).place(("a", 0))

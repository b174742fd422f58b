"""Folders of texts as numbers of words."""

from pathlib import Path

import pytest

from nasir import NasirError
from runners.cli.options import check_data
from runners.data.name import DataName, parse_data, parse_text
from runners.data.text import Corpus, load_text

SHARED = Path(__file__).parents[2] / "shared" / "data" / "wikitext-2"
HERE = Path(__file__).parents[1]


def folder(tmp_path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_bytes(text.encode())
    return tmp_path


def words(corpus: Corpus, role: str) -> str:
    return " ".join(corpus.vocabulary[number] for number in getattr(corpus, role).tolist())


def code_of(text: str) -> NasirError:
    with pytest.raises(NasirError) as caught:
        load_text(text)
    return caught.value


def test_words_are_numbered_as_they_appear_in_train_then_valid_then_test(tmp_path: Path) -> None:
    folder(tmp_path, test="e c\n", valid="d a\n", train="b a\n\nb c\n")
    corpus = load_text(f"text:{tmp_path}")
    assert corpus.vocabulary == ("b", "a", "<eos>", "c", "d", "e")
    assert corpus.train.tolist() == [0, 1, 2, 2, 0, 3, 2]
    assert words(corpus, "valid") == "d a <eos>"
    assert words(corpus, "test") == "e c <eos>"


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("ptb", "ptb.{}.txt"),
        ("ptb", "{}.txt"),
        ("wikitext-2", "wiki.{}.tokens"),
        ("text", "{}"),
        ("text", "wiki.{}.raw"),
    ],
)
def test_the_official_names_of_files_are_known(tmp_path: Path, kind: str, form: str) -> None:
    for role in ("train", "valid", "test"):
        (tmp_path / form.format(role)).write_text(f"{role}\n")
    corpus = load_text(f"{kind}:{tmp_path}")
    assert (corpus.name, corpus.vocabulary) == (kind, ("train", "<eos>", "valid", "test"))


def test_an_option_says_which_file_serves_as_what(tmp_path: Path) -> None:
    folder(tmp_path, valid="a\n", test="b\n")
    corpus = load_text(f"text:{tmp_path},train=valid.txt,valid=test.txt")
    assert (words(corpus, "train"), words(corpus, "valid")) == ("a <eos>", "b <eos>")
    assert corpus.test is None


def test_a_number_of_tokens_bounds_each_text(tmp_path: Path) -> None:
    folder(tmp_path, train="a b c d\ne f\n", valid="g\nh\n")
    corpus = load_text(f"text:{tmp_path},tokens=3")
    assert corpus.vocabulary == ("a", "b", "c", "g", "<eos>", "h")
    assert (words(corpus, "train"), words(corpus, "valid")) == ("a b c", "g <eos> h")
    assert words(load_text(f"text:{tmp_path},tokens=3", limit=2), "train") == "a b"


def test_a_small_vocabulary_keeps_the_words_most_frequent_in_training(tmp_path: Path) -> None:
    folder(tmp_path, train="rare b a a b c b\n", valid="b rare v v v v v\n")
    corpus = load_text(f"text:{tmp_path},vocabulary=4")
    assert corpus.vocabulary == ("b", "a", "<eos>", "<unk>")
    assert words(corpus, "train") == "<unk> b a a b <unk> b <eos>"
    assert words(corpus, "valid") == "b <unk> <unk> <unk> <unk> <unk> <unk> <eos>"


def test_a_fingerprint_follows_words_order_and_roles(tmp_path: Path) -> None:
    texts = [("a b\n", "c\n"), ("a c\n", "c\n"), ("b a\n", "c\n"), ("c\n", "a b\n")]
    prints: set[str] = set()
    for train, valid in texts:
        folder(tmp_path, train=train, valid=valid)
        prints.add(load_text(f"text:{tmp_path}").fingerprint)
    folder(tmp_path, train="a b\n", valid="c\n", test="c\n")
    prints.add(load_text(f"text:{tmp_path}").fingerprint)
    assert len(prints) == 5


def test_a_name_is_written_as_it_is_read() -> None:
    text = "text:a,b/c,train=x.txt,valid=y.txt,vocabulary=2000,tokens=50"
    name = parse_text(text)
    options = {"train": "x.txt", "valid": "y.txt", "vocabulary": 2000, "tokens": 50}
    assert name == DataName("text", Path("a,b/c"), options=options)
    assert name.text == text
    assert parse_data(name.text) == name
    resolved = name.resolved().path
    assert resolved is not None
    assert resolved.is_absolute()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("wikitext:x", "'wikitext:x'", "'wikitext-2:PATH'"),
        ("ptb", "needs a path", "ptb:PATH"),
        ("ptb:,tokens=5", "needs a path", "ptb:PATH"),
        ("text:x,vocab=5", "'vocab'", "'vocabulary'"),
        ("text:x,tokens=5,tokens=6", "'tokens' occurs twice", ""),
        ("text:x,train=", "'train' has no value", ""),
        ("text:x,tokens=0", "tokens=0", "tokens=2000"),
        ("text:x,vocabulary=2", "vocabulary=2", "vocabulary=2000"),
        ("text:x,vocabulary=1e3", "vocabulary=1e3", "vocabulary=2000"),
        ("text:no/such/folder", "'no/such/folder' does not exist", "text:PATH"),
        ("text:pyproject.toml", "'pyproject.toml' is a file", "text:PATH"),
    ],
)
def test_a_name_that_names_nothing_is_e711(
    text: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)
    error = code_of(text)
    assert error.code == "E701"
    assert message in error.message
    assert hint in error.hint


def test_a_folder_without_a_training_text_says_how_to_name_one(tmp_path: Path) -> None:
    folder(tmp_path, valid="a\n", test="b\n")
    error = code_of(f"wikitext-2:{tmp_path}")
    assert error.code == "E701"
    assert "wiki.train.tokens" in error.message
    assert f"wikitext-2:{tmp_path},train=FILE,valid=FILE" in error.hint
    assert "test.txt, valid.txt" in error.hint


def test_a_file_does_not_silently_serve_twice(tmp_path: Path) -> None:
    folder(tmp_path, valid="a\n", test="b\n")
    for train in ("valid.txt", f"../{tmp_path.name}/valid.txt"):
        error = code_of(f"text:{tmp_path},train={train}")
        assert (error.code, error.message) == (
            "E701",
            "no valid text is left: valid.txt serves as 'train'",
        )
    error = code_of(f"text:{tmp_path},train=valid.txt,valid=valid.txt")
    assert (error.code, "'train' and as 'valid'" in error.message) == ("E701", True)


def test_a_file_that_is_named_and_missing_is_e711(tmp_path: Path) -> None:
    folder(tmp_path, train="a\n", valid="b\n")
    error = code_of(f"text:{tmp_path},test=tst.txt")
    assert (error.code, error.where.file) == ("E701", str(tmp_path / "tst.txt"))
    assert "train.txt, valid.txt" in error.hint


def test_a_text_without_words_is_e712(tmp_path: Path) -> None:
    for empty in ("", "\n \n"):
        folder(tmp_path, train="a\n", valid=empty)
        error = code_of(f"text:{tmp_path}")
        assert (error.code, error.where.file) == ("E702", str(tmp_path / "valid.txt"))


def test_a_text_that_is_not_utf_8_is_e713_at_its_place(tmp_path: Path) -> None:
    folder(tmp_path, train="a\n", valid="b\n")
    (tmp_path / "train.txt").write_bytes("a\nü ".encode() + "ü\n".encode("latin-1"))
    error = code_of(f"text:{tmp_path}")
    assert (error.code, error.where.line, error.where.column) == ("E103", 2, 3)
    assert "0xfc" in error.message


@pytest.mark.skipif(not SHARED.exists(), reason="WikiText-2 is not there")
def test_wikitext_2_has_its_words_counted() -> None:
    corpus = load_text(f"wikitext-2:{SHARED},train=valid.txt,valid=test.txt")
    assert (len(corpus.train), len(corpus.valid)) == (213_886 + 3_760, 241_211 + 4_358)
    assert len(set(corpus.vocabulary)) == len(corpus.vocabulary) == int(corpus.valid.max()) + 1


@pytest.mark.parametrize("options", ["", ",train=a.txt", ",vocabulary=20,tokens=10"])
def test_options_are_no_part_of_the_folder_that_must_be_there(options: str, tmp_path: Path) -> None:
    folder = tmp_path / "a,b"
    with pytest.raises(NasirError):
        check_data(f"text:{folder}{options}")
    folder.mkdir()
    check_data(f"text:{folder}{options}")

"""Data sets: the room's one door."""

from runners.data.text import Corpus, load_text
from runners.data.text_name import TextName, is_text, parse_text

__all__ = ["Corpus", "TextName", "is_text", "load_text", "parse_text"]

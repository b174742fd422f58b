"""Data arguments that mean the same whatever folder a program is in."""

from runners.data.name import parse_data
from runners.data.text_name import is_text, parse_text


def absolute(text: str) -> str:
    """The text of a data argument with an absolute path. Raises E701 and E711."""
    return (parse_text(text) if is_text(text) else parse_data(text)).resolved().text

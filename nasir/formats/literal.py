"""Python's lists, tuples, numbers and quoted words, read as JSON: every part keeps its place."""

import re

from nasir.document import Document
from nasir.errors import NasirError
from nasir.json_text import json_places, parse_json
from nasir.source import Source

_BRACKETS = str.maketrans("()'", '[]"')
_LAST_COMMA = re.compile(r",(?=\s*[\]}])")


def parse_literal(source: Source) -> Document:
    """The data of a text in JSON's or Python's notation. Raises what `parse_json` raises.

    The two differ in brackets, quotes and a comma at the end, each exchanged for as many
    characters.
    """
    text = _LAST_COMMA.sub(" ", source.text.translate(_BRACKETS))
    json = Source.of(text, source.name)
    try:
        return Document(source, parse_json(json), json_places(json))
    except NasirError as error:
        where = source.line(error.where.line, error.where.column)
        raise NasirError(error.code, error.message, where, error.hint) from None

"""One line of graph text, read from left to right."""

import re

from nasir.errors import NasirError, Where, quoted
from nasir.text import NAME


class TextLine:
    """A line and how far it has been read; errors name the column."""

    def __init__(self, file: str, number: int, text: str) -> None:
        self.file = file
        self.number = number
        self.text = text
        self.at = len(text) - len(text.lstrip(" "))

    def where(self) -> Where:
        return Where(self.file, self.number, self.at + 1, self.text)

    def error(self, wanted: str) -> NasirError:
        found = quoted(self.text[self.at :].split(" ")[0]) if self.text[self.at :] else "the end"
        return NasirError("E405", f"expected {wanted}, found {found}", self.where())

    def skip(self) -> None:
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1

    def take(self, token: str) -> bool:
        """Whether the line goes on with that token, which is then consumed."""
        self.skip()
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.error(f"'{token}'")

    def match(self, pattern: re.Pattern[str], wanted: str) -> str:
        self.skip()
        found = pattern.match(self.text, self.at)
        if not found:
            raise self.error(wanted)
        self.at = found.end()
        return found.group()

    def name(self) -> str:
        return self.match(NAME, "a name")

    def end(self) -> None:
        self.skip()
        if self.at < len(self.text):
            raise self.error("the end of the line")

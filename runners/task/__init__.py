"""What a network learns: the room's one door."""

from runners.task.language import (
    PTB_DROPOUT,
    WIKITEXT2_DROPOUT,
    Dropout,
    Language,
    LanguageOptions,
    search_language,
)
from runners.task.task import Batch, Outcome, Task
from runners.task.windows import FixedWindows, VariedWindows, Windows

__all__ = [
    "PTB_DROPOUT",
    "WIKITEXT2_DROPOUT",
    "Batch",
    "Dropout",
    "FixedWindows",
    "Language",
    "LanguageOptions",
    "Outcome",
    "Task",
    "VariedWindows",
    "Windows",
    "search_language",
]

"""Texts of data on a terminal: tokens, titles and paths are printed as they are, and cannot control the terminal."""

from __future__ import annotations

import re
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.text import Text

# Control characters but tab and line feed, and those that change the direction of writing.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Text with control characters written as escapes, valid in JSON too.

    Example:
        >>> printable("a\x1b[31mb")
        'a\\u001b[31mb'
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


class Console(RichConsole):
    """A console of rich that escapes control characters and leaves ``:words:`` and numbers as they are.

    Args:
        options: as of rich's console.
    """

    def __init__(self, **options: Any):
        super().__init__(**{"highlight": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed, those in tables included, passes here."""
        return super().render_str(printable(text), **options)


class PrintableFile:
    """A text file, such as a terminal, to which control characters are written as escapes.

    Args:
        file: where to write.
    """

    def __init__(self, file: TextIO):
        self.file = file

    def write(self, text: str) -> int:
        """Write text; returns the number of characters given."""
        self.file.write(printable(text))
        return len(text)

    def flush(self) -> None:
        """Pass on what is buffered."""
        self.file.flush()

    def isatty(self) -> bool:
        """Whether the file is a terminal."""
        return self.file.isatty()

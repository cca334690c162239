"""Exceptions for mistakes of the user."""

from __future__ import annotations

_LONGEST_LINE = 2000  # characters of a message
_END = 400  # of a longer one that are kept, since the remedy comes last


class UserError(ValueError):
    """An input of the user is wrong: a file, a value, a setting.

    The message says what was found, where (file and line, if there is one) and how to correct it. The command line
    prints it without a traceback. What a damaged file holds, such as a header of a megabyte, is cut from its middle.

    Example:
        >>> len(str(UserError("book.inter has only " + "x" * 10_000 + ": rename it")))
        2000
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(_shorten, message.split("\n"))))


class DiskError(UserError):
    """A file cannot be written: the disk is full or read-only, or permission is missing.

    What was to be written is not at fault, so the same command succeeds once there is room.
    """


class NotInstalledError(UserError):
    """A known model is not installed."""


def _shorten(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - _END - 1]}…{line[-_END:]}"

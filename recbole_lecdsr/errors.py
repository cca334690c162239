"""Exceptions for mistakes of the user."""

from __future__ import annotations


class UserError(ValueError):
    """An input of the user is wrong: a file, a value, a setting.

    The message says what was found, where (file and line, if there is one) and how to correct it. The command line
    prints it without a traceback.
    """


class NotInstalledError(UserError):
    """A known model is not installed."""

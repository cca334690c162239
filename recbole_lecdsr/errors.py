"""Exceptions for mistakes of the user."""

from __future__ import annotations


class UserError(ValueError):
    """An input of the user is wrong: a file, a value, a setting.

    The message says what was found, where (file and line, if there is one) and how to correct it. The command line
    prints it without a traceback.
    """


class DiskError(UserError):
    """A file cannot be written: the disk is full or read-only, or permission is missing.

    What was to be written is not at fault, so the same command succeeds once there is room.
    """


class NotInstalledError(UserError):
    """A known model is not installed."""

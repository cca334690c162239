"""The exceptions that a user's mistake raises."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user gave is wrong: a file, a value, a setting.

    The message names what was seen, where (file and line where there is one) and the remedy. The command
    line prints it without a traceback.
    """


class NotInstalledError(UserError):
    """A model that the plugin knows by name and that nothing on this machine brings along."""

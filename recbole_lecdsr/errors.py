"""The one exception that a user's mistake raises."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user gave is wrong: a file, a value, a setting.

    The message names what was seen, where (file and line where there is one) and the remedy. The command
    line prints it without a traceback.
    """

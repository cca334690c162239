"""Options that several commands share."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterator, Sequence

from recbole_lecdsr.cli.commands import COMMANDS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import nearest

_NAME = re.compile(r"--[^\W\d][\w.]*")


def run_options(arguments: Sequence[str], parser: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    """Parse the options of a run.

    Args:
        arguments: of the command line.
        parser: of a command with options of its own, which are parsed as well.

    Returns:
        ``model``, ``dataset``, ``config_files`` and ``overrides``, the arguments of the form --NAME=VALUE.

    Raises:
        UserError: arguments of another form; the message lists all of them.
    """
    parser = parser or argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model", help="model name (default LeCDSR)")
    parser.add_argument("--dataset", help="name of the pair of domains (default movielens)")
    parser.add_argument("--config_files", nargs="+", default=[], help="property files; later ones win")
    # argparse would take --NAME=VALUE with a blank in the value for a property file.
    is_override = [_is_override(text, parser) for text in arguments]
    options, others = parser.parse_known_args(
        [text for text, override in zip(arguments, is_override, strict=True) if not override]
    )
    options.config_files = [name for group in options.config_files for name in _split_files(group)]
    options.overrides = [text for text, override in zip(arguments, is_override, strict=True) if override]
    if others:
        raise UserError(_misspelt_command(others[0]) or "\n".join(explain_strays(others)))
    return options


def _misspelt_command(text: str) -> str | None:
    similar = "" if text.startswith("-") else nearest(text, COMMANDS, "")
    return f"{text!r} is not a command: {similar}" if similar else None


def _is_override(text: str, parser: argparse.ArgumentParser) -> bool:
    name, equals, _ = text.partition("=")
    return name.startswith("--") and bool(equals) and name not in parser._option_string_actions


def _split_files(text: str) -> list[str]:
    """Property files in one argument, as RecBole separates them: by commas or blanks, unless that is a file's name."""
    if os.path.exists(text):
        return [text]
    parts = [part.strip() for part in text.split(",")]
    return [name for part in parts for name in ([part] if os.path.exists(part) else _split_at_blanks(part))]


def _split_at_blanks(text: str) -> list[str]:
    """Files separated by blanks; a text of which no part is a file is one name, with blanks in it."""
    names = text.split()
    return names if any(map(os.path.exists, names)) else [text] if names else []


def explain_strays(strays: Sequence[str], program: str = "run_lecdsr.py") -> Iterator[str]:
    """An error for each argument that is no option: how to write it, where that can be guessed.

    Args:
        strays: arguments that are not of the form --NAME=VALUE, in their order.
        program: whose ``--help`` has the options.

    Example:
        >>> list(explain_strays(["--seed", "3"]))
        ['--seed 3 must be written with an equals sign: --seed=3']
    """
    is_value = False
    for text, following in zip(strays, [*strays[1:], None], strict=True):
        if is_value:
            is_value = False
        elif _NAME.fullmatch(text) and following is not None and not following.startswith("--"):
            yield f"{text} {following} must be written with an equals sign: {shlex.join([f'{text}={following}'])}"
            is_value = True
        else:
            yield f"{text!r} is not an option of the form --NAME=VALUE, see {program} --help"

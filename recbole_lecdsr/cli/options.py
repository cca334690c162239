"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from recbole_lecdsr.errors import UserError


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
    options, overrides = parser.parse_known_args(arguments)
    options.config_files = [name for group in options.config_files for name in group.replace(",", " ").split()]
    options.overrides = overrides
    malformed = [text for text in overrides if not (text.startswith("--") and "=" in text)]
    if malformed:
        raise UserError(
            "\n".join(
                f"{text!r} is neither a command nor an option of the form --NAME=VALUE, see --help"
                for text in malformed
            )
        )
    return options

"""`run_lecdsr.py recommend`: the top items of each domain for users, as a table, JSON, CSV or Parquet."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recbole_lecdsr.cli.options import explain_strays
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.terminal import PrintableFile

FORMATS = ("table", "json", "csv", "parquet")
# Suffix of an output file -> its format.
SUFFIXES = {"": "table", ".txt": "table", ".json": "json", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
DESCRIPTION = """\
Recommend the top items of each domain for the next interaction of users, with their latest interactions and profiles.

Users of the data set are given by their tokens; a history of items stands for a user whom the model has never seen.
Items of the user's history are excluded unless --include_history is given. --NAME=VALUE changes a parameter of the
run, such as --data_path=….

In CSV and Parquet each row has a kind: `recommended`, `history` (rank 1 is the oldest interaction that the model
reads) or `profile` (its text is in the column title). In CSV, a text that a spreadsheet would run as a formula
(=1+1) has an apostrophe before it.
"""


def main(arguments: Sequence[str]) -> int:
    """Recommend items to users.

    Args:
        arguments: without the command's name; ``--help`` explains them.

    Returns:
        0.

    Raises:
        UserError: an unknown run, user or item, or an output that cannot be written.
    """
    options = _options(arguments)
    from recbole_lecdsr.recommend.recommender import Recommender
    from recbole_lecdsr.recommend.writers import WRITERS

    recommender = Recommender.load(options.run, {**options.overrides, "show_progress": False})
    vocabulary = recommender.vocabulary
    if options.history is None:
        batches = recommender.for_users(
            vocabulary.user_ids(None if options.all else options.user),
            options.k,
            include_history=options.include_history,
            show_progress=bool(options.output) or not sys.stdout.isatty(),
        )
    else:
        history = parse_history(options.history, vocabulary.domain_names)
        batches = recommender.for_histories([history], options.k, include_history=options.include_history)
    try:
        with _open_output(options.output, options.format) as file:
            WRITERS[options.format](file, vocabulary, batches)
            file.flush()
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if options.output:
        print(f"written to {options.output}", file=sys.stderr)
    return 0


# ---------------------------------------------------------------------- arguments


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    from recbole_lecdsr.property_files import split_command_line

    parser = argparse.ArgumentParser(
        prog="run_lecdsr.py recommend", description=DESCRIPTION, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s --run DIR {--user TOKEN … | --users FILE | --all | --history ITEMS | --history_file FILE}\n"
        "       [-k K] [--include_history] [--format {table,json,csv,parquet}] [--output FILE] [--NAME=VALUE …]",
    )  # fmt: skip
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="such as runs/movielens/LeCDSR-2022")
    parser.add_argument("--user", action="append", default=[], metavar="TOKEN", help="a user; may be repeated")
    parser.add_argument("--users", type=Path, metavar="FILE", help="users, one token per line")
    parser.add_argument("--all", action="store_true", help="every user of the data set")
    parser.add_argument("--history", metavar="ITEMS", help="DOMAIN:ITEM,DOMAIN:ITEM,…, oldest first")
    parser.add_argument("--history_file", type=Path, metavar="FILE", help="the same, one DOMAIN:ITEM per line")
    parser.add_argument("-k", type=int, default=10, help="number of items of each domain (default 10)")
    parser.add_argument("--include_history", action="store_true", help="also recommend items of the user's history")
    parser.add_argument("--format", choices=FORMATS, help="default: by the name of the output file, else table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    options, others = parser.parse_known_args(arguments)
    options.overrides, strays = split_command_line(others)
    if strays:
        raise UserError("\n".join(explain_strays(strays, "run_lecdsr.py recommend")))
    _check_users(options)
    if options.k < 1:
        raise UserError(f"-k must be at least 1, not {options.k}")
    if options.format is None:
        suffix = options.output.suffix.lower() if options.output else ""
        if suffix not in SUFFIXES:
            raise UserError(
                f"{options.output} has no known format: end its name with one of {', '.join(filter(None, SUFFIXES))}, "
                "or choose with --format table, json, csv or parquet"
            )
        options.format = SUFFIXES[suffix]
    if options.format == "parquet" and not options.output:
        raise UserError("Parquet cannot be printed: name a file with --output FILE")
    if options.users:
        options.user = [*options.user, *_read_lines(options.users)]
        if not options.user:
            raise UserError(f"{options.users} names no user: put one token on each line")
    if options.history_file:
        options.history = _read_lines(options.history_file)
    options.user = list(dict.fromkeys(options.user))
    return options


def _check_users(options: argparse.Namespace) -> None:
    """Refuse arguments that name no users, or users in more than one way; --user and --users go together."""
    named = bool(options.user or options.users)
    ways = [named, options.all, options.history is not None, bool(options.history_file)]
    if sum(ways) != 1:
        raise UserError("say for whom: give one of --user or --users, --all, --history, --history_file")


def _read_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # a token may contain other line separators
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give another file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text ({error}): give another file") from None
    return [line for line in lines if line.strip()]


def parse_history(history: str | Sequence[str], domain_names: Sequence[str]) -> list[tuple[str, str]]:
    """Interactions of the form DOMAIN:ITEM, as a list or in one text separated by commas.

    An item may contain commas, so that a text is split only where a domain follows.

    Raises:
        UserError: an interaction of another form.

    >>> parse_history("films:Heat, The,books:Emma", ["books", "films"])
    [('films', 'Heat, The'), ('books', 'Emma')]
    """
    if isinstance(history, str):
        domain = "|".join(re.escape(name) for name in (*domain_names, *DOMAINS))
        history = [part for part in re.split(rf",\s*(?=(?:{domain}):)", history.strip().rstrip(",")) if part]
    pairs = []
    for text in history:
        name, colon, token = text.strip().partition(":")
        if not colon:
            raise UserError(f"{text!r} is not of the form DOMAIN:ITEM, where DOMAIN is {' or '.join(domain_names)}")
        pairs.append((name.strip(), token.strip()))
    return pairs


@contextmanager
def _open_output(path: Path | None, format: str) -> Iterator[Any]:
    """Standard output, or a file that is written whole or not at all."""
    if path is None:
        # The table's own control characters are colours; its texts are escaped by the console.
        yield PrintableFile(sys.stdout) if format != "table" and sys.stdout.isatty() else sys.stdout
        return
    from recbole_lecdsr.files import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path, "wb" if format == "parquet" else "w") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error}): make room or get permission, or choose another") from None

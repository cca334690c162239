"""`run_lecdsr.py recommend`: the top items of each domain for users, as a table, JSON, CSV or Parquet."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.recommend.recommender import Recommended, Recommender, as_frame, load_run
from recbole_lecdsr.recommend.vocabulary import Vocabulary

FORMATS = ("table", "json", "csv", "parquet")
DESCRIPTION = """\
The top items of each domain for what a user does next, beside the user's latest events and profile.

Users who were trained on, by their tokens, or a history that the model has never seen. Items that the user has had
are left out unless --include_history is given. --NAME=VALUE changes a parameter of the run, such as --data_path=….

In CSV and Parquet each row has a kind: `recommended`, `history` (place 1 is the oldest event that the model reads) or
`profile` (its text stands in the column title).
"""


def main(arguments: Sequence[str]) -> int:
    """Top items of each domain for users.

    Args:
        arguments: without the command's name; ``--help`` explains them.

    Returns:
        0.

    Raises:
        UserError: an unknown run, user or item, or an output that cannot be written.
    """
    options = _options(arguments)
    models, dataset = load_run(options.run, {**options.overrides, "show_progress": False})
    names, recommender = Vocabulary(dataset), Recommender(models, dataset)
    if options.history is None:
        users = names.users_with_events if options.all else names.user_ids(options.user)
        show_progress = bool(options.output) or not sys.stdout.isatty()
        found = recommender.for_users(users, options.k, options.include_history, show_progress)
    else:
        events = names.events([_event(text, names) for text in _split_history(options.history, names)])
        found = iter([recommender.for_history(*events, options.k, options.include_history)])
    try:
        with _output(options.output, options.format) as file:
            WRITERS[options.format](file, names, found)
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
        usage="%(prog)s --run DIR {--user TOKEN … | --users FILE | --all | --history EVENTS | --history_file FILE}\n"
        "       [-k K] [--include_history] [--format {table,json,csv,parquet}] [--output FILE] [--NAME=VALUE …]",
    )  # fmt: skip
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="such as runs/movielens/LeCDSR-2022")
    parser.add_argument("--user", action="append", default=[], metavar="TOKEN", help="a user; may be repeated")
    parser.add_argument("--users", type=Path, metavar="FILE", help="users, one token a line")
    parser.add_argument("--all", action="store_true", help="every user of the data set, in batches")
    parser.add_argument("--history", metavar="EVENTS", help="oldest first: DOMAIN:ITEM,DOMAIN:ITEM,…")
    parser.add_argument("--history_file", type=Path, metavar="FILE", help="the same, one DOMAIN:ITEM a line")
    parser.add_argument("-k", type=int, default=10, help="items of each domain (default 10)")
    parser.add_argument("--include_history", action="store_true", help="items that the user has had may be among them")
    parser.add_argument("--format", choices=FORMATS, help="default: by the name of the output, else table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    options, others = parser.parse_known_args(arguments)
    options.overrides, strays = split_command_line(others)
    asked = [bool(options.user), bool(options.users), options.all, options.history is not None,
             bool(options.history_file)]  # fmt: skip
    if strays:
        raise UserError("\n".join(f"{text!r} is not known; see run_lecdsr.py recommend --help" for text in strays))
    if (any(asked[2:]) and sum(asked) > 1) or not any(asked):
        raise UserError("say for whom: --user or --users, --all, --history, or --history_file; one of them")
    if options.k < 1:
        raise UserError(f"-k must be at least 1, not {options.k}")
    if options.format is None:
        suffix = options.output.suffix[1:].lower() if options.output else ""
        options.format = {"pq": "parquet"}.get(suffix, suffix if suffix in FORMATS else "table")
    if options.format == "parquet" and not options.output:
        raise UserError("Parquet is no text for a terminal: say where to with --output FILE")
    if options.users:
        options.user = [*options.user, *_lines(options.users)]
        if not options.user:
            raise UserError(f"{options.users} names no user: put one token on a line")
    if options.history_file:
        options.history = _lines(options.history_file)
    options.user = list(dict.fromkeys(options.user))
    return options


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # a token may have other separators in it
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text ({error})") from None
    return [line for line in lines if line.strip()]


def _split_history(history: str | list[str], names: Vocabulary) -> list[str]:
    """A token may have a comma in it, so events are parted where a domain follows the comma."""
    if not isinstance(history, str):
        return history
    domain = "|".join(re.escape(name) for name in (*names.domain, *DOMAINS))
    return [part for part in re.split(rf",\s*(?=(?:{domain}):)", history.strip().rstrip(",")) if part]


def _event(text: str, names: Vocabulary) -> tuple[str, str]:
    domain, colon, token = text.strip().partition(":")
    if not colon:
        raise UserError(f"{text!r} is not of the form DOMAIN:ITEM, where DOMAIN is {' or '.join(names.domain)}")
    return domain.strip(), token.strip()


# ---------------------------------------------------------------------- output


@contextmanager
def _output(path: Path | None, kind: str) -> Iterator[IO]:
    """Standard output, or a file that is written whole or not at all."""
    if path is None:
        yield sys.stdout
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path, "wb" if kind == "parquet" else "w") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error}): make room or get permission, or choose another") from None


def _write_json(file: IO[str], names: Vocabulary, found: Iterator[Recommended]) -> None:
    """A list with an object for each user."""
    file.write("[")
    between = "\n"
    for batch in found:
        for row in range(len(batch.user)):
            file.write(between + json.dumps(_record(batch, row, names), ensure_ascii=False))
            between = ",\n"
    file.write("\n]\n")


def _record(batch: Recommended, row: int, names: Vocabulary) -> dict[str, object]:
    recommended = {
        names.domain[code]: [
            {"place": place, **_label(names, code, item), "score": float(score)}
            for place, (item, score) in enumerate(zip(batch.item[row, code], batch.score[row, code], strict=True), 1)
            if item
        ]
        for code in range(2)
    }
    history = [{"domain": names.domain[code], **_label(names, code, item)} for code, item in _events(batch, row)]
    return {
        "user": names.user(int(batch.user[row])),
        "profile": names.profiles.get(int(batch.user[row])),
        "events": int(batch.n_events[row]),
        "history": history,
        "recommended": recommended,
    }


def _events(batch: Recommended, row: int) -> list[tuple[int, int]]:
    """(domain, item) of the latest events of a user, newest last."""
    real = batch.history[row] > 0
    return list(zip(batch.history_domain[row][real].tolist(), batch.history[row][real].tolist(), strict=True))


def _label(names: Vocabulary, code: int, item: int) -> dict[str, str]:
    return {"item": str(names.item_token[code][item]), "title": names.title[code][item]}


def _rows(batch: Recommended, names: Vocabulary) -> pd.DataFrame:
    """A batch as rows: for each user the profile, the history, then the recommendations."""
    users = np.array([names.user(number) for number in batch.user.tolist()], dtype=object)
    row, place = np.nonzero(batch.history)
    code = batch.history_domain[row, place]
    history = pd.DataFrame(
        {
            "user": users[row],
            "kind": "history",
            "domain": np.array(names.domain, dtype=object)[code],
            "place": place - (batch.history.shape[1] - np.count_nonzero(batch.history, axis=1))[row] + 1,
            **names.labels(code, batch.history[row, place]),
        }
    )
    known = [row for row, number in enumerate(batch.user.tolist()) if number in names.profiles]
    profiles = [names.profiles[number] for number in batch.user[known].tolist()]
    profile = pd.DataFrame({"user": users[known], "kind": "profile", "title": profiles})
    recommended = as_frame(names, batch).assign(kind="recommended")
    owner = np.concatenate([known, row, np.nonzero(batch.item)[0]])
    columns = ["user", "kind", "domain", "place", "item", "title", "score"]
    frame = pd.concat([profile.reindex(columns=columns), history.reindex(columns=columns), recommended[columns]])
    frame = frame.iloc[np.argsort(owner, kind="stable")]
    return frame.astype({"place": "Int64", "score": "float32"})


def _write_csv(file: IO[str], names: Vocabulary, found: Iterator[Recommended]) -> None:
    for number, batch in enumerate(found):
        _rows(batch, names).to_csv(file, index=False, header=number == 0, lineterminator="\n")


SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("user", "kind", "domain")]
    + [("place", pa.int32()), ("item", pa.string()), ("title", pa.string()), ("score", pa.float32())]
)


def _write_parquet(file: IO[bytes], names: Vocabulary, found: Iterator[Recommended]) -> None:
    with pq.ParquetWriter(file, SCHEMA) as writer:
        for batch in found:
            writer.write_table(pa.Table.from_pandas(_rows(batch, names), SCHEMA, preserve_index=False))


def _write_table(file: IO[str], names: Vocabulary, found: Iterator[Recommended]) -> None:
    """Two tables for each user: the history and, by domain, the recommendations."""
    console = Console(file=file, highlight=False, width=None if file.isatty() else 120)
    for batch in found:
        for row in range(len(batch.user)):
            _print_user(console, batch, row, names)


def _print_user(console: Console, batch: Recommended, row: int, names: Vocabulary) -> None:
    user, events = names.user(int(batch.user[row])), _events(batch, row)
    console.print(f"[bold]{'a user not seen before' if user is None else 'user ' + escape(user)}[/]")
    if profile := names.profiles.get(int(batch.user[row])):
        console.print(profile, markup=False)
    total = int(batch.n_events[row])
    what = "history" if len(events) == total else f"the latest {len(events)} of {total} events"
    table = _table(f"{what}, newest last", "", "domain", "item", "title")
    for place, (code, item) in enumerate(events, 1):
        table.add_row(*map(escape, (str(place), names.domain[code], *_label(names, code, item).values())))
    console.print(table)
    table = _table("recommended", "", "domain", "item", "title", "score")
    table.columns[-1].justify = "right"
    for code in range(2):
        for place, item in enumerate(batch.item[row, code].tolist()):
            if item:
                score = f"{batch.score[row, code, place]:.4f}"
                cells = (str(place + 1), names.domain[code], *_label(names, code, item).values(), score)
                table.add_row(*map(escape, cells))
        table.add_section()
    console.print(table)
    console.print()


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column else "right")
    return table


WRITERS = {"table": _write_table, "json": _write_json, "csv": _write_csv, "parquet": _write_parquet}

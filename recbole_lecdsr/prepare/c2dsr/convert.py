"""`prepare c2dsr`: numbered sequences in ready-made splits, the format of C2DSR and LeCDSR, as an atomic pair.

Every interaction of a training line and the last one of every validation and test line becomes a row of
``<domain>.train.inter``, ``<domain>.valid.inter`` or ``<domain>.test.inter``. Its window (``item_id_list``) is what
comes before it in its line. Nothing is sorted, merged or derived again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.atomic_pair import ITEM, WINDOW, FileWriter, write_pair
from recbole_lecdsr.prepare.c2dsr.embedding_matrices import make_item_embeddings, make_user_embeddings, read_matrix
from recbole_lecdsr.prepare.c2dsr.id_lists import NAMES, choose_item_tokens, count_items, read_id_list
from recbole_lecdsr.prepare.c2dsr.raw_folder import (
    ITEM_MATRIX_FILE,
    SOURCE_ITEMS_FILE,
    SPLITS,
    TARGET_ITEMS_FILE,
    USER_MATRIX_FILE,
    USERS_FILE,
    find_split_files,
)
from recbole_lecdsr.prepare.c2dsr.rows import check_domains, check_users, make_rows
from recbole_lecdsr.prepare.c2dsr.sequence_file import SequenceLines, read_sequences
from recbole_lecdsr.prepare.pair_checks import check_folder_name, check_pair_name
from recbole_lecdsr.prepare.property_file import choose_property_file
from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from recbole_lecdsr.prepare.statistics.report import MARKDOWN_FILE, render_files
from recbole_lecdsr.prepare.summary import PreparationSummary, SkippedLines, count_pair
from recbole_lecdsr.prepare.table.item_texts import read_texts_of_items

_MOST_REPORTS = 10


def prepare(
    raw_folder: str | Path,
    folder: str | Path,
    name: str,
    *,
    source: str,
    target: str,
    tokens: str = NAMES,
    source_items: int | None = None,
    variant: str | None = None,
    sort_by_time: bool = False,
    source_meta: Sequence[str | Path] = (),
    target_meta: Sequence[str | Path] = (),
    item: str = "item_id",
    text: Sequence[str] = (),
    skip_bad_lines: bool = False,
) -> PreparationSummary:
    """Write the atomic pair of data in C2DSR's format, its statistics and its property file.

    Args:
        raw_folder: has ``traindata*.txt``, ``validdata*.txt``, ``testdata*.txt``; and, all optional, ``Alist.txt`` and
            ``Blist.txt`` (one name in each line, in the order of the numbers), ``userlist.txt``,
            ``item_embeddings.npy`` (items of A, then of B, then one row of padding) and
            ``reasoning_user_embeddings.npy`` (row n for user number n).
        folder: gets the pair.
        name: of the pair.
        source: name for domain A.
        target: name for domain B.
        tokens: ``names``: items have their names in the lists where there are lists; ``numbers``: their numbers.
        source_items: how many items A has, if there is no ``Alist.txt``.
        variant: what the ``*`` is, such as ``_new`` in ``traindata_new.txt``; None if there is one version only.
        sort_by_time: sort the interactions of each line by time first, as C2DSR's own code does, which can change the
            target.
        source_meta: tables with texts of the items of A, by their names in the list.
        target_meta: the same for B.
        item: the column of these tables that has the names.
        text: their columns to keep; none means all.
        skip_bad_lines: leave out and count malformed lines instead of stopping at the first.

    Returns:
        The summary, with the counts of lines, targets and missing vectors among its details.

    Raises:
        UserError: anything that is wrong, with file, line and remedy. Nothing has been written then.
    """
    raw_folder, folder, domains = Path(raw_folder), Path(folder), (source, target)
    _check_names(name, domains)
    lines = {
        split: read_sequences(path, skip_bad_lines) for split, path in find_split_files(raw_folder, variant).items()
    }
    n_unsorted = sum(part.count_unsorted() for part in lines.values())
    if sort_by_time:
        lines = {split: part.sort_by_time() for split, part in lines.items()}
    lists = read_id_list(raw_folder / SOURCE_ITEMS_FILE), read_id_list(raw_folder / TARGET_ITEMS_FILE)
    item_matrix, user_matrix = read_matrix(raw_folder / ITEM_MATRIX_FILE), read_matrix(raw_folder / USER_MATRIX_FILE)
    counts = count_items(
        lists,
        matrix_rows=None if item_matrix is None else len(item_matrix),
        source_items=source_items,
        largest_item=max(int(part.item.max()) for part in lines.values()),
        folder=raw_folder,
    )
    for part in lines.values():
        part.check_items(sum(counts))
    item_tokens = choose_item_tokens(lists, counts, tokens, raw_folder)
    check_users(lines)
    rows = {
        split: make_rows(part, item_tokens, counts[0], domains, every_interaction=split == "train")
        for split, part in lines.items()
    }
    check_domains(rows, lines, domains)
    item_files = {
        domain: _make_item_file(tokens_of_domain, names, tables, item=item, text=text)
        for domain, tokens_of_domain, names, tables in zip(
            domains, np.split(item_tokens, [counts[0]]), lists, (source_meta, target_meta), strict=True
        )
    }
    embeddings: dict[str, FileWriter] = {}
    if item_matrix is not None:
        path = raw_folder / ITEM_MATRIX_FILE
        embeddings |= make_item_embeddings(path, item_matrix, item_tokens, counts, domains)
    without_vector = None
    if user_matrix is not None:
        users = pd.unique(np.concatenate([part.user for part in lines.values()]))
        embeddings[f"{name}.useremb"], without_vector = make_user_embeddings(
            raw_folder / USER_MATRIX_FILE, user_matrix, users, USERS_FILE, read_id_list(raw_folder / USERS_FILE)
        )
    settings = make_settings(rows, counts, with_profiles=user_matrix is not None)
    properties = choose_property_file(folder, name, "c2dsr", domains, settings=settings)
    inter = {domain: pd.concat([rows[split][domain] for split in SPLITS], ignore_index=True) for domain in domains}
    split_of_row = {domain: np.repeat([0, 1, 2], [len(rows[split][domain]) for split in SPLITS]) for domain in domains}
    statistics = measure_pair(name, inter, item_files, split=split_of_row)
    write_pair(
        folder,
        render_files(statistics)
        | {f"{domain}/{domain}.item": part for domain, part in item_files.items()}
        | embeddings
        | {f"{domain}/{domain}.{split}.inter": rows[split][domain] for split in SPLITS for domain in domains}
        | properties.new_files,
    )
    skipped = [report for part in lines.values() for report in part.skipped]
    return PreparationSummary(
        counts=count_pair(inter, item_files),
        properties=properties.path,
        statistics=folder / MARKDOWN_FILE,
        warnings=statistics.warnings,
        skipped=SkippedLines(len(skipped), tuple(skipped[:_MOST_REPORTS])),
        details=_describe(lines, rows, n_unsorted, sort_by_time=sort_by_time, without_vector=without_vector),
    )


def make_settings(
    rows: Mapping[str, Mapping[str, pd.DataFrame]], counts: tuple[int, int], with_profiles: bool
) -> dict[str, object]:
    """Parameters for the property file: ready-made splits, all listed items, the longest window, C2DSR's candidates.

    Args:
        rows: split -> domain -> its rows.
        counts: items of source and target; with fewer than 1,000 in one of them all are ranked, not 999.
        with_profiles: whether there are vectors of users.
    """
    windows = (window for parts in rows.values() for part in parts.values() for window in part[WINDOW])
    longest = max(window.count(" ") + 1 for window in windows if window)
    return {
        "benchmark_filename": list(SPLITS),
        "load_col": {"item": ["item_id"]},
        "MAX_ITEM_LIST_LENGTH": longest,
        **({} if with_profiles else {"user_text": "history"}),
        "eval_args": {"order": "TO", "group_by": "user", "mode": "uni999" if min(counts) > 999 else "full"},
        "repeatable": True,
    }


def _check_names(name: str, domains: tuple[str, str]) -> None:
    check_pair_name(name)
    for domain in domains:
        check_folder_name(domain, "the name of a domain", "choose another --source or --target")
    if domains[0].casefold() == domains[1].casefold():
        raise UserError(f"--source {domains[0]!r} and --target {domains[1]!r} must differ")


def _make_item_file(
    tokens: np.ndarray, names: list[str] | None, tables: Sequence[str | Path], *, item: str, text: Sequence[str]
) -> pd.DataFrame:
    """All items of a domain in the order of their numbers, with their texts where there is a table."""
    frame = pd.DataFrame({ITEM: tokens}, dtype=object)
    if not tables:
        return frame
    if names is None:
        raise UserError(
            f"{tables[0]}: texts are found by the names of the items, but there is no list of them: give "
            f"{SOURCE_ITEMS_FILE} and {TARGET_ITEMS_FILE}, or leave the table out"
        )
    texts = read_texts_of_items(tables, item, text=text, wanted=set(names))
    joined = pd.DataFrame({ITEM: names}, dtype=object).merge(texts, on=ITEM, how="left").fillna("")
    return joined.assign(**{ITEM: tokens}).astype(object)


def _describe(
    lines: Mapping[str, SequenceLines],
    rows: Mapping[str, Mapping[str, pd.DataFrame]],
    n_unsorted: int,
    *,
    sort_by_time: bool,
    without_vector: int | None,
) -> dict[str, object]:
    """What the lines hold, in words and numbers."""
    details: dict[str, object] = {
        "lines": {split: f"{len(part):,} ({part.path.name})" for split, part in lines.items()},
        "targets": {
            split: ", ".join(f"{len(part):,} {domain}" for domain, part in rows[split].items()) for split in SPLITS[1:]
        },
    }
    if n_unsorted:
        done = "sorted now" if sort_by_time else "kept as they are; --sort_by_time sorts them, as C2DSR's code does"
        details["lines out of the order of time"] = f"{n_unsorted:,} ({done})"
    without_window = sum(int((part.length == 1).sum()) for split, part in lines.items() if split != "train")
    if without_window:
        details["targets without a window, which are not evaluated"] = without_window
    if without_vector is not None:
        details["users without a vector"] = without_vector
    return details

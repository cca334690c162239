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
from recbole_lecdsr.prepare.c2dsr.embedding_matrices import make_item_embeddings, make_user_embeddings
from recbole_lecdsr.prepare.c2dsr.id_lists import NAMES, choose_item_tokens, read_id_list
from recbole_lecdsr.prepare.c2dsr.raw_data import RawData, read_raw_data
from recbole_lecdsr.prepare.c2dsr.raw_folder import (
    ITEM_MATRIX_FILE,
    SOURCE_ITEMS_FILE,
    SPLITS,
    TARGET_ITEMS_FILE,
    USER_MATRIX_FILE,
    USERS_FILE,
)
from recbole_lecdsr.prepare.c2dsr.rows import check_domains, check_users, make_rows
from recbole_lecdsr.prepare.catalogue import compare_with_published
from recbole_lecdsr.prepare.next_commands import (
    WITHOUT_ITEM_TEXTS,
    WITHOUT_PROFILES,
    list_commands,
    list_run_commands,
)
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
    folder, domains = Path(folder), (source, target)
    _check_names(name, domains)
    raw = read_raw_data(
        Path(raw_folder),
        variant=variant,
        source_items=source_items,
        sort_by_time=sort_by_time,
        skip_bad_lines=skip_bad_lines,
    )
    item_tokens = choose_item_tokens(raw.lists, raw.counts, tokens, raw.folder)
    check_users(raw.lines)
    rows = {
        split: make_rows(lines, item_tokens, raw.counts[0], domains, every_interaction=split == "train")
        for split, lines in raw.lines.items()
    }
    check_domains(rows, raw.lines, domains)
    item_files = {
        domain: _make_item_file(tokens_of_domain, names, tables, item=item, text=text)
        for domain, tokens_of_domain, names, tables in zip(
            domains, np.split(item_tokens, [raw.counts[0]]), raw.lists, (source_meta, target_meta), strict=True
        )
    }
    embeddings, without_vector = _make_embeddings(raw, name, item_tokens, domains)
    settings = make_settings(rows, raw.counts, with_profiles=raw.user_matrix is not None)
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
    skipped = [report for lines in raw.lines.values() for report in lines.skipped]
    counts = count_pair(inter, item_files)
    return PreparationSummary(
        counts=counts,
        properties=properties.path,
        statistics=folder / MARKDOWN_FILE,
        warnings=(*compare_with_published(name, counts), *statistics.warnings),
        skipped=SkippedLines(len(skipped), tuple(skipped[:_MOST_REPORTS])),
        details=_describe(raw, rows, sort_by_time=sort_by_time, without_vector=without_vector),
        next_commands=_next_commands(name, folder, raw, item_files, properties.values),
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


def _next_commands(
    name: str,
    folder: Path,
    raw: RawData,
    item_files: Mapping[str, pd.DataFrame],
    properties: Mapping[str, object],
) -> tuple[str, ...]:
    """With vectors of items or users no `embed`, which would replace them."""
    if raw.item_matrix is not None or raw.user_matrix is not None:
        flags = [] if raw.item_matrix is not None else [WITHOUT_ITEM_TEXTS]
        return list_run_commands(name, folder, *flags, *([] if raw.user_matrix is not None else [WITHOUT_PROFILES]))
    with_texts = [domain for domain, table in item_files.items() if len(table.columns) > 1]
    return list_commands(name, folder, domains=item_files, with_texts=with_texts, properties=properties)


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


def _make_embeddings(
    raw: RawData, name: str, item_tokens: np.ndarray, domains: tuple[str, str]
) -> tuple[dict[str, FileWriter], int | None]:
    """Path -> what writes the embedding file, and how many users have no vector; None without a matrix of users."""
    embeddings: dict[str, FileWriter] = {}
    if raw.item_matrix is not None:
        path = raw.folder / ITEM_MATRIX_FILE
        embeddings |= make_item_embeddings(path, raw.item_matrix, item_tokens, counts=raw.counts, domains=domains)
    if raw.user_matrix is None:
        return embeddings, None
    path, users = raw.folder / USER_MATRIX_FILE, pd.unique(np.concatenate([part.user for part in raw.lines.values()]))
    names = read_id_list(raw.folder / USERS_FILE)
    embeddings[f"{name}.useremb"], without_vector = make_user_embeddings(path, raw.user_matrix, users, names)
    return embeddings, without_vector


def _describe(
    raw: RawData,
    rows: Mapping[str, Mapping[str, pd.DataFrame]],
    *,
    sort_by_time: bool,
    without_vector: int | None,
) -> dict[str, object]:
    """What the lines hold, in words and numbers."""
    details: dict[str, object] = {
        "lines": {split: f"{len(lines):,} ({lines.path.name})" for split, lines in raw.lines.items()},
        "targets": {
            split: ", ".join(f"{len(part):,} {domain}" for domain, part in rows[split].items()) for split in SPLITS[1:]
        },
    }
    if raw.n_unsorted:
        done = "sorted now" if sort_by_time else "kept as they are; --sort_by_time sorts them, as C2DSR's code does"
        details["lines out of the order of time"] = f"{raw.n_unsorted:,} ({done})"
    held_out = (lines for split, lines in raw.lines.items() if split != "train")
    without_window = sum(int((lines.length == 1).sum()) for lines in held_out)
    if without_window:
        details["targets without a window, which are not evaluated"] = without_window
    if without_vector is not None:
        details["users without a vector"] = without_vector
    return details

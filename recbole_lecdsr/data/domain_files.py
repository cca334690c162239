"""The atomic files of one domain, checked before RecBole reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.reader import AtomicReader
from recbole_lecdsr.data.atomic_files.reserved_tokens import refuse_quoted, refuse_reserved
from recbole_lecdsr.data.loaded_columns import check_loaded_columns
from recbole_lecdsr.data.precomputed_windows import PrecomputedWindows
from recbole_lecdsr.errors import UserError


@dataclass(frozen=True)
class FileTokens:
    """Every token of the ``.inter`` and ``.item`` files of a domain, before anything is filtered."""

    users: frozenset[str]
    items: frozenset[str]


def check_domain_files(
    folder: Path, name: str, settings: Mapping[str, Any]
) -> tuple[FileTokens, PrecomputedWindows | None]:
    """Check every row of a domain's files.

    Args:
        folder: where the files are.
        name: of the domain, such as ``book`` for ``book.inter``.
        settings: RecBole's parameters for this domain.

    Returns:
        the tokens of the files, and the windows of the rows of a ready-made split, None where the files have none.

    Raises:
        UserError: a missing or malformed file, a token that RecBole's reader would misread, windows in some of the
            files of a ready-made split only, or what `check_loaded_columns` refuses.
    """
    user, item, time = (settings[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD"))
    separator = settings["field_separator"]
    parts = settings.get("benchmark_filename")
    paths = [folder / f"{name}.{part}.inter" for part in parts] if parts else [folder / f"{name}.inter"]
    columns = {user: "token", item: "token", time: "float"}
    window_field = _find_window_field(paths, item + settings["LIST_SUFFIX"], separator) if parts else None
    if window_field:
        columns[window_field] = "token_seq"
    users: set[str] = set()
    items: set[str] = set()
    window_texts: list[str] = []
    for path in paths:
        frame = atomic_file.read(path, columns, separator)
        for field, tokens in ((user, users), (item, items)):
            found = frame[field].unique()
            refuse_reserved(path, field, found, separator)
            tokens.update(found)
        refuse_quoted(path, (user, item), separator)
        if window_field:
            window_texts += frame[window_field].tolist()
    items.update(_check_item_file(folder / f"{name}.item", item, settings))
    check_loaded_columns(folder, name, paths, settings)
    windows = PrecomputedWindows.parse(window_texts, settings["seq_separator"]) if window_field else None
    return FileTokens(frozenset(users), frozenset(items)), windows


def _check_item_file(path: Path, item_field: str, settings: Mapping[str, Any]) -> Iterable[str]:
    """The items of an ``.item`` file, if there is one."""
    if not path.exists():
        return []
    separator = settings["field_separator"]
    items = atomic_file.read(path, {item_field: "token"}, separator)[item_field]
    if "item" in settings["load_col"]:  # else RecBole does not read the file
        refuse_reserved(path, item_field, items, separator)
        refuse_quoted(path, (item_field,), separator)
    return items


def _find_window_field(paths: Sequence[Path], field: str, separator: str) -> str | None:
    """The column of precomputed windows, if all of the files have it."""
    has_field = {}
    for path in paths:
        with AtomicReader(path, separator) as reader:
            has_field[path] = field in reader.header
    present, missing = ([path for path, found in has_field.items() if found is value] for value in (True, False))
    if present and missing:
        raise UserError(
            f"{present[0]} has the windows of its rows in {field!r}, {missing[0]} has no such column: give it in all "
            "of the files or in none"
        )
    return field if present else None

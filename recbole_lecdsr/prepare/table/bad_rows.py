"""Rows of a table that cannot be used: the first one is an error, or all are skipped and counted."""

from __future__ import annotations

import numpy as np

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.summary import SkippedLines
from recbole_lecdsr.prepare.table.reader import SourceTable


class BadRows:
    """Collects the rows of a table that cannot be used, or raises an error about the first.

    Args:
        table: the table.
        skip: whether bad rows are skipped; None if this table has no option to skip them, so that errors do not
            mention it.

    Attributes:
        mask: (n,) bool, the rows to be left out.
    """

    def __init__(self, table: SourceTable, skip: bool | None = None) -> None:
        self.table, self.skip = table, skip
        self.mask = np.zeros(len(table), dtype=bool)
        self._reports = [part.report for part in table.parts if part.report]

    @property
    def skipped(self) -> SkippedLines:
        """What is left out: these rows, and lines of the files that are no rows at all."""
        n_lines = sum(len(part.skipped) for part in self.table.parts)
        return SkippedLines(n_lines + int(self.mask.sum()), tuple(self._reports))

    def reject(self, key: str, rows: np.ndarray, problem: str, remedy: str) -> None:
        """Raise an error about the first of some rows, or add them all to `mask`.

        Args:
            key: of the column that has the values.
            rows: (n,) bool; those that are in `mask` already are not reported again.
            problem: what is wrong with a value; ``{}`` stands for the value.
            remedy: what to do.

        Raises:
            UserError: there is such a row, and bad rows are not skipped.
        """
        new = np.flatnonzero(rows & ~self.mask)
        if not len(new):
            return
        first = int(new[0])
        more = f" (and so in {len(new) - 1:,} more rows)" if len(new) > 1 else ""
        # Not by format, since a problem may quote texts with braces.
        shown = problem.replace("{}", repr(self.table[key][first].as_py()))
        message = f"{self.table.locate(first)}: {self.table.name_column(key, first)} {shown}{more}"
        if not self.skip:
            offer = "" if self.skip is None else ", or leave such lines out with --skip_bad_lines"
            raise UserError(f"{message}; {remedy}{offer}")
        self._reports.append(message)
        self.mask |= rows

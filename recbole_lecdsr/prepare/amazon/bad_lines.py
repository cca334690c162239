"""Lines of reviews and metadata that cannot be read: the first one is an error, or all are left out and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from recbole_lecdsr.errors import UserError


@dataclass
class BadLines:
    """Counts the lines that cannot be read, or raises an error about the first.

    Attributes:
        skip: whether bad lines are left out.
        count: file -> number of bad lines in it.
        first: file -> the first of them, and what is wrong with it.

    Example:
        >>> bad_lines = BadLines(skip=True)
        >>> bad_lines.add(Path("Books.json"), 7, "no JSON")
        >>> bad_lines.report()
        {'Books.json': '1 left out; the first, line 7: no JSON'}
    """

    skip: bool
    count: Counter[Path] = field(default_factory=Counter)
    first: dict[Path, str] = field(default_factory=dict)

    def add(self, path: Path, line: int, problem: str) -> None:
        """Count a bad line.

        Raises:
            UserError: bad lines are not left out.
        """
        if not self.skip:
            raise UserError(
                f"{path}, line {line}: {problem}; correct or delete the line, or leave out and count all such lines "
                "with --skip_bad_lines"
            )
        self.count[path] += 1
        self.first.setdefault(path, f"line {line}: {problem}")

    def report(self) -> dict[str, str]:
        """File -> how many lines were left out, and why the first of them."""
        return {str(path): f"{count:,} left out; the first, {self.first[path]}" for path, count in self.count.items()}

"""Checks of raw files before a long job reads them: all that are missing, empty or no data are named at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from recbole_lecdsr.errors import UserError

logger = logging.getLogger(__name__)

_WEB_PAGE = (b"<!doctype html", b"<html")
# Bytes that a line has at least: two tokens of ten characters, a rating and a time; a review as JSON.
_SHORTEST_LINE = {".csv": 35, ".json": 150}


def check_raw_files(paths: Sequence[Path], remedy: str = "") -> None:
    """Refuse files that cannot be read, before the first one is.

    Args:
        paths: the files.
        remedy: where missing files can be had.

    Raises:
        UserError: a line for each problem: all files that are missing; those that are folders, empty, or web pages
            that were saved instead of data.
    """
    problems = [_name_missing([path for path in dict.fromkeys(paths) if not path.exists()], remedy)]
    found = [path for path in dict.fromkeys(paths) if path.exists()]
    problems += [f"{path} is not a file: name files" for path in found if not path.is_file()]
    problems += [problem for path in found if path.is_file() and (problem := _find_problem(path))]
    if problems := [problem for problem in problems if problem]:
        raise UserError("\n".join(problems))


def refuse_repeated_files(paths: Sequence[Path]) -> None:
    """Refuse a file that is given twice, under whatever path.

    Raises:
        UserError: with the file.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise UserError(f"{path} is given twice: its rows would count twice")
        seen.add(path.resolve())


def warn_of_short_files(n_lines: Mapping[Path, int | None]) -> None:
    """Warn of files that are too small for as many lines as the published ones have, such as those cut short.

    Args:
        n_lines: file -> lines of the published file; None: unknown.
    """
    for path, published in n_lines.items():
        size, least = path.stat().st_size, find_least_size(path, published)
        if size < least:
            logger.warning(
                "%s has %s, but the published file has %s lines, at least %s: is it whole?",
                path, format_bytes(size), f"{published:,}", format_bytes(least),
            )  # fmt: skip


def find_least_size(path: Path, n_lines: int | None) -> int:
    """The size that a file of so many lines has at least; 0 where that is not known, as of compressed files.

    Example:
        >>> find_least_size(Path("ratings_Beauty.csv"), 2_023_070)
        70807450
    """
    return _SHORTEST_LINE.get(path.suffix, 0) * (n_lines or 0)


def format_bytes(size: int) -> str:
    """A size for people.

    Example:
        >>> format_bytes(916_000_000), format_bytes(4_566_163), format_bytes(12)
        ('916 MB', '4.6 MB', '12 B')
    """
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def _name_missing(missing: Sequence[Path], remedy: str) -> str:
    if not missing:
        return ""
    verb = "does" if len(missing) == 1 else "do"
    return f"{', '.join(map(str, missing))} {verb} not exist{f': {remedy}' if remedy else ''}"


def _find_problem(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(200)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    if not start:
        return f"{path} is empty"
    if start.lstrip().lower().startswith(_WEB_PAGE):
        return f"{path} is a web page, not data: download the file itself"
    return ""

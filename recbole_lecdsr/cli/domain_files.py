"""Options of `prepare` that name domains and their files: --source NAME=FILE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.raw_domain import RawDomain


def parse_domain(values: Sequence[str], role: str) -> RawDomain:
    """A domain from the values of its option: files, the first one with or without ``NAME=`` before it.

    Without a name the domain gets that of the first file in lower case: video_games for reviews_Video_Games_5.json.gz.

    Args:
        values: of the option.
        role: ``source`` or ``target``.

    Raises:
        UserError: a name without a file.

    Example:
        >>> parse_domain(["games=Video_Games.csv", "more.csv"], "target").name
        'games'
    """
    name, first = split_name(values[0])
    files = [Path(value) for value in (first, *values[1:]) if value]
    if not files:
        raise UserError(f"--{role} {values[0]} names no file: write --{role} {name or 'NAME'}=FILE")
    return RawDomain(name or _name_of_file(files[0]), tuple(files))


def split_name(value: str) -> tuple[str, str]:
    """Name, empty without one, and file of ``NAME=FILE``; a file may have an equals sign in its own name."""
    name, equals, file = value.partition("=")
    return ("", value) if not equals or Path(value).exists() else (name, file)


def _name_of_file(path: Path) -> str:
    name = path.name.partition(".")[0].lower()
    for prefix in ("reviews_", "ratings_"):
        name = name.removeprefix(prefix)
    return name.removesuffix("_5")

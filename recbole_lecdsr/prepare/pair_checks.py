"""Checks that every preparation makes before it writes: names of pair and domains, files left from other data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from recbole_lecdsr.errors import UserError


def check_pair_name(name: str) -> None:
    """Refuse a name of a pair that cannot be that of a folder on every system.

    Raises:
        UserError: with the name and which names are possible.
    """
    check_folder_name(name, "the name of the pair", "choose another --name")


def check_domain_names(names: tuple[str, str]) -> None:
    """Refuse names of source and target, given as ``--source NAME=FILE``, that cannot be those of two folders.

    Raises:
        UserError: with the name and how to choose another.
    """
    for option, domain in zip(("--source", "--target"), names, strict=True):
        check_folder_name(domain, f"the name of the domain of {option}", f"choose another, as in {option} books=FILE")
    if names[0].casefold() == names[1].casefold():
        raise UserError(
            f"both domains are named {names[0]!r}, but need a folder each: rename one, as in --source books=FILE"
        )


def check_folder_name(name: str, what: str, remedy: str) -> None:
    """Refuse a name that cannot be that of a folder on every system.

    Args:
        name: the name.
        what: it is the name of.
        remedy: how the user gives another.

    Raises:
        UserError: with the name and which names are possible.
    """
    if not re.fullmatch(r"[\w(][\w ().,&'+-]*", name) or name != name.strip() or len(name.encode()) > 100:
        raise UserError(
            f"{what}, {name!r}, is to be the name of a folder: {remedy}, of at most 100 letters, digits, blanks and "
            "().,&'+-_, with a letter or digit first"
        )


def refuse_leftover_items(folder: Path, domains: Iterable[str], remedy: str) -> None:
    """Refuse a folder that has the ``.item`` file of an earlier preparation for a domain that now gets none.

    Args:
        folder: of the pair.
        domains: that get no ``.item`` file.
        remedy: how the user gives texts of the items.

    Raises:
        UserError: with the file; left there, it would be read with the new interactions.
    """
    for domain in domains:
        path = folder / domain / f"{domain}.item"
        if path.exists():
            raise UserError(f"{path} is from an earlier preparation, maybe of other items: {remedy}, or remove it")

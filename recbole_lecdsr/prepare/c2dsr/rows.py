"""Lines of sequences as rows of atomic files, each with the window that comes before it in its line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.atomic_pair import ITEM, TIME, USER, WINDOW
from recbole_lecdsr.prepare.c2dsr.sequence_file import SequenceLines
from recbole_lecdsr.prepare.table.columns import find_token_problems


def make_rows(
    lines: SequenceLines,
    item_tokens: np.ndarray,
    n_source_items: int,
    domains: tuple[str, str],
    *,
    every_interaction: bool,
) -> dict[str, pd.DataFrame]:
    """Make rows of interactions, in the order of the lines.

    Args:
        lines: of a split.
        item_tokens: (items,) the token of each item number.
        n_source_items: items of the source; those with higher numbers are the target's.
        domains: names of source and target.
        every_interaction: make a row of each interaction, not only of the last one of each line.

    Returns:
        Domain -> the rows whose item is of it, with the columns `USER`, `ITEM`, `TIME` and `WINDOW`.
    """
    position = np.arange(len(lines.item)) if every_interaction else lines.start + lines.length - 1
    row = lines.line_of_interaction[position]
    token = item_tokens[lines.item]
    first = lines.start[row]
    windows = [" ".join(token[start:stop]) for start, stop in zip(first.tolist(), position.tolist(), strict=True)]
    time = lines.time[position]
    integer_time = time.astype(np.int64)
    frame = pd.DataFrame({
        USER: lines.user[row],
        ITEM: token[position],
        TIME: integer_time if (integer_time == time).all() else time,
        WINDOW: np.array(windows, dtype=object),
    })  # fmt: skip
    of_source = lines.item[position] < n_source_items
    return {domains[0]: frame[of_source], domains[1]: frame[~of_source]}


def check_users(lines: Mapping[str, SequenceLines]) -> None:
    """Refuse users that cannot be tokens of atomic files.

    Args:
        lines: split -> its lines.

    Raises:
        UserError: with the line of the first such user.
    """
    for part in lines.values():
        for broken, problem, remedy in find_token_problems(pa.array(part.user)):
            row = int(np.argmax(broken))
            raise UserError(
                f"{part.path}, line {part.line[row]}: the user {problem.format(repr(part.user[row]))}; {remedy}"
            )


def check_domains(
    rows: Mapping[str, Mapping[str, pd.DataFrame]], lines: Mapping[str, SequenceLines], domains: tuple[str, str]
) -> None:
    """Refuse data in which a domain has no rows in a split, or no user has rows in both domains.

    Args:
        rows: split -> domain -> its rows.
        lines: split -> its lines, for errors.
        domains: names of source and target.

    Raises:
        UserError: with the file.
    """
    for split, parts in rows.items():
        for domain, letter in zip(domains, "AB", strict=True):
            if not len(parts[domain]):
                what = "no interaction" if split == "train" else "no line whose last interaction"
                raise UserError(
                    f"{lines[split].path}: {what} is of {domain} (domain {letter}), so a model can neither learn it "
                    "nor be measured in it: check the files and --source_items"
                )
    users = [set().union(*(parts[domain][USER] for parts in rows.values())) for domain in domains]
    if not users[0] & users[1]:
        raise UserError(f"no user has rows in both {domains[0]} and {domains[1]}: check the files")

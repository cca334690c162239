"""Which columns of a table hold users, items, times and domains: as the user says, or by their common names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.table.sources import TableSource


@dataclass(frozen=True)
class Role:
    """What a column is for.

    Attributes:
        option: that names the column.
        default: name that is taken whatever other columns there are.
        common: further names by which it is recognised, in lower case, of letters and digits only.
        otherwise: what a user can do who has no such column.
    """

    option: str
    default: str
    common: frozenset[str]
    otherwise: str = ""


USERS, ITEMS, TIMES, DOMAINS, RATINGS = "users", "items", "times", "domains", "ratings"
ROLES = {
    USERS: Role("--user", "user_id", frozenset({
        "user", "userid", "uid", "username", "reviewer", "reviewerid", "customer", "customerid", "member", "memberid",
        "visitor", "visitorid", "account", "accountid", "buyerid", "viewerid", "authorid", "profileid",
    })),
    ITEMS: Role("--item", "item_id", frozenset({
        "item", "itemid", "iid", "asin", "parentasin", "product", "productid", "movie", "movieid", "film", "filmid",
        "book", "bookid", "isbn", "business", "businessid", "article", "articleid", "track", "trackid", "song",
        "songid", "artistid", "recipeid", "gameid", "appid", "newsid", "videoid", "sku", "gmapid",
    })),
    TIMES: Role("--time", "timestamp", frozenset({
        "time", "date", "datetime", "ts", "unixtime", "unixreviewtime", "reviewtime", "reviewdate", "eventtime",
        "eventdate", "createdat", "created", "dateadded", "ratingtimestamp", "ratedat", "orderdate", "purchasedate",
        "datesubmitted", "submissiondate",
    })),
    DOMAINS: Role(
        "--domain", "domain", frozenset({"domain", "domainid", "domainname"}),
        otherwise="give a table for each domain, --source NAME=FILE --target NAME=FILE",
    ),
    RATINGS: Role("--rating", "rating", frozenset({"rating", "ratings", "overall", "stars", "score"})),
}  # fmt: skip
_ID = "id"  # recognised as that of the items in a table of items only


def recognise(header: Sequence[str], role: Role) -> list[str]:
    """The columns that can be those of a role by their names: the default alone if it is there.

    Example:
        >>> recognise(["reviewerID", "asin", "unixReviewTime"], ROLES["items"])
        ['asin']
        >>> recognise(["user_id", "asin", "parent_asin"], ROLES["items"])
        ['asin', 'parent_asin']
        >>> recognise(["user", "user_id", "user_id:token"], ROLES["users"])
        ['user_id']
    """
    if role.default in header:
        return [role.default]
    return [name for name in header if _normalise(name) in role.common]


def choose_columns(
    source: TableSource, given: Mapping[str, str | None], optional: Collection[str] = ()
) -> dict[str, str]:
    """Find the columns of roles in a table.

    Args:
        source: the table.
        given: role -> name of its column, or several names separated by commas, of which the table has one; None:
            recognise it by its name.
        optional: roles that are left out where no column is recognised.

    Returns:
        Role -> name of its column.

    Raises:
        UserError: columns that are not recognised, or several that may be meant; all of them at once, with the
            columns of the table.
    """
    header = source.read_header()
    found, absent, unclear = {}, [], []
    for name, column in given.items():
        role = ROLES[name]
        candidates = recognise(header, role) if column is None else _find_named(header, column)
        if len(candidates) == 1:
            found[name] = candidates[0]
        elif candidates:
            unclear.append(f"that of {name} may be {_either(candidates)}: choose with {role.option}")
        elif name not in optional:
            absent.append(name)
    if absent:
        nouns = f"{'those' if len(absent) > 1 else 'that'} of {_list(absent)}"
        remedies = [f"name {nouns} with {_list([ROLES[name].option for name in absent])}"]
        remedies += [ROLES[name].otherwise for name in absent if ROLES[name].otherwise]
        unclear.insert(0, ", or ".join(remedies))
    if unclear:
        raise UserError(
            f"{source.label} has the columns {', '.join(map(repr, header))}: {'; '.join(unclear)}"
            f"{_doubt_header(header)}"
        )
    refuse_two_roles(source.label, found)
    return found


def choose_item_column(source: TableSource, given: str | None, of_interactions: Sequence[str]) -> str:
    """Find the column with the tokens of items in a table of items.

    Args:
        source: the table.
        given: its name, or several separated by commas; None: that of the interactions, else one that is recognised by
            its name.
        of_interactions: names of the column of items in the interactions.

    Raises:
        UserError: no column, or several, with the columns of the table.
    """
    header = source.read_header()
    if given is not None:
        return _find_named(header, given)[0]
    candidates = [name for name in dict.fromkeys(of_interactions) if name in header] or recognise(header, ROLES[ITEMS])
    candidates = candidates or [name for name in header if _normalise(name) == _ID]
    if len(candidates) == 1:
        return candidates[0]
    found = f"that of items may be {_either(candidates)}" if candidates else "none is recognised as that of the items"
    raise UserError(
        f"{source.label} has the columns {', '.join(map(repr, header))}: {found}: name it with --items_id"
        f"{_doubt_header(header)}"
    )


def refuse_two_roles(label: str, columns: Mapping[str, str]) -> None:
    """Refuse a column that is named for two roles.

    Raises:
        UserError: with the column and the roles.
    """
    for name in columns.values():
        roles = [role for role, column in columns.items() if column == name]
        if len(roles) > 1:
            raise UserError(f"{label}: {_list(roles)} need a column each, not {name!r} for both")


def _find_named(header: Sequence[str], given: str) -> list[str]:
    """The columns that a table has of the names that a user gives; all of it as one name if it has none of them."""
    names = [given] if given in header else [name.strip() for name in given.split(",")]
    return [name for name in names if name in header] or [given]


def _normalise(name: str) -> str:
    """A name without the type of atomic files, in lower case, of letters and digits only."""
    return re.sub(r"[^a-z0-9]", "", name.partition(":")[0].lower())


def _doubt_header(header: Sequence[str]) -> str:
    """A hint where the first line seems to hold values."""
    if not any(re.fullmatch(r"[-+]?\d+(\.\d+)?", name.strip()) for name in header):
        return ""
    return ". The first line must name the columns; here it seems to hold values: add a line with names"


def _list(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _either(names: Sequence[str]) -> str:
    return " or ".join(map(repr, names))

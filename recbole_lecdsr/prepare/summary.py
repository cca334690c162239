"""What a preparation returns: counts of the pair, what was skipped, the property file that applies, warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from recbole_lecdsr.prepare.atomic_pair import ITEM, USER


@dataclass(frozen=True)
class DomainCounts:
    """Counts of one domain.

    Attributes:
        role: ``source`` or ``target``.
        users: users with an interaction in the domain.
        items: items that are listed in ``.item`` or have an interaction.
        items_with_text: items with a text that is not empty.
        unused_items: items without an interaction.
        interactions: how many.
    """

    role: str
    users: int
    items: int
    items_with_text: int
    unused_items: int
    interactions: int


@dataclass(frozen=True)
class JointCounts:
    """Counts of both domains together.

    Attributes:
        users: users of either domain.
        common_users: users of both.
        common_items: items of both.
        interactions: how many.
    """

    users: int
    common_users: int
    common_items: int
    interactions: int


@dataclass(frozen=True)
class PairCounts:
    """Counts of a pair.

    Attributes:
        domains: source, then target: name -> its counts.
        both: counts of both domains together.
    """

    domains: Mapping[str, DomainCounts]
    both: JointCounts


@dataclass(frozen=True)
class SkippedLines:
    """Lines of the raw data that were left out because they cannot be used.

    Attributes:
        count: how many.
        reports: where and why; in tables, the first line with each kind of problem.
    """

    count: int = 0
    reports: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreparationSummary:
    """What a preparation did.

    Attributes:
        counts: of the pair.
        properties: the property file that applies to the pair.
        statistics: the page of statistics.
        warnings: of the statistics.
        skipped: lines that were left out.
        details: what only this kind of preparation reports, as it is to be printed.
        next_commands: what can follow.
    """

    counts: PairCounts
    properties: Path
    statistics: Path
    warnings: tuple[str, ...] = ()
    skipped: SkippedLines = SkippedLines()
    details: Mapping[str, object] = field(default_factory=dict)
    next_commands: tuple[str, ...] = ()

    def to_document(self) -> dict[str, object]:
        """The summary as the command line prints it: nested dictionaries of texts, numbers and lists of texts."""
        both = self.counts.both
        document: dict[str, object] = {
            f"{name} ({domain.role})": {
                "users": domain.users,
                "items": domain.items,
                "items with text": domain.items_with_text,
                "items without events": domain.unused_items,
                "events": domain.interactions,
            }
            for name, domain in self.counts.domains.items()
        }
        document["both domains"] = {
            "users": both.users,
            "users of both": both.common_users,
            "items that are in both": both.common_items,
            "events": both.interactions,
        }
        document |= self.details
        if self.skipped.count:
            document |= {"skipped lines": self.skipped.count, "skipped": list(self.skipped.reports)}
        return document | {
            "properties": str(self.properties),
            "statistics": str(self.statistics),
            "warnings": list(self.warnings),
            "next": list(self.next_commands),
        }


def count_pair(inter: Mapping[str, pd.DataFrame], item: Mapping[str, pd.DataFrame]) -> PairCounts:
    """Count users, items and interactions of a pair.

    Args:
        inter: source, then target: name -> table with the columns `USER` and `ITEM`.
        item: name -> table with the column `ITEM` and columns of text; a domain without such a table is left out.
    """
    domains, users, items = {}, [], []
    for role, (name, interactions) in zip(("source", "target"), inter.items(), strict=True):
        rows = item.get(name)
        users.append(set(interactions[USER].astype(object).unique()))
        used = set(interactions[ITEM].astype(object).unique())
        listed = set() if rows is None else set(rows[ITEM])
        items.append(used | listed)
        domains[name] = DomainCounts(
            role=role,
            users=len(users[-1]),
            items=len(items[-1]),
            items_with_text=0 if rows is None else int((rows.drop(columns=ITEM) != "").any(axis=1).sum()),
            unused_items=len(listed - used),
            interactions=len(interactions),
        )
    both = JointCounts(
        users=len(users[0] | users[1]),
        common_users=len(users[0] & users[1]),
        common_items=len(items[0] & items[1]),
        interactions=sum(map(len, inter.values())),
    )
    return PairCounts(domains, both)

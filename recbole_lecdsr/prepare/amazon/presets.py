"""The filters of published data sets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from recbole_lecdsr.prepare.amazon.filters import ONCE, REMOVE, UNTIL_STABLE, Filters


@dataclass(frozen=True)
class Preset:
    """The filters of a published data set.

    Attributes:
        edition: of the Amazon reviews.
        filters: the settings.
        note: the publication, and what this preset does where the publication does not say.
    """

    edition: str
    filters: Filters
    note: str


PRESETS = {
    "lecdsr-toys-games": Preset(
        "2018",
        Filters(start=date(2014, 1, 1), min_per_domain=3, min_total=10, passes=ONCE),
        "LeCDSR (Information Fusion 127, 2026), Toys and Games with Video Games: interactions from 2014-01-01 on; "
        "users with 3 or more in each domain and 10 or more in all (15,574 users, 86,491 toys, 22,832 games). Not "
        "specified, and so not applied: removal of duplicates, of rare items, of items of both domains.",
    ),
    "c2dsr": Preset(
        "2014",
        Filters(both_domains=True, item_core=10, min_per_domain=3, min_total=10, passes=UNTIL_STABLE),
        "C2DSR (CIKM 2022), Food with Kitchen and Movie with Book: users of both domains, users and items with 10 "
        "interactions or more, users with 3 or more in each domain (numbers not checked against the paper). Its "
        "repository has finished files but no script, so the order of the steps is unknown: this preset repeats them "
        "until nothing changes. Only the published files, which `prepare c2dsr` reads, give the published counts and "
        "splits.",
    ),
    "abxi": Preset(
        "2014",
        Filters(
            shared_items=REMOVE, both_domains=True, item_core=10, last_events=50, min_per_domain=5, passes=ONCE
        ),
        "ABXI (WWW 2025), as its published script does: items of both domains removed; users of both domains; items "
        "with 10 interactions or more; the last 50 interactions of each user; users with 5 or more of these in each "
        "domain; one pass in this order, so that rare items can remain. Its files are ratings_*.csv of "
        "Grocery_and_Gourmet_Food with Home_and_Kitchen, Beauty with Electronics, Movies_and_TV with Books. The last "
        "interactions are those in the order of time; where times are equal, the source comes first, then the order "
        "of the file.",
    ),
}  # fmt: skip

"""Small files as each edition of the Amazon reviews has them, oddities included, and their preparation."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon import convert
from recbole_lecdsr.prepare.raw_domain import RawDomain
from recbole_lecdsr.prepare.summary import PreparationSummary

Review = tuple[str, str, float, int]  # user, item, rating, time

ANN, BOB, CAT, DAN = "A1ANN0000000AA", "A2BOB0000000BB", "A3CAT0000000CC", "#oc-R1DAN00000DD"
TEA, OAT, BOTH = "B00000TEA1", "B00000OAT2", "B0000BOTH3"
PAN, POT = "B00000PAN4", "0123456789"

# Ann buys tea twice, BOTH is in both domains, Dan in one domain only.
FOOD: list[Review] = [
    (BOB, TEA, 5.0, 1388620800), (ANN, TEA, 4.0, 1388534400), (ANN, TEA, 2.0, 1391212800), (CAT, OAT, 1.0, 1388534400),
    (DAN, OAT, 5.0, 1388534399), (ANN, BOTH, 3.0, 1388534400),
]  # fmt: skip
KITCHEN: list[Review] = [
    (ANN, PAN, 5.0, 1388534400), (BOB, POT, 3.0, 1404086400), (CAT, BOTH, 4.0, 1404172799), (CAT, PAN, 4.0, 1404172800),
]  # fmt: skip


def write(path: str | Path, lines: Sequence[str | bytes]) -> Path:
    """Write lines to a file, as gzip if its name ends in .gz."""
    data = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    Path(path).write_bytes(gzip.compress(data) if str(path).endswith(".gz") else data)
    return Path(path)


def review_2014(review: Review, **changes: object) -> str:
    """A line of ``reviews_*_5.json.gz``."""
    user, item, rating, time = review
    line = {
        "reviewerID": user, "asin": item, "reviewerName": 'J. "Joe" O\'Hara', "helpful": [0, 0],
        "reviewText": "It's <b>good</b> &amp; cheap,\nI\tsay: \"buy\" {it}", "overall": rating, "summary": "né",
        "unixReviewTime": time, "reviewTime": "01 1, 2014",
    }  # fmt: skip
    return json.dumps({**line, **changes})


def review_2018(review: Review, **changes: object) -> str:
    """A line of ``<category>.json.gz``."""
    user, item, rating, time = review
    line = {
        "overall": rating, "vote": "1,234", "verified": True, "reviewTime": "01 1, 2014", "reviewerID": user,
        "asin": item, "style": {"Color:": " Red"}, "reviewerName": "Joe", "reviewText": "good", "summary": "good",
        "unixReviewTime": time, "image": ["https://images-na.ssl-images-amazon.com/images/I/x.jpg"],
    }  # fmt: skip
    return json.dumps({**line, **changes})


def review_2023(review: Review, **changes: object) -> str:
    """A line of ``<category>.jsonl.gz``."""
    user, item, rating, time = review
    line = {
        "rating": rating, "title": "Nice", "text": "good<br />", "images": [], "asin": "B0CHILD000",
        "parent_asin": item, "user_id": user, "timestamp": time * 1000, "helpful_vote": 0, "verified_purchase": True,
    }  # fmt: skip
    return json.dumps({**line, **changes})


def ratings_2014(reviews: Sequence[Review]) -> list[str]:
    """Lines of ``ratings_*.csv``: user,item,rating,timestamp."""
    return [f"{user},{item},{rating},{time}" for user, item, rating, time in reviews]


def ratings_2018(reviews: Sequence[Review]) -> list[str]:
    """Lines of ``<category>.csv``: item,user,rating,timestamp."""
    return [f"{item},{user},{rating},{time}" for user, item, rating, time in reviews]


def ratings_2023(reviews: Sequence[Review]) -> list[str]:
    """Lines of ``<category>.csv.gz``: a header, milliseconds."""
    rows = [f"{user},{item},{rating},{time}000" for user, item, rating, time in reviews]
    return ["user_id,parent_asin,rating,timestamp", *rows]


META_2014 = [
    repr({
        "asin": TEA, "description": "Cook's &quot;best&quot; tea &lt;br&gt; in a <b>tin</b>", "title": "Tea &amp; Co's",
        "price": 3.5, "imUrl": "http://ecx.images-amazon.com/x.jpg", "related": {"also_bought": [OAT]},
        "salesRank": {"Grocery": 1}, "brand": "Twine\tings",
        "categories": [["Grocery & Gourmet Food", "Tea"], ["Grocery & Gourmet Food", "Gifts, &amp; More"]],
    }),
    repr({"asin": OAT, "imUrl": "x", "categories": [["Grocery & Gourmet Food"]]}),
    repr({"asin": "B00UNKNOWN", "title": "Not asked for", "categories": [[]]}),
    repr({"asin": PAN, "title": '"Iron" pan', "description": "", "categories": [["Home & Kitchen"]]}),
    repr({"asin": BOTH, "title": "In both", "categories": []}),
]  # fmt: skip

META_2018 = [
    json.dumps({
        "category": ["Grocery &amp; Gourmet Food", "Tea"], "tech1": "", "description": ["Best <i>tea</i>", "", "ever"],
        "fit": "", "title": "Tea &amp; Co", "also_buy": [OAT], "brand": "Twinings", "feature": [], "details": {},
        "asin": TEA,
    }),
    json.dumps({
        "category": [], "description": [], "brand": "", "asin": OAT,
        "title": "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();",
    }),
    json.dumps({"category": ["Home"], "title": "Pan", "asin": PAN, "price": "$1"}),
    json.dumps({"category": ["Other"], "title": "Second line of the pan", "asin": PAN}),
]  # fmt: skip

META_2023 = [
    json.dumps({
        "main_category": "Grocery", "title": "Tea", "average_rating": 4.5, "rating_number": 2, "features": ["Hot"],
        "description": ["Best", "tea"], "price": None, "images": [], "videos": [], "store": "Twinings",
        "categories": ["Grocery", "Tea"], "details": {"asin": "B00000PAN4"}, "parent_asin": TEA,
        "bought_together": None,
    }),
    json.dumps({"title": None, "description": [], "store": None, "categories": [], "parent_asin": PAN}),
]  # fmt: skip


HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
FOOD_INTER = HEADER + "".join(f"{user}\t{item}\t{rating:.0f}\t{time}\n" for user, item, rating, time in FOOD)
KITCHEN_INTER = HEADER + "".join(f"{user}\t{item}\t{rating:.0f}\t{time}\n" for user, item, rating, time in KITCHEN)


def write_reviews(edition: str, suffix: str = ".json") -> None:
    """Write food.json and kitchen.json of an edition."""
    line = {"2014": review_2014, "2018": review_2018, "2023": review_2023}[edition]
    write(f"food{suffix}", list(map(line, FOOD)))
    write(f"kitchen{suffix}", list(map(line, KITCHEN)))


def prepare(
    food: str = "food.json", kitchen: str = "kitchen.json", edition: str = "2018", **options
) -> PreparationSummary:
    """`convert.prepare` of files of the current folder, separated by blanks, into the folder out."""
    domains = RawDomain("food", tuple(map(Path, food.split()))), RawDomain("kitchen", tuple(map(Path, kitchen.split())))
    return convert.prepare(*domains, "out", "pair", edition=edition, **options)


def read(domain: str, kind: str = "inter") -> str:
    """A file that `prepare` wrote."""
    return Path("out", domain, f"{domain}.{kind}").read_text(encoding="utf-8")


def refuse(match: str, *arguments: str, **options) -> None:
    """Check that `prepare` raises an error and writes nothing."""
    with pytest.raises(UserError, match=match):
        prepare(*arguments, **options)
    assert not Path("out").exists()

"""The editions of the Amazon review data: how their files name and write things.

Sources are the pages of the data: https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html (2014),
https://nijianmo.github.io/amazon/index.html (2018), https://amazon-reviews-2023.github.io (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from recbole_lecdsr.errors import UserError

FIRST_MILLISECOND = 10**11  # 1973 in milliseconds, the year 5138 in seconds
END_OF_MILLISECONDS = 10**14


class ReviewKeys(NamedTuple):
    """Names of the parts of a review, as keys of a line of JSON or as columns of CSV."""

    user: str
    item: str
    rating: str
    time: str


class MetadataKeys(NamedTuple):
    """Keys of a line of metadata."""

    item: str
    title: str
    categories: str
    brand: str
    description: str


@dataclass(frozen=True)
class Edition:
    """How the files of an edition are written.

    Attributes:
        year: name of the edition.
        review_keys: keys in lines of JSON.
        csv_columns: columns of files of ratings, in their order.
        csv_keys: which of these columns hold user, item, rating and time.
        has_header: whether files of ratings name their columns in the first line.
        milliseconds: whether times are milliseconds since 1970, else seconds.
        distinctive_key: a key of reviews that the other edition with the same review keys does not have.
        metadata_keys: keys in lines of metadata.
        allows_literals: whether lines may be Python literals instead of JSON.
        csv_example: name and columns of a file of ratings, for errors and help.
        json_example: name of a file of reviews.
        metadata_example: name of a file of metadata.
    """

    year: str
    review_keys: ReviewKeys
    csv_columns: tuple[str, ...]
    csv_keys: ReviewKeys
    has_header: bool
    milliseconds: bool
    distinctive_key: str
    metadata_keys: MetadataKeys
    allows_literals: bool
    csv_example: str
    json_example: str
    metadata_example: str

    def is_time(self, value: float) -> bool:
        """Whether a number can be a time in the unit of this edition.

        Example:
            >>> EDITIONS["2018"].is_time(1388534400), EDITIONS["2018"].is_time(1388534400000)
            (True, False)
        """
        return value >= 0 and (value >= FIRST_MILLISECOND) == self.milliseconds and value < END_OF_MILLISECONDS


_RATING_COLUMNS = ReviewKeys("user", "item", "rating", "timestamp")
_REVIEW_KEYS = ReviewKeys("reviewerID", "asin", "overall", "unixReviewTime")
_REVIEW_KEYS_2023 = ReviewKeys("user_id", "parent_asin", "rating", "timestamp")

EDITIONS = {
    "2014": Edition(
        year="2014",
        review_keys=_REVIEW_KEYS,
        csv_columns=_RATING_COLUMNS,
        csv_keys=_RATING_COLUMNS,
        has_header=False,
        milliseconds=False,
        distinctive_key="helpful",
        metadata_keys=MetadataKeys("asin", "title", "categories", "brand", "description"),
        allows_literals=True,
        csv_example="ratings_Books.csv (user,item,rating,timestamp)",
        json_example="reviews_Books.json.gz",
        metadata_example="meta_Books.json.gz (Python literals)",
    ),
    "2018": Edition(
        year="2018",
        review_keys=_REVIEW_KEYS,
        csv_columns=("item", "user", "rating", "timestamp"),
        csv_keys=_RATING_COLUMNS,
        has_header=False,
        milliseconds=False,
        distinctive_key="verified",
        metadata_keys=MetadataKeys("asin", "title", "category", "brand", "description"),
        allows_literals=False,
        csv_example="Books.csv (item,user,rating,timestamp)",
        json_example="Books.json.gz, Books_5.json.gz",
        metadata_example="meta_Books.json.gz (JSON)",
    ),
    "2023": Edition(
        year="2023",
        review_keys=_REVIEW_KEYS_2023,
        csv_columns=_REVIEW_KEYS_2023,
        csv_keys=_REVIEW_KEYS_2023,
        has_header=True,
        milliseconds=True,
        distinctive_key="",
        metadata_keys=MetadataKeys("parent_asin", "title", "categories", "store", "description"),
        allows_literals=False,
        csv_example="Books.csv.gz (with a header)",
        json_example="Books.jsonl.gz",
        metadata_example="meta_Books.jsonl.gz",
    ),
}


def get_edition(year: str) -> Edition:
    """An edition by its name.

    Raises:
        UserError: there is none of that name.
    """
    if year not in EDITIONS:
        raise UserError(f"there is no edition {year!r} of the Amazon reviews, only {', '.join(EDITIONS)}")
    return EDITIONS[year]

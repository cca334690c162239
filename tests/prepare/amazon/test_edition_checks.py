from __future__ import annotations

import json

import pytest

from tests.helpers import amazon_files as files
from tests.helpers.amazon_files import (
    ANN,
    FOOD,
    FOOD_INTER,
    KITCHEN,
    OAT,
    TEA,
    prepare,
    read,
    refuse,
    write,
    write_reviews,
)


def test_the_splits_of_2023_with_a_history_column_are_read_by_their_header():
    header, *rows = files.ratings_2023(FOOD)
    swapped = [",".join([*reversed(row.split(",")), f"{TEA} {OAT}"]) for row in rows]
    write("food.csv", [",".join([*reversed(header.split(",")), "history"]), *swapped])
    write("kitchen.csv", files.ratings_2023(KITCHEN))
    prepare("food.csv", "kitchen.csv", "2023")
    assert read("food") == FOOD_INTER


WRITERS = {
    "2014 json": lambda events: list(map(files.review_2014, events)),
    "2018 json": lambda events: list(map(files.review_2018, events)),
    "2023 json": lambda events: list(map(files.review_2023, events)),
    "2014 csv": files.ratings_2014,
    "2018 csv": files.ratings_2018,
    "2023 csv": files.ratings_2023,
}


@pytest.mark.parametrize("edition", ["2014", "2018", "2023"])
@pytest.mark.parametrize("kind", list(WRITERS))
def test_files_of_another_edition_are_refused_and_the_right_one_is_named(edition, kind):
    year, suffix = kind.split()
    if year == edition:
        return
    write(f"food.{suffix}", WRITERS[kind](FOOD))
    write(f"kitchen.{suffix}", WRITERS[kind](KITCHEN))
    for skip in (False, True):
        refuse(
            rf"food\.{suffix}, line 1: .*--edition (2014 or )?{year}", f"food.{suffix}", f"kitchen.{suffix}",
            edition, skip_bad_lines=skip,
        )  # fmt: skip


@pytest.mark.parametrize("edition", ["2014", "2018", "2023"])
@pytest.mark.parametrize("year", ["2014", "2018", "2023"])
def test_metadata_of_another_edition_are_refused(edition, year):
    if year == edition:
        return
    write_reviews(edition)
    write("meta.json", {"2014": files.META_2014, "2018": files.META_2018, "2023": files.META_2023}[year])
    message = rf"meta\.json, line 1: .* --edition {year}, or a file of {edition}"
    refuse(message, edition=edition, metadata=["meta.json"])


def test_reviews_and_metadata_given_for_one_another_are_refused():
    write_reviews("2018")
    write("meta.json", files.META_2018)
    refuse(r"meta\.json, line 1: no 'reviewerID' but a 'title'.*--meta", "meta.json")
    write("more.json", [files.review_2018(KITCHEN[0])])
    refuse(r"more\.json, line 1: a review, not metadata", metadata=["more.json"])


def test_absent_keys_and_columns_are_named_with_what_there_is():
    write_reviews("2018")
    write("food.json", [json.dumps({"reviewerID": ANN, "asin": TEA, "overall": 5.0})])
    refuse(r"food\.json, line 1: no key 'unixReviewTime', only 'asin', 'overall', 'reviewerID'")
    write("food.csv", [f"{TEA},{ANN},5.0"])
    refuse(r"food\.csv, line 1: 3 columns", "food.csv")
    header, *rows = files.ratings_2023(FOOD)
    write("food.csv", [header.replace("timestamp", "time"), *rows])
    refuse(r"food\.csv, line 1: no column 'timestamp', only 'user_id'", "food.csv", edition="2023")
    write("meta.json", [json.dumps({"title": "Tea", "category": []})])
    write_reviews("2018")
    refuse(r"meta\.json, line 1: no key 'asin', only 'category', 'title'", metadata=["meta.json"])

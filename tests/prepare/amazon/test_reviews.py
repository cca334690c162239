from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_lecdsr.prepare.amazon.filters import Filters
from tests.helpers import amazon_files as files
from tests.helpers.amazon_files import (
    ANN,
    DAN,
    FOOD,
    FOOD_INTER,
    HEADER,
    KITCHEN,
    KITCHEN_INTER,
    PAN,
    POT,
    TEA,
    prepare,
    read,
    refuse,
    write,
    write_reviews,
)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("edition", ["2014", "2018", "2023"])
def test_ratings_of_every_edition_give_the_pair_of_its_reviews(edition, suffix):
    lines = {"2014": files.ratings_2014, "2018": files.ratings_2018, "2023": files.ratings_2023}[edition]
    write(f"food{suffix}", lines(FOOD))
    write(f"kitchen{suffix}", lines(KITCHEN))
    prepare(f"food{suffix}", f"kitchen{suffix}", edition)
    assert (read("food"), read("kitchen")) == (FOOD_INTER, KITCHEN_INTER)


def test_reviews_and_ratings_may_be_mixed_and_several_files_follow_one_another():
    write("a.json", [files.review_2018(event) for event in FOOD[:2]])
    write("b.csv.gz", files.ratings_2018(FOOD[2:]))
    write("kitchen.json", [files.review_2018(event) for event in KITCHEN])
    prepare("a.json b.csv.gz")
    assert read("food") == FOOD_INTER


def test_milliseconds_that_are_no_whole_seconds_are_kept():
    write("food.csv", ["user_id,parent_asin,rating,timestamp", f"{ANN},{TEA},5.0,1588615855070"])
    write("kitchen.csv", ["user_id,parent_asin,rating,timestamp", f"{ANN},{PAN},1.0,1588615855071"])
    prepare("food.csv", "kitchen.csv", "2023")
    assert read("food") == HEADER + f"{ANN}\t{TEA}\t5\t1588615855.07\n"
    assert read("kitchen") == HEADER + f"{ANN}\t{PAN}\t1\t1588615855.071\n"


def test_reviews_of_2014_may_be_python_literals():
    write("food.json", [repr(json.loads(files.review_2014(event))) for event in FOOD])
    write("kitchen.json", [files.review_2014(event) for event in KITCHEN])
    prepare(edition="2014")
    assert read("food") == FOOD_INTER


def test_unusual_but_valid_lines_are_read():
    """Blank lines, Windows line ends, bytes that are no UTF-8 in a review, numbers as texts, whole times as floats."""
    lines: list[str | bytes] = [files.review_2018(event) for event in FOOD]
    lines[1] = files.review_2018(FOOD[1], overall="4.0", unixReviewTime=float(FOOD[1][3])) + "\r"
    lines[2] = files.review_2018(FOOD[2]).encode().replace(b"good", b"g\xffd")
    write("food.json", ["", *lines, "  "])
    write("kitchen.csv", [f'"{row.split(",")[0]}",{row.partition(",")[2]}\r' for row in files.ratings_2018(KITCHEN)])
    prepare("food.json", "kitchen.csv")
    assert (read("food"), read("kitchen")) == (FOOD_INTER, KITCHEN_INTER)


def test_many_tokens_of_many_blocks_keep_their_interactions():
    rng = np.random.default_rng(0)
    events = [
        (f"A{rng.integers(60):013d}", f"B{rng.integers(30):09d}", float(rng.integers(1, 6)), int(1400000000 + row))
        for row in range(600)
    ]
    write("food.csv", files.ratings_2018(events[:400]))
    write("kitchen.csv", files.ratings_2018(events[400:]))
    prepare("food.csv", "kitchen.csv")
    for domain, expected in (("food", events[:400]), ("kitchen", events[400:])):
        found = pd.read_csv(f"out/{domain}/{domain}.inter", sep="\t").values.tolist()
        assert found == [list(event) for event in expected]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"reviewerID": "A1", "asin": ', r"no JSON \("),
        ("{'reviewerID': 'A1'}", "no JSON"),
        ("[1, 2]", "holds list, not an object with keys"),
        (files.review_2018(FOOD[0]).replace('"asin"', '"asinn"'), "no key 'asin'"),
        (files.review_2018(FOOD[0], asin=""), "'asin' is empty"),
        (files.review_2018(FOOD[0], reviewerID=None), "'reviewerID' is empty"),
        (files.review_2018(FOOD[0], reviewerID=["A1"]), r"'reviewerID' is \['A1'\]"),
        (files.review_2018(FOOD[0], reviewerID="A1\tA2"), r"'reviewerID' is 'A1\\tA2', which is not the name"),
        (files.review_2018(FOOD[0], asin="NA"), "'asin' is 'NA', which is not the name"),
        (files.review_2018(FOOD[0], overall="five"), "'overall' is 'five', not a number"),
        (files.review_2018(FOOD[0], overall=None), "'overall' is empty, not a number"),
        (files.review_2018(FOOD[0], overall=True), "'overall' is True, not a number"),
        (files.review_2018(FOOD[0], unixReviewTime=1.5), "'unixReviewTime' is 1.5, not a number of seconds"),
        (files.review_2018(FOOD[0], unixReviewTime=1388534400000), "'unixReviewTime' is 1388534400000, not a number"),
    ],
)
def test_a_bad_review_stops_with_its_line_or_is_counted(line, message):
    write_reviews("2018")
    write("food.json", [*map(files.review_2018, FOOD[:3]), line, *map(files.review_2018, FOOD[3:])])
    refuse(rf"food\.json, line 4: {message}.*; correct or delete the line, or leave out .* --skip_bad_lines")
    summary = prepare(skip_bad_lines=True)
    assert read("food") == FOOD_INTER
    assert list(summary.details["bad lines"]) == ["food.json"]
    assert summary.details["bad lines"]["food.json"].startswith("1 left out; the first, line 4: ")
    assert json.loads(Path("out/prepared.json").read_text())["bad lines"] == summary.details["bad lines"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{TEA},{ANN},5.0", "3 columns, not 4"),
        (f"{TEA},{ANN},5.0,1388534400,6", "5 columns, not 4"),
        (f"{TEA},,5.0,1388534400", "'user' is empty"),
        (f"{TEA},{ANN},good,1388534400", "'rating' is 'good', not a number"),
        (f"{TEA},{ANN},5.0,2014-01-01", "'timestamp' is '2014-01-01', not a number"),
        (f'"{TEA},{ANN},5.0,1388534400', "1 columns, not 4"),
        (b"\xff\xfe,A1,5.0,1388534400", "'item' is .* not the name"),
    ],
)
def test_a_bad_rating_stops_with_its_line_or_is_counted(line, message):
    write("food.csv", [*files.ratings_2018(FOOD[:3]), line, *files.ratings_2018(FOOD[3:])])
    write("kitchen.csv", files.ratings_2018(KITCHEN))
    refuse(rf"food\.csv, line 4: {message}", "food.csv", "kitchen.csv")
    summary = prepare("food.csv", "kitchen.csv", skip_bad_lines=True)
    assert read("food") == FOOD_INTER
    assert summary.details["bad lines"]["food.csv"].startswith("1 left out; the first, line 4: ")


def test_gzip_that_is_cut_short_is_an_error():
    write_reviews("2018", ".json.gz")
    path = Path("kitchen.json.gz")
    path.write_bytes(path.read_bytes()[:-20])
    refuse(r"kitchen\.json\.gz ends in the middle", "food.json.gz", "kitchen.json.gz", skip_bad_lines=True)


def test_domains_without_common_users_or_interactions_are_refused():
    write_reviews("2018")
    write("kitchen.json", [files.review_2018((DAN, POT, 1.0, 5))])
    write("food.json", [files.review_2018((ANN, TEA, 1.0, 1388534400))])
    refuse("'food' and 'kitchen' have no common user: name files of one edition")
    refuse("'kitchen' has no interaction in the given period", filters=Filters(start=date(2014, 1, 1)))
    write_reviews("2018")
    refuse("nothing is left after the step 'items with 9 events or more'", filters=Filters(item_core=9))
    write("food.json", [""])
    refuse("'food' has no interaction")

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon import convert, line_blocks
from recbole_lecdsr.prepare.amazon import reviews as amazon_reviews
from recbole_lecdsr.prepare.amazon.convert import Category
from recbole_lecdsr.prepare.amazon.filters import PRESETS, Filters
from recbole_lecdsr.property_files import read_property_file
from tests.helpers import amazon_files as files
from tests.helpers.amazon_files import ANN, BOB, BOTH, CAT, DAN, FOOD, KITCHEN, OAT, PAN, POT, TEA, write

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
FOOD_INTER = HEADER + "".join(f"{user}\t{item}\t{rating:.0f}\t{time}\n" for user, item, rating, time in FOOD)
KITCHEN_INTER = HEADER + "".join(f"{user}\t{item}\t{rating:.0f}\t{time}\n" for user, item, rating, time in KITCHEN)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """An empty current folder; files are read in many small blocks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 700)
    monkeypatch.setattr(amazon_reviews, "_BATCH", 2)
    return tmp_path


def prepare(food: str = "food.json", kitchen: str = "kitchen.json", edition: str = "2018", **options):
    domains = Category("food", tuple(map(Path, food.split()))), Category("kitchen", tuple(map(Path, kitchen.split())))
    return convert.prepare(*domains, "out", "pair", edition, **options)


def read(domain: str, kind: str = "inter") -> str:
    return Path("out", domain, f"{domain}.{kind}").read_text(encoding="utf-8")


def refused(match: str, *arguments: str, **options) -> None:
    """After the error nothing must have been written."""
    with pytest.raises(UserError, match=match):
        prepare(*arguments, **options)
    assert not Path("out").exists()


def reviews(edition: str, suffix: str = ".json") -> None:
    """food.json and kitchen.json of an edition."""
    line = {"2014": files.review_2014, "2018": files.review_2018, "2023": files.review_2023}[edition]
    write(f"food{suffix}", list(map(line, FOOD)))
    write(f"kitchen{suffix}", list(map(line, KITCHEN)))


# ---------------------------------------------------------------------- what is written


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
@pytest.mark.parametrize("edition", ["2014", "2018", "2023"])
def test_reviews_of_every_edition_give_the_same_pair_in_the_order_of_their_lines(edition, suffix):
    reviews(edition, suffix)
    summary = prepare(f"food{suffix}", f"kitchen{suffix}", edition)
    assert read("food") == FOOD_INTER
    assert read("kitchen") == KITCHEN_INTER
    assert not Path("out/food/food.item").exists()
    assert read_property_file("out/pair.yaml") == {
        "source_domain": {"dataset": "food"}, "target_domain": {"dataset": "kitchen"},
    }  # fmt: skip
    expected = {
        "food (source)": {"users": 4, "items": 3, "items with text": 0, "items without events": 0, "events": 6},
        "kitchen (target)": {"users": 3, "items": 3, "items with text": 0, "items without events": 0, "events": 4},
        "both domains": {"users": 4, "users of both": 3, "items that are in both": 1, "events": 10},
        "left after": {"all events": "4 users, 3 and 3 items, 6 and 4 events"},
        "properties": "out/pair.yaml",
    }
    assert {key: summary[key] for key in expected} == expected
    assert "bad lines" not in summary


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


def test_the_splits_of_2023_with_a_history_column_are_read_by_their_header():
    header, *rows = files.ratings_2023(FOOD)
    swapped = [",".join([*reversed(row.split(",")), f"{TEA} {OAT}"]) for row in rows]
    write("food.csv", [",".join([*reversed(header.split(",")), "history"]), *swapped])
    write("kitchen.csv", files.ratings_2023(KITCHEN))
    prepare("food.csv", "kitchen.csv", "2023")
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


def test_unusual_but_sound_lines_are_read():
    """Blank lines, Windows line ends, bytes that are no UTF-8 in a review, numbers as texts, whole times as floats."""
    lines: list[str | bytes] = [files.review_2018(event) for event in FOOD]
    lines[1] = files.review_2018(FOOD[1], overall="4.0", unixReviewTime=float(FOOD[1][3])) + "\r"
    lines[2] = files.review_2018(FOOD[2]).encode().replace(b"good", b"g\xffd")
    write("food.json", ["", *lines, "  "])
    write("kitchen.csv", [f'"{row.split(",")[0]}",{row.partition(",")[2]}\r' for row in files.ratings_2018(KITCHEN)])
    prepare("food.json", "kitchen.csv")
    assert (read("food"), read("kitchen")) == (FOOD_INTER, KITCHEN_INTER)


def test_many_tokens_of_many_blocks_keep_their_events():
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


# ---------------------------------------------------------------------- texts


def test_metadata_of_2014_gives_the_texts_of_the_items_that_are_kept():
    reviews("2014")
    write("meta.json.gz", files.META_2014)
    summary = prepare(edition="2014", metadata=["meta.json.gz"])
    header = "item_id:token\ttitle:token\tcategories:token\tbrand:token\tdescription:token\n"
    both = f"{BOTH}\tIn both\t\t\t\n"
    assert read("food", "item") == header + (
        f"{TEA}\tTea & Co's\tGrocery & Gourmet Food; Tea; Gifts, & More\tTwine ings\tCook's \"best\" tea in a tin\n"
        f"{OAT}\t\tGrocery & Gourmet Food\t\t\n"
    ) + both  # fmt: skip
    assert read("kitchen", "item") == header + f'{PAN}\t "Iron" pan\tHome & Kitchen\t\t\n' + both
    assert summary["kitchen (target)"]["items with text"] == 2
    assert summary["kitchen (target)"]["items"] == 3


def test_metadata_of_2018_has_lists_second_lines_and_scripts_for_titles():
    reviews("2018")
    write("meta.json", files.META_2018)
    prepare(metadata=["meta.json"])
    table = pd.read_csv("out/food/food.item", sep="\t", keep_default_na=False, index_col=0)
    assert table.loc[TEA].tolist() == ["Tea & Co", "Grocery & Gourmet Food; Tea", "Twinings", "Best tea ever"]
    assert table.loc[OAT].tolist() == ["", "", "", ""]
    assert read("kitchen", "item").splitlines()[1:] == [f"{PAN}\tPan\tHome\t\t"]


def test_metadata_of_2023_names_parents_and_stores():
    reviews("2023")
    write("meta.jsonl.gz", files.META_2023)
    prepare(edition="2023", metadata=["meta.jsonl.gz"])
    assert read("food", "item").splitlines()[1:] == [f"{TEA}\tTea\tGrocery; Tea\tTwinings\tBest tea"]
    assert read("kitchen", "item").splitlines()[1:] == [f"{PAN}\t\t\t\t"]


@pytest.mark.parametrize("place", ["review", "meta"])
def test_code_in_a_literal_is_a_bad_line_and_is_not_executed(place):
    reviews("2014")
    write("meta.json", files.META_2014)
    attack = "__import__('pathlib').Path('attacked').touch()"
    if place == "review":
        write("food.json", [*map(files.review_2014, FOOD), attack])
        refused(r"food\.json, line 7: neither JSON nor a plain Python literal", edition="2014")
    else:
        lines = [attack, f"{{'asin': '{TEA}', 'title': {attack}}}", f"{{'asin': {attack}}}", *files.META_2014]
        write("meta.json", lines)
        refused(r"meta\.json, line 1: neither JSON", edition="2014", metadata=["meta.json"])
        summary = prepare(edition="2014", metadata=["meta.json"], skip_bad_lines=True)
        assert summary["bad lines"] == {
            "meta.json": "3 left out; the first, line 1: neither JSON nor a plain Python literal"
        }
        assert f"{TEA}\tTea & Co's" in read("food", "item")
    assert not Path("attacked").exists()


# ---------------------------------------------------------------------- filters


def test_dates_are_whole_days_in_utc():
    reviews("2018")
    filters = Filters(start=date(2014, 1, 1), end=date(2014, 6, 30))
    summary = prepare(filters=filters)
    assert DAN not in read("food") and read("food").count("\n") == 6
    assert read("kitchen") == HEADER + "".join(
        f"{user}\t{item}\t{rating:.0f}\t{time}\n" for user, item, rating, time in KITCHEN[:3]
    )
    assert summary["left after"] == {
        "events from 2014-01-01 up to 2014-06-30": "3 users, 3 and 3 items, 5 and 3 events"
    }


def test_dates_of_2023_are_compared_in_milliseconds():
    reviews("2023")
    prepare(edition="2023", filters=Filters(start=date(2014, 1, 1), end=date(2014, 6, 30)))
    assert read("kitchen").count("\n") == 4 and read("food").count("\n") == 6


def test_filters_and_their_account_are_written():
    reviews("2018")
    filters = Filters(shared_items="remove", both_domains=True, duplicates="last")
    summary = prepare(filters=filters)
    assert read("food") == HEADER + (
        f"{BOB}\t{TEA}\t5\t1388620800\n{ANN}\t{TEA}\t2\t1391212800\n{CAT}\t{OAT}\t1\t1388534400\n"
    )
    assert read("kitchen").splitlines()[1:] == [
        f"{ANN}\t{PAN}\t5\t1388534400", f"{BOB}\t{POT}\t3\t1404086400", f"{CAT}\t{PAN}\t4\t1404172800",
    ]  # fmt: skip
    assert summary["left after"] == {
        "all events": "4 users, 3 and 3 items, 6 and 4 events",
        "items of both domains removed": "4 users, 2 and 2 items, 5 and 3 events",
        "users of both domains": "3 users, 2 and 2 items, 4 and 3 events",
        "the last of duplicate events": "3 users, 2 and 2 items, 3 and 3 events",
    }
    account = json.loads(Path("out/prepared.json").read_text())
    assert account["lines"] == {"food": 6, "kitchen": 4}
    assert account["filters"] == {
        "shared_items": "remove", "duplicates": "last", "both_domains": True, "passes": "until_stable",
    }  # fmt: skip
    assert account["steps"][-1] == {
        "name": "the last of duplicate events", "users": 3, "items": [2, 2], "events": [3, 3],
    }  # fmt: skip


def test_the_filters_of_lecdsr_keep_active_users_of_recent_years():
    """Three in each domain and ten in all from 2014 on: the boundary cases, by hand."""
    new, old = 1388534400, 1388534399

    def events(user: str, toys: int, games: int, toy_time: int = new):
        return (
            [(user, f"B00000TOY{number}", 5.0, toy_time) for number in range(toys)],
            [(user, f"B0000GAME{number}", 5.0, new) for number in range(games)],
        )

    cases = {ANN: (3, 7), BOB: (2, 9), CAT: (3, 6), DAN: (7, 3)}
    pairs = [events(user, *counts) for user, counts in cases.items()] + [events("A5EVE0000000EE", 7, 7, old)]
    write("food.csv", files.ratings_2018([event for toys, _ in pairs for event in toys]))
    write("kitchen.csv", files.ratings_2018([event for _, games in pairs for event in games]))
    preset = PRESETS["lecdsr-toys-games"]
    summary = prepare("food.csv", "kitchen.csv", preset.edition, filters=preset.filters)
    assert {row.split("\t")[0] for row in read("food").splitlines()[1:]} == {ANN, DAN}
    assert summary["both domains"] == {"users": 2, "users of both": 2, "items that are in both": 0, "events": 20}


# ---------------------------------------------------------------------- wrong input


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
    reviews("2018")
    write("food.json", [*map(files.review_2018, FOOD[:3]), line, *map(files.review_2018, FOOD[3:])])
    refused(rf"food\.json, line 4: {message}.*; mend or delete the line, or leave .* --skip_bad_lines")
    summary = prepare(skip_bad_lines=True)
    assert read("food") == FOOD_INTER
    assert list(summary["bad lines"]) == ["food.json"]
    assert summary["bad lines"]["food.json"].startswith("1 left out; the first, line 4: ")
    assert json.loads(Path("out/prepared.json").read_text())["bad lines"] == summary["bad lines"]


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
    refused(rf"food\.csv, line 4: {message}", "food.csv", "kitchen.csv")
    summary = prepare("food.csv", "kitchen.csv", skip_bad_lines=True)
    assert read("food") == FOOD_INTER
    assert summary["bad lines"]["food.csv"].startswith("1 left out; the first, line 4: ")


@pytest.mark.parametrize("lines", [files.META_2018, files.META_2023])
@pytest.mark.parametrize("bad", ['{"title": "cut sh', "{}", '["x"]', "{'asin': 'x', 'parent_asin': 'x', 'title': 'y'"])
def test_a_bad_line_of_metadata_stops_with_its_line_or_is_counted(lines, bad):
    edition = "2018" if lines is files.META_2018 else "2023"
    reviews(edition)
    write("meta.json", [lines[0], bad, *lines[1:]])
    refused(r"meta\.json, line 2: ", edition=edition, metadata=["meta.json"])
    summary = prepare(edition=edition, metadata=["meta.json"], skip_bad_lines=True)
    assert summary["bad lines"]["meta.json"].startswith("1 left out; the first, line 2: ")


def test_gzip_that_is_cut_short_is_an_error():
    reviews("2018", ".json.gz")
    path = Path("kitchen.json.gz")
    path.write_bytes(path.read_bytes()[:-20])
    refused(r"kitchen\.json\.gz ends in the middle", "food.json.gz", "kitchen.json.gz", skip_bad_lines=True)


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
        refused(
            rf"food\.{suffix}, line 1: .*--edition (2014 or )?{year}", f"food.{suffix}", f"kitchen.{suffix}",
            edition, skip_bad_lines=skip,
        )  # fmt: skip


@pytest.mark.parametrize("edition", ["2014", "2018", "2023"])
@pytest.mark.parametrize("year", ["2014", "2018", "2023"])
def test_metadata_of_another_edition_are_refused(edition, year):
    if year == edition:
        return
    reviews(edition)
    write("meta.json", {"2014": files.META_2014, "2018": files.META_2018, "2023": files.META_2023}[year])
    message = rf"meta\.json, line 1: .* --edition {year}, or a file of {edition}"
    refused(message, edition=edition, metadata=["meta.json"])


def test_reviews_and_metadata_given_for_one_another_are_refused():
    reviews("2018")
    write("meta.json", files.META_2018)
    refused(r"meta\.json, line 1: no 'reviewerID' but a 'title'.*--meta", "meta.json")
    write("more.json", [files.review_2018(KITCHEN[0])])
    refused(r"more\.json, line 1: a review, not metadata", metadata=["more.json"])


def test_absent_keys_and_columns_are_named_with_what_there_is():
    reviews("2018")
    write("food.json", [json.dumps({"reviewerID": ANN, "asin": TEA, "overall": 5.0})])
    refused(r"food\.json, line 1: no key 'unixReviewTime', only 'asin', 'overall', 'reviewerID'")
    write("food.csv", [f"{TEA},{ANN},5.0"])
    refused(r"food\.csv, line 1: 3 columns", "food.csv")
    header, *rows = files.ratings_2023(FOOD)
    write("food.csv", [header.replace("timestamp", "time"), *rows])
    refused(r"food\.csv, line 1: no column 'timestamp', only 'user_id'", "food.csv", edition="2023")
    write("meta.json", [json.dumps({"title": "Tea", "category": []})])
    reviews("2018")
    refused(r"meta\.json, line 1: no key 'asin', only 'category', 'title'", metadata=["meta.json"])


def test_domains_without_common_users_or_events_are_refused():
    reviews("2018")
    write("kitchen.json", [files.review_2018((DAN, POT, 1.0, 5))])
    write("food.json", [files.review_2018((ANN, TEA, 1.0, 1388534400))])
    refused("'food' and 'kitchen' have no common user: name files of one edition")
    refused("'kitchen' has no event of the time asked for", filters=Filters(start=date(2014, 1, 1)))
    reviews("2018")
    refused("nothing is left after the step 'items with 9 events or more'", filters=Filters(item_core=9))
    write("food.json", [""])
    refused("'food' has no event")


def test_metadata_of_one_domain_give_texts_to_that_domain_only():
    reviews("2018")
    write("meta.json", files.META_2018[:2])
    prepare(metadata=["meta.json"])
    assert Path("out/food/food.item").exists() and not Path("out/kitchen/kitchen.item").exists()


def test_metadata_of_other_items_are_refused():
    reviews("2018")
    write("meta.json", [files.META_2018[0].replace(TEA, "B00000NONE")])
    refused(r"meta\.json: metadata of none of the 5 items", metadata=["meta.json"])


def test_names_and_files_are_checked_before_anything_is_read():
    reviews("2018")
    refused("there is no edition '2020'", edition="2020")
    refused(r"food\.json is given twice", "food.json", "food.json")
    refused(r"none\.json does not exist", "none.json")
    with pytest.raises(UserError, match=r"'a/b', is to be the name of a folder: choose another, as in --source"):
        convert.prepare(Category("a/b", ()), Category("b", ()), "out", "pair", "2018")
    with pytest.raises(UserError, match="both domains are named 'a'"):
        convert.prepare(Category("a", ()), Category("A", ()), "out", "pair", "2018")


def test_files_of_former_data_are_not_left_beside_new_events():
    reviews("2018")
    write("meta.json", files.META_2018)
    prepare(metadata=["meta.json"])
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"food\.item is there from before .* its metadata with --meta, or remove it"):
        prepare()
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before
    prepare(metadata=["meta.json"])
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before


def test_a_pair_of_a_name_that_the_plugin_knows_must_have_its_domains():
    reviews("2018")
    food, kitchen = Category("food", (Path("food.json"),)), Category("kitchen", (Path("kitchen.json"),))
    convert.prepare(food, kitchen, "out", "amazon-food-kitchen", "2018")
    assert not Path("out/amazon-food-kitchen.yaml").exists()
    with pytest.raises(UserError, match=r"amazon-toys-games\.yaml, which would hold for yours"):
        convert.prepare(food, kitchen, "out", "amazon-toys-games", "2018")

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon import convert
from recbole_lecdsr.prepare.amazon.filters import Filters
from recbole_lecdsr.prepare.raw_domain import RawDomain
from recbole_lecdsr.prepare.summary import DomainCounts, JointCounts
from recbole_lecdsr.property_files import read_property_file
from tests.helpers import amazon_files as files
from tests.helpers.amazon_files import (
    ANN,
    BOB,
    CAT,
    DAN,
    FOOD_INTER,
    HEADER,
    KITCHEN,
    KITCHEN_INTER,
    OAT,
    PAN,
    POT,
    TEA,
    prepare,
    read,
    refuse,
    write,
    write_reviews,
)


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
@pytest.mark.parametrize("edition", ["2014", "2018", "2023"])
def test_reviews_of_every_edition_give_the_same_pair_in_the_order_of_their_lines(edition, suffix):
    write_reviews(edition, suffix)
    summary = prepare(f"food{suffix}", f"kitchen{suffix}", edition)
    assert read("food") == FOOD_INTER
    assert read("kitchen") == KITCHEN_INTER
    assert not Path("out/food/food.item").exists()
    assert read_property_file("out/pair.yaml") == {
        "source_domain": {"dataset": "food"}, "target_domain": {"dataset": "kitchen"},
    }  # fmt: skip
    assert summary.counts.domains == {
        "food": DomainCounts("source", users=4, items=3, items_with_text=0, unused_items=0, interactions=6),
        "kitchen": DomainCounts("target", users=3, items=3, items_with_text=0, unused_items=0, interactions=4),
    }
    assert summary.counts.both == JointCounts(users=4, common_users=3, common_items=1, interactions=10)
    assert summary.details == {"left after": {"all events": "4 users, 3 and 3 items, 6 and 4 events"}}
    assert summary.properties == Path("out/pair.yaml")


def test_dates_are_whole_days_in_utc():
    write_reviews("2018")
    filters = Filters(start=date(2014, 1, 1), end=date(2014, 6, 30))
    summary = prepare(filters=filters)
    assert DAN not in read("food") and read("food").count("\n") == 6
    assert read("kitchen") == HEADER + "".join(
        f"{user}\t{item}\t{rating:.0f}\t{time}\n" for user, item, rating, time in KITCHEN[:3]
    )
    assert summary.details["left after"] == {
        "events from 2014-01-01 up to 2014-06-30": "3 users, 3 and 3 items, 5 and 3 events"
    }


def test_dates_of_2023_are_compared_in_milliseconds():
    write_reviews("2023")
    prepare(edition="2023", filters=Filters(start=date(2014, 1, 1), end=date(2014, 6, 30)))
    assert read("kitchen").count("\n") == 4 and read("food").count("\n") == 6


def test_filters_are_applied_and_recorded():
    write_reviews("2018")
    filters = Filters(shared_items="remove", both_domains=True, duplicates="last")
    summary = prepare(filters=filters)
    assert read("food") == HEADER + (
        f"{BOB}\t{TEA}\t5\t1388620800\n{ANN}\t{TEA}\t2\t1391212800\n{CAT}\t{OAT}\t1\t1388534400\n"
    )
    assert read("kitchen").splitlines()[1:] == [
        f"{ANN}\t{PAN}\t5\t1388534400", f"{BOB}\t{POT}\t3\t1404086400", f"{CAT}\t{PAN}\t4\t1404172800",
    ]  # fmt: skip
    assert summary.details["left after"] == {
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


def test_metadata_of_one_domain_give_texts_to_that_domain_only():
    write_reviews("2018")
    write("meta.json", files.META_2018[:2])
    prepare(metadata=["meta.json"])
    assert Path("out/food/food.item").exists() and not Path("out/kitchen/kitchen.item").exists()


def test_names_and_files_are_checked_before_anything_is_read():
    write_reviews("2018")
    refuse("there is no edition '2020'", edition="2020")
    refuse(r"food\.json is given twice", "food.json", "food.json")
    refuse(r"none\.json does not exist", "none.json")
    with pytest.raises(UserError, match=r"'a/b', is to be the name of a folder: choose another, as in --source"):
        convert.prepare(RawDomain("a/b", ()), RawDomain("b", ()), "out", "pair", edition="2018")
    with pytest.raises(UserError, match="both domains are named 'a'"):
        convert.prepare(RawDomain("a", ()), RawDomain("A", ()), "out", "pair", edition="2018")


def test_item_files_of_an_earlier_preparation_are_not_left_with_new_interactions():
    write_reviews("2018")
    write("meta.json", files.META_2018)
    prepare(metadata=["meta.json"])
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    with pytest.raises(
        UserError, match=r"food\.item is from an earlier preparation.* the metadata with --meta, or remove it"
    ):
        prepare()
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before
    prepare(metadata=["meta.json"])
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before


def test_a_pair_with_the_name_of_shipped_data_must_have_their_domains():
    write_reviews("2018")
    food, kitchen = RawDomain("food", (Path("food.json"),)), RawDomain("kitchen", (Path("kitchen.json"),))
    convert.prepare(food, kitchen, "out", "amazon-food-kitchen", edition="2018")
    assert not Path("out/amazon-food-kitchen.yaml").exists()
    with pytest.raises(UserError, match=r"amazon-toys-games\.yaml, which would apply to yours"):
        convert.prepare(food, kitchen, "out", "amazon-toys-games", edition="2018")

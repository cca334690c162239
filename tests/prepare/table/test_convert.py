from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.summary import DomainCounts, JointCounts
from recbole_lecdsr.prepare.table import convert
from recbole_lecdsr.property_files import read_property_file
from tests.helpers.tables import TABLE, prepare, read, refuse, write_table


def test_a_table_becomes_a_pair_in_the_order_of_its_rows():
    summary = prepare()
    assert Path("out/food/food.inter").read_text(encoding="utf-8") == (
        "user_id:token\titem_id:token\ttimestamp:float\nu1\ta\t10\nu1\tb\t10\nu2\ta\t7\n"
    )
    assert read("home")["item_id:token"].tolist() == ["x", "y"]
    assert not Path("out/food/food.item").exists()
    assert summary.counts.domains == {
        "food": DomainCounts("source", users=2, items=2, items_with_text=0, unused_items=0, interactions=3),
        "home": DomainCounts("target", users=2, items=2, items_with_text=0, unused_items=0, interactions=2),
    }
    assert summary.counts.both == JointCounts(users=2, common_users=2, common_items=0, interactions=5)


def test_the_property_file_names_the_domains():
    prepare(source="home")
    text = Path("out/pair.yaml").read_text(encoding="utf-8")
    assert text.startswith("# The domains of pair")
    assert read_property_file("out/pair.yaml") == {
        "source_domain": {"dataset": "home"}, "target_domain": {"dataset": "food"},
    }  # fmt: skip


def test_domains_named_like_numbers_or_truth_values_stay_names():
    write_table(TABLE.replace("food", "no").replace("home", "1"))
    prepare()
    assert read_property_file("out/pair.yaml")["source_domain"] == {"dataset": "no"}
    assert read_property_file("out/pair.yaml")["target_domain"] == {"dataset": "1"}


def test_parameters_added_to_the_property_file_survive_a_second_preparation():
    prepare()
    with open("out/pair.yaml", "a", encoding="utf-8") as file:
        file.write("topk: [10]\n")
    prepare()
    assert read_property_file("out/pair.yaml")["topk"] == [10]
    with pytest.raises(UserError, match=r"pair\.yaml has 'food' as source .* not 'home' and 'food'"):
        prepare(source="home")


def test_an_item_of_both_domains_is_allowed_and_counted():
    write_table(TABLE + "u2,a,home,9\n")
    assert prepare().counts.both.common_items == 1


def test_item_files_of_an_earlier_preparation_are_not_left_with_new_interactions():
    prepare(items="items.tsv")
    before = Path("out/food/food.inter").read_bytes()
    write_table(TABLE + "u2,c,food,70\n")
    with pytest.raises(
        UserError, match=r"food\.item is from an earlier preparation.*give --items or --text, or remove it"
    ):
        prepare()
    assert Path("out/food/food.inter").read_bytes() == before


def test_one_column_for_two_purposes_is_an_error():
    refuse("need a column each", item="user_id")


@pytest.mark.parametrize("name", ["", "../pair", "a b\n"])
def test_a_pair_that_cannot_be_a_folder_is_refused(name):
    with pytest.raises(UserError, match="choose another --name"):
        convert.prepare(["events.csv"], "out", name)


def test_domains_without_a_common_user_are_an_error():
    write_table("user_id,item_id,domain,timestamp\nu1,a,food,1\nu2,b,home,2\n")
    refuse(r"'food' \(such as 'u1'\) and 'home' \(such as 'u2'\) have no common user: .* value of 'user_id' in both")


def test_a_write_that_fails_leaves_the_former_pair_whole(monkeypatch):
    prepare(items="items.tsv")
    before = {path: path.read_bytes() for path in Path("out").rglob("*.*")}
    write_table(TABLE.replace(",10\n", ",11\n"))
    write, calls = atomic_file.write_to, []

    def full(*args, **kwargs):
        calls.append(args)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        write(*args, **kwargs)

    monkeypatch.setattr(atomic_file, "write_to", full)
    with pytest.raises(UserError, match="No space left on device"):
        prepare(items="items.tsv")
    assert {path: path.read_bytes() for path in Path("out").rglob("*.*")} == before


def test_a_name_of_shipped_data_needs_their_domains():
    with pytest.raises(UserError, match=r"a property file for data named 'movielens'.*has 'action' as source.*--name"):
        convert.prepare(["events.csv"], "out", "movielens")
    assert not Path("out").exists()
    write_table(TABLE.replace("home", "kitchen"))
    summary = convert.prepare(["events.csv"], "out", "amazon-food-kitchen")
    assert summary.properties.parts[-3:] == ("properties", "dataset", "amazon-food-kitchen.yaml")
    assert not Path("out/amazon-food-kitchen.yaml").exists()
    assert prepare().properties == Path("out/pair.yaml")


def test_statistics_are_written_beside_the_data():
    summary = prepare()
    assert summary.statistics == Path("out/statistics.md")
    assert "| events | 3 | 2 | 5 |" in Path("out/statistics.md").read_text(encoding="utf-8")
    (warning,) = summary.warnings
    assert warning.startswith("1 of 1 (100.0%) test targets of the split LS: valid_and_test have the same time as")


@pytest.mark.skipif("AMAZON_FOOD_KITCHEN" not in os.environ, reason="AMAZON_FOOD_KITCHEN names no folder with the data")
def test_amazon_food_kitchen_has_the_counts_of_its_publication(tmp_path):
    place = Path(os.environ["AMAZON_FOOD_KITCHEN"])
    summary = convert.prepare(
        [place / "interactions.tsv"],
        tmp_path / "out",
        "amazon-food-kitchen",
        source="food",
        items={None: [place / "items.tsv"]},
    )
    assert summary.counts.both == JointCounts(users=7_144, common_users=7_144, common_items=0, interactions=173_548)
    assert [domain.items for domain in summary.counts.domains.values()] == [11_837, 16_258]
    values = json.loads((tmp_path / "out" / "statistics.json").read_text(encoding="utf-8"))
    assert values["events of a split"]["test"] == {"food": 2_419, "kitchen": 4_725}

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.raw_domain import RawDomain
from recbole_lecdsr.prepare.summary import PreparationSummary
from recbole_lecdsr.prepare.table import convert
from recbole_lecdsr.prepare.table.options import TableOptions
from recbole_lecdsr.property_files import read_property_file
from tests.helpers.tables import read, write_table

FOOD = "user_id,item_id,timestamp\nu1,a,10\nu1,b,10\nu2,a,7\n"
HOME = "user_id,item_id,timestamp\nu1,x,10\nu2,y,5\n"


@pytest.fixture(autouse=True)
def tables(work: Path) -> None:
    write_table(FOOD, "food.csv")
    write_table(HOME, "home.csv")


def domains(food: str = "food.csv", home: str = "home.csv") -> tuple[RawDomain, RawDomain]:
    return (
        RawDomain("food", tuple(map(Path, food.split()))),
        RawDomain("home", tuple(map(Path, home.split()))),
    )


def prepare(*files: str, items=None, **options) -> PreparationSummary:
    return convert.prepare_domains(*domains(*files), "out", "pair", items=items, options=TableOptions(**options))


def refuse(match: str, *files: str, **options) -> str:
    with pytest.raises(UserError, match=match) as caught:
        prepare(*files, **options)
    assert not Path("out").exists()
    return str(caught.value)


def files_of(folder: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_case_h1_two_tables_give_the_files_of_one_table_with_domains():
    summary = prepare()
    apart = files_of("out")
    shutil.rmtree("out")
    convert.prepare(["events.csv"], "out", "pair")
    assert files_of("out") == apart
    assert read("food").values.tolist() == [["u1", "a", "10"], ["u1", "b", "10"], ["u2", "a", "7"]]
    assert summary.details["columns"] == {
        "food.csv": "users 'user_id', items 'item_id', times 'timestamp'",
        "home.csv": "users 'user_id', items 'item_id', times 'timestamp'",
    }


def test_case_h1_the_pair_has_the_names_of_its_domains_by_default():
    convert.prepare_domains(*domains())
    assert Path("dataset/food-home/food/food.inter").exists()
    assert read_property_file("dataset/food-home/food-home.yaml") == {
        "source_domain": {"dataset": "food"}, "target_domain": {"dataset": "home"},
    }  # fmt: skip


def test_case_h1_files_may_differ_in_columns_format_and_separator():
    prepare()
    expected = files_of("out")
    pd.read_csv("home.csv").rename(columns={"user_id": "reviewerID", "item_id": "asin"}).to_parquet("home.parquet")
    prepare("food.csv", "home.parquet")
    assert files_of("out") == expected
    write_table(HOME.replace("user_id,item_id,timestamp", "uid,parent_asin,unixReviewTime").replace(",", ";"), "h.csv")
    summary = prepare("food.csv", "h.csv")
    assert files_of("out") == expected
    assert summary.details["columns"]["h.csv"] == (
        "cells separated by ';'; users 'uid', items 'parent_asin', times 'unixReviewTime'"
    )
    write_table(HOME.replace(",", "~"), "h.txt")
    write_table(FOOD.replace(",", "~"), "f.txt")
    prepare("f.txt", "h.txt", separator="~")
    assert files_of("out") == expected


def test_case_h1_several_files_of_a_domain_follow_one_another():
    write_table("user_id,item_id,timestamp\nu3,c,1\n", "more.csv")
    prepare("food.csv more.csv")
    assert read("food")["item_id:token"].tolist() == ["a", "b", "a", "c"]
    assert read("home")["item_id:token"].tolist() == ["x", "y"]


def test_case_h1_ratings_are_kept_between_item_and_time():
    for name, column, table in (("food.csv", "stars", FOOD), ("home.csv", "overall", HOME)):
        rows = table.splitlines()
        write_table("\n".join([f"{rows[0]},{column}", *(f"{row},4.5" for row in rows[1:])]) + "\n", name)
    summary = prepare()
    assert "rating:float" not in read("food")
    assert summary.details["columns"]["food.csv"].endswith(
        "not read: 'stars'; --rating stars keeps ratings, which prompts show"
    )
    prepare(rating="stars,overall")
    assert Path("out/home/home.inter").read_text(encoding="utf-8") == (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\tx\t4.5\t10\nu2\ty\t4.5\t5\n"
    )


def test_case_h1_a_rating_that_is_no_number_is_named_with_its_line():
    write_table("user_id,item_id,timestamp,stars\nu1,a,10,4\nu1,b,10,4\nu2,a,7,good\n", "food.csv")
    write_table("user_id,item_id,timestamp,stars\nu1,x,10,4\nu2,y,5,\n", "home.csv")
    refuse(r"food\.csv, line 4: stars 'good' is not a number \(and so in 1 more rows\); correct it, or leave out --rat",
           rating="stars")  # fmt: skip
    assert prepare(rating="stars", skip_bad_lines=True).skipped.count == 2
    assert len(read("food")) == 2


def test_case_h1_columns_that_are_not_recognised_are_named_at_once():
    write_table(FOOD.replace("user_id,item_id,timestamp", "who,what,when"), "food.csv")
    assert refuse("food.csv has") == (
        "food.csv has the columns 'who', 'what', 'when': name those of users, items and times with --user, --item and "
        "--time"
    )
    prepare(user="who,user_id", item="what,item_id", time="when,timestamp")


def test_case_h1_nothing_is_guessed_where_two_columns_may_be_meant():
    write_table("user,userId,asin,parent_asin,date\nu1,u1,a,a,2024-01-01\n", "food.csv")
    assert refuse("food.csv has") == (
        "food.csv has the columns 'user', 'userId', 'asin', 'parent_asin', 'date': that of users may be 'user' or "
        "'userId': choose with --user; that of items may be 'asin' or 'parent_asin': choose with --item"
    )


def test_case_h1_a_table_without_header_is_recognised():
    write_table("A1,B1,5.0,1388534400\nA2,B2,4.0,1388534401\n", "food.csv")
    assert refuse("food.csv has").endswith("The first line must name the columns; here it seems to hold values: add a "
                                           "line with names")  # fmt: skip


def test_case_h1_all_files_that_are_missing_are_named_at_once():
    message = refuse("do not exist", "food.csv nofood.csv", "nohome.csv", items={None: ["noitems.csv"]})
    assert message == "nofood.csv, nohome.csv, noitems.csv do not exist"
    refuse(r"food\.csv is given twice", "food.csv", "food.csv")


def test_case_h1_a_domain_without_interactions_is_refused():
    write_table("user_id,item_id,timestamp\n", "home.csv")
    refuse(r"food\.csv, home\.csv: no interactions of 'home' are left")


def test_case_h1_domains_that_cannot_be_two_folders_are_refused():
    with pytest.raises(UserError, match="both domains are named 'food'"):
        convert.prepare_domains(RawDomain("food", (Path("food.csv"),)), RawDomain("FOOD", (Path("home.csv"),)))
    with pytest.raises(UserError, match="the name of the domain of --target, 'a/b'"):
        convert.prepare_domains(RawDomain("food", (Path("food.csv"),)), RawDomain("a/b", (Path("home.csv"),)))


@pytest.mark.parametrize("separator", ["::", "é", '"', "\n"])
def test_case_h1_a_separator_is_one_character(separator):
    refuse(r"--sep .* is not possible: give one ASCII character", separator=separator)


def test_case_h1_a_separator_that_the_header_contradicts_is_refused():
    refuse(r"food\.csv, line 1: one column, 'user_id,.*separated by ',': leave out --sep", separator=";")
    write_table(HOME, "home.tsv")
    refuse(r"home\.tsv, line 1: one column, .*separated by ',': rename it to \.csv", "food.csv", "home.tsv")
    write_table(HOME, "home.dat")
    refuse(r"home\.dat has none of the suffixes .* or give the character between cells", "food.csv", "home.dat")


# ------------------------------------------------------------------ items


def test_case_h1_items_may_have_a_table_for_each_domain_and_another_name():
    write_table("sku,title\na,Tea\nb,\nnew,Oat\n", "f.csv")
    write_table("id;title;price\nx;Rack;3\ny;Pan;4\n", "h.csv")
    summary = prepare(items={"food": ["f.csv"], "home": ["h.csv"]})
    assert read("food", "item").values.tolist() == [["a", "Tea"], ["b", ""], ["new", "Oat"]]
    assert list(read("home", "item").columns) == ["item_id:token", "title:token", "price:token"]
    assert summary.details["columns"]["f.csv"] == "items 'sku', texts 'title'"
    assert summary.counts.domains["food"].unused_items == 1
    assert summary.next_commands[1].endswith("--data_path=. --user_text=history")


def test_case_h1_items_without_a_domain_are_of_those_that_have_interactions_with_them():
    write_table("product,title\na,Tea\nx,Rack\nzz,Nobody's\n", "all.csv")
    prepare(items={None: ["all.csv"]})
    assert read("food", "item").values.tolist() == [["a", "Tea"]]
    assert read("home", "item").values.tolist() == [["x", "Rack"]]


def test_case_h1_a_table_may_hold_the_items_of_both_domains_or_interactions_and_texts():
    write_table("item_id,title\na,Tea\nx,Rack\n", "all.csv")
    prepare(items={"food": ["all.csv"], "home": ["all.csv"]})
    assert read("food", "item")["item_id:token"].tolist() == ["a", "x"]
    write_table("user_id,item_id,timestamp,title\nu1,a,10,Tea\nu2,a,11,Tea\n", "food.csv")
    prepare(items={"food": ["food.csv"], "home": ["all.csv"]}, text=["title"])
    assert read("food", "item").values.tolist() == [["a", "Tea"]]


def test_case_h1_a_column_of_items_that_is_another_one_is_refused():
    write_table("item_id,ean,title\n1,a,Tea\n2,b,Oat\n", "f.csv")
    refuse(r"f\.csv: no row of 'food' is of an item that has interactions \(column 'item_id' holds '1', those of the "
           r"interactions hold 'a'\): name another column with --items_id", items={"food": ["f.csv"]})  # fmt: skip
    refuse(r"f\.csv: no row is of an item that has interactions", items={None: ["f.csv"]})
    prepare(items={"food": ["f.csv"]}, items_id="ean", text=["title"])
    assert read("food", "item").values.tolist() == [["a", "Tea"], ["b", "Oat"]]


def test_case_h1_items_of_a_domain_that_is_none_of_the_two_are_refused():
    write_table("item_id,title\na,Tea\n", "f.csv")
    refuse("--items foods=f.csv: the domains are 'food' and 'home': name one", items={"foods": ["f.csv"]})
    write_table("code,title\na,Tea\n", "f.csv")
    refuse(r"f\.csv has the columns 'code', 'title': none is recognised as that of the items: name it with --items_id",
           items={"food": ["f.csv"]})  # fmt: skip


def test_case_h1_texts_with_other_names_are_named_in_the_property_file():
    write_table("item_id,name\na,Tea\n", "f.csv")
    write_table("item_id,name,title\nx,Rack,A rack\n", "h.csv")
    prepare(items={"food": ["f.csv"], "home": ["h.csv"]})
    assert read_property_file("out/pair.yaml")["item_text"] == ["name", "title"]
    assert read_property_file("out/pair.yaml")["llm"] == {"event_text": ["name", "title"]}
    Path("out/pair.yaml").write_text("source_domain: {dataset: food}\ntarget_domain: {dataset: home}\n")
    summary = prepare(items={"food": ["f.csv"], "home": ["h.csv"]})
    assert summary.next_commands == (
        "mv out pair",
        "python run_lecdsr.py embed --dataset pair --data_path=. '--item_text=[name,title]' --user_text=history",
        "python run_lecdsr.py --dataset pair --data_path=.",
    )

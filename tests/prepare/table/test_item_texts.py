from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from recbole_lecdsr.errors import UserError
from tests.helpers.tables import ITEMS, prepare, read, refuse, write_table


def test_items_become_item_files_with_their_texts():
    summary = prepare(items="items.tsv")
    assert Path("out/food/food.item").read_text(encoding="utf-8") == (
        'item_id:token\ttitle:token\tbrand:token\na\t12" pan\tAcme\nb\t\t\n'
    )
    assert [domain.items_with_text for domain in summary.counts.domains.values()] == [1, 1]
    assert summary.counts.domains["home"].items == 2  # y has no row in the table of items


def test_text_columns_can_be_chosen():
    prepare(items="items.tsv", text=["brand"])
    assert list(read("food", "item").columns) == ["item_id:token", "brand:token"]


def test_texts_are_put_on_one_line_and_never_start_a_quoted_cell():
    title = '" Tab\there,\r\n\x00 break\u2028and   blanks "'
    pd.DataFrame({"item_id": ["a", "b"], "domain": "food", "title": [title, None]}).to_parquet("items.parquet")
    prepare(items="items.parquet")
    assert read("food", "item")["title:token"].tolist() == [' " Tab here, break and blanks "', ""]
    as_recbole = pd.read_csv("out/food/food.item", delimiter="\t", dtype=str, engine="python")
    assert as_recbole["title:token"].tolist()[0] == ' " Tab here, break and blanks "'


def test_an_item_given_twice_must_have_the_same_texts():
    write_table(ITEMS + 'a\tfood\t12"  pan\tAcme\na\thome\tOther\t\n', "items.tsv")
    prepare(items="items.tsv")  # equal once blanks are, and in another domain it is another row
    assert len(read("food", "item")) == 2
    with open("items.tsv", "a", encoding="utf-8") as file:
        file.write("b\tfood\tBread\t\n")
    with pytest.raises(UserError, match=r"items\.tsv, line 7: the item 'b' of 'food' has other .* items\.tsv, line 3;"):
        prepare(items="items.tsv")


def test_items_of_other_domains_are_left_out():
    write_table(ITEMS + "z\ttoys\tBall\t\n", "items.tsv")
    prepare(items="items.tsv")
    assert len(read("food", "item")) + len(read("home", "item")) == 3
    Path("out/pair.yaml").unlink()
    write_table(ITEMS.replace("food", "Food").replace("home", "Home"), "items.tsv")
    with pytest.raises(UserError, match="holds 'Food', 'Home', but neither 'food' nor 'home'"):
        prepare(items="items.tsv")


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        ("item_id\tdomain\na\tfood\n", {}, "no column of text"),
        ("item_id\tdomain\ttitle\n", {}, "no items, only a header"),
        ("item_id\tdomain\ta:b\na\tfood\tx\n", {}, "column 'a:b' cannot be a text"),
        (f"item_id\tdomain\t{'x' * 200}\na\tfood\tx\n", {}, "column 'xxxxxxxxxxxxxxxxxxxx'… has a name of 200 char"),
        ("\titem_id\tdomain\ttitle\n0\ta\tfood\tx\n", {}, "column '' cannot be a text"),
        ("item_id\tdomain\ttitle\n\tfood\tx\n", {}, "line 2: item_id is empty"),
        (ITEMS, {"text": ["titel"]}, "no column 'titel', only .*did you mean 'title'"),
    ],
)
def test_tables_of_items_that_are_wrong_are_errors(content, options, match):
    write_table(content, "items.tsv")
    refuse(match, items="items.tsv", **options)


def test_text_columns_that_no_table_has_are_an_error():
    refuse("no column 'title', .*or give a table of items with --items", text=["title"])


def test_texts_may_be_columns_of_the_interactions():
    write_table(
        "user_id,item_id,domain,timestamp,title,brand\nu1,a,food,10,,Acme\nu1,x,home,10,Rack,\nu2,a,food,7,Apple,Other\n"
        "u2,b,food,8,,\n"
    )
    summary = prepare(text=["title", "brand"])
    assert Path("out/food/food.item").read_text(encoding="utf-8") == (
        "item_id:token\ttitle:token\tbrand:token\na\tApple\tAcme\nb\t\t\n"
    )
    assert read("home", "item").values.tolist() == [["x", "Rack", ""]]
    assert summary.counts.domains["food"].items_with_text == 1

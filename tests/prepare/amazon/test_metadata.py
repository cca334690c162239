from __future__ import annotations

import pandas as pd
import pytest

from tests.helpers import amazon_files as files
from tests.helpers.amazon_files import (
    BOTH,
    OAT,
    PAN,
    TEA,
    prepare,
    read,
    refuse,
    write,
    write_reviews,
)


def test_metadata_of_2014_gives_the_texts_of_the_items_that_are_kept():
    write_reviews("2014")
    write("meta.json.gz", files.META_2014)
    summary = prepare(edition="2014", metadata=["meta.json.gz"])
    header = "item_id:token\ttitle:token\tcategories:token\tbrand:token\tdescription:token\n"
    both = f"{BOTH}\tIn both\t\t\t\n"
    assert read("food", "item") == header + (
        f"{TEA}\tTea & Co's\tGrocery & Gourmet Food; Tea; Gifts, & More\tTwine ings\tCook's \"best\" tea in a tin\n"
        f"{OAT}\t\tGrocery & Gourmet Food\t\t\n"
    ) + both  # fmt: skip
    assert read("kitchen", "item") == header + f'{PAN}\t "Iron" pan\tHome & Kitchen\t\t\n' + both
    assert summary.counts.domains["kitchen"].items_with_text == 2
    assert summary.counts.domains["kitchen"].items == 3


def test_metadata_of_2018_has_lists_second_lines_and_scripts_for_titles():
    write_reviews("2018")
    write("meta.json", files.META_2018)
    prepare(metadata=["meta.json"])
    table = pd.read_csv("out/food/food.item", sep="\t", keep_default_na=False, index_col=0)
    assert table.loc[TEA].tolist() == ["Tea & Co", "Grocery & Gourmet Food; Tea", "Twinings", "Best tea ever"]
    assert table.loc[OAT].tolist() == ["", "", "", ""]
    assert read("kitchen", "item").splitlines()[1:] == [f"{PAN}\tPan\tHome\t\t"]


def test_metadata_of_2023_names_parents_and_stores():
    write_reviews("2023")
    write("meta.jsonl.gz", files.META_2023)
    prepare(edition="2023", metadata=["meta.jsonl.gz"])
    assert read("food", "item").splitlines()[1:] == [f"{TEA}\tTea\tGrocery; Tea\tTwinings\tBest tea"]
    assert read("kitchen", "item").splitlines()[1:] == [f"{PAN}\t\t\t\t"]


@pytest.mark.parametrize("lines", [files.META_2018, files.META_2023])
@pytest.mark.parametrize("bad", ['{"title": "cut sh', "{}", '["x"]', "{'asin': 'x', 'parent_asin': 'x', 'title': 'y'"])
def test_a_bad_line_of_metadata_stops_with_its_line_or_is_counted(lines, bad):
    edition = "2018" if lines is files.META_2018 else "2023"
    write_reviews(edition)
    write("meta.json", [lines[0], bad, *lines[1:]])
    refuse(r"meta\.json, line 2: ", edition=edition, metadata=["meta.json"])
    summary = prepare(edition=edition, metadata=["meta.json"], skip_bad_lines=True)
    assert summary.details["bad lines"]["meta.json"].startswith("1 left out; the first, line 2: ")


def test_metadata_of_other_items_are_refused():
    write_reviews("2018")
    write("meta.json", [files.META_2018[0].replace(TEA, "B00000NONE")])
    refuse(r"meta\.json: metadata of none of the 5 items", metadata=["meta.json"])

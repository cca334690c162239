from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import amazon_files as files
from tests.helpers.amazon_files import (
    FOOD,
    TEA,
    prepare,
    read,
    refuse,
    write,
    write_reviews,
)


@pytest.mark.parametrize("place", ["review", "meta"])
def test_code_in_a_literal_is_a_bad_line_and_is_not_executed(place):
    write_reviews("2014")
    write("meta.json", files.META_2014)
    attack = "__import__('pathlib').Path('attacked').touch()"
    if place == "review":
        write("food.json", [*map(files.review_2014, FOOD), attack])
        refuse(r"food\.json, line 7: neither JSON nor a plain Python literal", edition="2014")
    else:
        lines = [attack, f"{{'asin': '{TEA}', 'title': {attack}}}", f"{{'asin': {attack}}}", *files.META_2014]
        write("meta.json", lines)
        refuse(r"meta\.json, line 1: neither JSON", edition="2014", metadata=["meta.json"])
        summary = prepare(edition="2014", metadata=["meta.json"], skip_bad_lines=True)
        assert summary.details["bad lines"] == {
            "meta.json": "3 left out; the first, line 1: neither JSON nor a plain Python literal"
        }
        assert f"{TEA}\tTea & Co's" in read("food", "item")
    assert not Path("attacked").exists()

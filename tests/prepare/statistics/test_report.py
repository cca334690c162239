from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from recbole_lecdsr.prepare.atomic_pair import ITEM, TIME, USER
from recbole_lecdsr.prepare.statistics.report import measure, write_statistics

DAY = 86_400


def frame(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[USER, ITEM, TIME])


INTER = {
    "food": frame(("u1", "a", 1_400_000_000), ("u1", "b", 1_400_000_000 + DAY), ("u2", "a", 1_400_000_000)),
    "home": frame(("u1", "x", 1_400_000_000 + DAY), ("u1", "a", 1_400_000_000 + 2 * DAY), ("u3", "x", 1_500_000_000)),
}
ITEMS = {
    "food": pd.DataFrame({ITEM: ["a", "b", "c"], "title:token": ["Apple", "", ""], "year:token": ["", "", "1999"]})
}


def test_the_values_of_a_small_pair():
    values = measure("pair", INTER, ITEMS).values
    assert values["domains"]["food"] == {
        "role": "source", "users": 2, "items": 3, "items without events": 1, "events": 3, "density": 0.5,
        "items with text": round(2 / 3, 4), "events of items with text": round(2 / 3, 4),
        "events of a user": {
            "min": 1.0, "5 %": 1.05, "25 %": 1.25, "median": 1.5, "75 %": 1.75, "95 %": 1.95, "max": 2.0, "mean": 1.5,
        },
    }  # fmt: skip
    assert values["domains"]["home"]["items with text"] == 0.0
    both = values["both"]
    assert (both["users"], both["users of both domains"], both["items"], both["items of both domains"]) == (3, 1, 4, 1)
    assert both["density"] == 0.5
    assert values["time"] == {"first": "2014-05-13 16:53:20", "last": "2017-07-14 02:40:00"}
    assert values["events of a split"] == {
        "train": {"food": 3, "home": 1}, "valid": {"food": 0, "home": 1}, "test": {"food": 0, "home": 1}
    }  # fmt: skip


def test_warnings_say_how_many_of_how_many():
    found = measure("pair", INTER, ITEMS)
    assert (
        found.warnings
        == found.values["warnings"]
        == [
            "1 of 1 (100.0%) validation targets of the split LS: valid_and_test have the time of the event before them: "
            "which is the target was decided by domain and row, not by time.",
            "1 of 1 (100.0%) test targets of the split LS: valid_and_test stand in the events before them too: a model "
            "can find them by repeating.",
        ]
    )
    calm = {"food": frame(("u1", "a", 1.0), ("u1", "b", 2.0)), "home": frame(("u1", "x", 3.0), ("u1", "y", 4.0))}
    assert measure("pair", calm, {}).warnings == []


def test_ready_made_splits_are_named_and_checked():
    split = {"food": np.array([0, 0, 1]), "home": np.array([0, 2, 2])}
    inter = {**INTER, "food": frame(("u1", "a", 5.0), ("u2", "a", 5.0), ("u1", "a", 5.0))}
    found = measure("pair", inter, {}, split)
    assert found.values["split"] == "ready-made"
    assert found.values["events of a split"]["test"] == {"food": 0, "home": 2}
    assert any(line.startswith("1 of 1 (100.0%) validation targets also stand in training") for line in found.warnings)


def test_files_are_written_and_the_markdown_shows_the_picture(tmp_path):
    write_statistics(tmp_path, "pair <&>", INTER, ITEMS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["statistics.json", "statistics.md", "statistics.svg"]
    text = (tmp_path / "statistics.md").read_text(encoding="utf-8")
    assert text.startswith("# pair <&>\n")
    assert "| events | 3 | 3 | 6 |" in text
    assert "| items | 3 | 2 | 4 |" in text
    assert "- 1 of 1 (100.0%) test targets" in text
    assert "(statistics.svg)" in text
    assert json.loads((tmp_path / "statistics.json").read_text(encoding="utf-8"))["both"]["events"] == 6


def test_the_picture_is_well_formed_and_its_bars_add_up():
    picture = ElementTree.fromstring(measure("a <b> & c", INTER, ITEMS).files["statistics.svg"])
    space = "{http://www.w3.org/2000/svg}"
    assert picture.find(f"{space}title").text == "a <b> & c"
    lengths, times = picture.findall(f"{space}g")
    tips = [bar.text for bar in lengths.iter(f"{space}title")]
    assert tips == ["both domains, 1: 2", "both domains, 4: 1"]
    events = [int(bar.text.rpartition(" ")[2]) for bar in times.iter(f"{space}title")]
    assert sum(events) == 6

from __future__ import annotations

from recbole_lecdsr.prepare.statistics.json_document import to_document
from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from tests.helpers.interactions import INTER, ITEMS


def test_the_values_of_a_small_pair():
    values = to_document(measure_pair("pair", INTER, ITEMS))
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

from __future__ import annotations

import numpy as np

from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from tests.helpers.interactions import INTER, ITEMS, frame


def test_warnings_say_how_many_of_how_many():
    assert measure_pair("pair", INTER, ITEMS).warnings == (
        "1 of 1 (100.0%) validation targets of the split LS: valid_and_test have the same time as the interaction "
        "before them: domain and row, not time, decided which of the two is the target.",
        "1 of 1 (100.0%) test targets of the split LS: valid_and_test repeat an item of the interactions before them: "
        "a model can find them by repeating past items.",
    )
    calm = {"food": frame(("u1", "a", 1.0), ("u1", "b", 2.0)), "home": frame(("u1", "x", 3.0), ("u1", "y", 4.0))}
    assert measure_pair("pair", calm, {}).warnings == ()


def test_ready_made_splits_are_named_and_checked():
    split = {"food": np.array([0, 0, 1]), "home": np.array([0, 2, 2])}
    inter = {**INTER, "food": frame(("u1", "a", 5.0), ("u2", "a", 5.0), ("u1", "a", 5.0))}
    found = measure_pair("pair", inter, {}, split=split)
    assert found.split == "ready-made"
    assert found.split_sizes["test"] == {"food": 0, "home": 2}
    assert any(line.startswith("1 of 1 (100.0%) validation targets are also in training") for line in found.warnings)

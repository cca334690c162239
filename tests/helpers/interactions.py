"""Interactions in numbers for the tests of the statistics, and a small pair as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recbole_lecdsr.prepare.atomic_pair import ITEM, TIME, USER
from recbole_lecdsr.prepare.statistics.interactions import Interactions

DAY = 86_400


def number_rows(
    *rows: tuple[int, int, int, float],
    split: Sequence[int] | None = None,
    windows: Sequence[Sequence[int]] | None = None,
) -> Interactions:
    """Rows of (user, item, domain, time), with ready-made splits and precomputed windows of items."""
    user, item, domain, time = (np.array(column) for column in zip(*rows, strict=True))
    return Interactions(
        user,
        item,
        domain,
        time.astype(float),
        ready_made_split=None if split is None else np.array(split),
        window_length=None if windows is None else np.array([len(window) for window in windows]),
        window_item=None if windows is None else np.array([item for window in windows for item in window], dtype=int),
    )


def frame(*rows: tuple[str, str, float]) -> pd.DataFrame:
    """An ``.inter`` table of (user, item, time)."""
    return pd.DataFrame(rows, columns=[USER, ITEM, TIME])


INTER = {
    "food": frame(("u1", "a", 1_400_000_000), ("u1", "b", 1_400_000_000 + DAY), ("u2", "a", 1_400_000_000)),
    "home": frame(("u1", "x", 1_400_000_000 + DAY), ("u1", "a", 1_400_000_000 + 2 * DAY), ("u3", "x", 1_500_000_000)),
}
ITEMS = {
    "food": pd.DataFrame({ITEM: ["a", "b", "c"], "title:token": ["Apple", "", ""], "year:token": ["", "", "1999"]})
}

"""Rows of interactions in words, for the tests of the filters of `prepare amazon`."""

from __future__ import annotations

import numpy as np


def arrays(rows: str) -> dict[str, np.ndarray]:
    """Arrays of interactions such as ``u0 a1 5``: user 0, item 1 of the source (b: of the target), at time 5."""
    parsed = sorted((row.split() for row in rows.split(",")), key=lambda row: row[1][0])  # stable
    return {
        "user": np.array([int(user[1:]) for user, _, _ in parsed]),
        "item": np.array([int(item[1:]) for _, item, _ in parsed]),
        "domain": np.array([int(item[0] == "b") for _, item, _ in parsed], np.int8),
        "time": np.array([int(time) for _, _, time in parsed]),
    }

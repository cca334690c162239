"""Event logs of a few interactions, written out in a test."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recbole_lecdsr.data.event_log import EventLog, build_event_log


def make_log(
    *rows: tuple[int, int, int, float], split: Mapping[str, object] | None = None, ready: np.ndarray | None = None
) -> EventLog:
    """The log of rows of user, item, domain and time, with leave-one-out splits where none are given."""
    user, item, domain, time = (np.array(column) for column in zip(*rows, strict=True))
    return build_event_log(user, item, domain, time, split=split or {"LS": "valid_and_test"}, ready_split=ready)

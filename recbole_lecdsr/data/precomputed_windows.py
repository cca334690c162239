"""Windows that the data give: RecBole's column ``item_id_list`` of ready-made splits (docs/protocol.md, 4).

Where somebody else has made the split, the history of a row is what its file says, not what the other rows of the user
add up to. Each row becomes a sequence of its own in the event log: the interactions of its window, then its target.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.constants import CONTEXT, SOURCE
from recbole_lecdsr.data.event_log import EventLog, sort_interactions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrecomputedWindows:
    """The windows of the R rows of a domain's files, oldest interaction first.

    Attributes:
        length: (R,) int64, interactions in the window of each row.
        code: (sum of length,) int64, indices of the windows' items in ``tokens``, row after row.
        tokens: (T,) str objects, the distinct items.

    Raises:
        ValueError: ``length`` and ``code`` do not fit.
    """

    length: np.ndarray
    code: np.ndarray
    tokens: np.ndarray

    def __post_init__(self) -> None:
        if self.length.sum() != len(self.code):
            raise ValueError(f"windows of {self.length.sum()} interactions, but {len(self.code)} items")

    @classmethod
    def parse(cls, texts: Sequence[str], separator: str = " ") -> PrecomputedWindows:
        """Windows from cells of a file, one for each row.

        Args:
            texts: (R,) cells; an empty one is an empty window.
            separator: what separates the items of a cell.

        Example:
            >>> PrecomputedWindows.parse(["b a", "", "b"]).length.tolist()
            [2, 0, 1]
        """
        column = pa.array(np.asarray(texts, dtype=object), pa.large_string())
        # As RecBole reads sequences: separators at the ends and doubled ones make no empty items.
        cells = pc.split_pattern(pc.utf8_trim(column, separator), separator)
        flat, row = pc.list_flatten(cells), pc.list_parent_indices(cells).to_numpy()
        real = pc.not_equal(flat, "")
        flat, row = flat.filter(real).dictionary_encode(), row[real.to_numpy(zero_copy_only=False)]
        return cls(
            np.bincount(row, minlength=len(column)).astype(np.int64),
            flat.indices.to_numpy().astype(np.int64),
            flat.dictionary.to_numpy(zero_copy_only=False),
        )

    @property
    def start(self) -> np.ndarray:
        """(R,) int64, where the window of each row starts in ``code``."""
        return np.cumsum(self.length) - self.length

    def keep(self, rows: np.ndarray) -> PrecomputedWindows:
        """The windows of some rows, given as an (R,) bool mask."""
        rows = np.asarray(rows, dtype=bool)
        return PrecomputedWindows(self.length[rows], self.code[np.repeat(rows, self.length)], self.tokens)

    def lookup(self, own_ids: Mapping[str, int], other_ids: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
        """Ids and domains of the windows' items.

        Args:
            own_ids: token -> id of the items of the rows' own domain. An item of both domains counts as one of these.
            other_ids: the same for the other domain.

        Returns:
            (sum of length,) int64 ids, -1 for an item of neither domain, and (sum of length,) bool: whether the item is
            of the rows' own domain.

        Example:
            >>> ids, is_own = PrecomputedWindows.parse(["a x"]).lookup({"a": 1}, {"a": 1, "x": 2})
            >>> ids.tolist(), is_own.tolist()
            ([1, 2], [True, False])
        """
        ids = np.array([own_ids.get(token, other_ids.get(token, -1)) for token in self.tokens], dtype=np.int64)
        is_own = np.array([token in own_ids for token in self.tokens], dtype=bool)
        return ids[self.code], is_own[self.code]


def event_log_from_windows(
    *,
    user: np.ndarray,
    item: np.ndarray,
    domain: np.ndarray,
    time: np.ndarray,
    split: np.ndarray,
    length: np.ndarray,
    window_item: np.ndarray,
    window_domain: np.ndarray,
) -> EventLog:
    """Build an event log in which each row is a sequence of its own: its window, then its target.

    Args:
        user, item, domain, time, split: (R,) the rows, those of each domain in the order of its file.
        length: (R,) int, interactions in the window of each row.
        window_item, window_domain: (sum of length,) int, the windows, row after row.

    Returns:
        A log of R + sum of length interactions. The sequences are ordered by user, split, time, domain and row. Targets
        have their split, the interactions of the windows `CONTEXT`.
    """
    order = sort_interactions(user, time, domain, split)
    n_earlier = np.empty(len(order), dtype=np.int64)
    n_earlier[order] = np.minimum(length[order], _count_earlier_rows(user[order], split[order], time[order]))
    size = length[order] + 1
    end = np.cumsum(size)
    first = np.repeat(end - size, size)
    index = np.arange(end[-1] if len(end) else 0) - first
    row = np.repeat(order, size)
    is_target = index == length[row]
    window = ((np.cumsum(length) - length)[row] + index)[~is_target]

    def merge(of_rows: np.ndarray, of_windows: np.ndarray | int, dtype: type) -> np.ndarray:
        values: np.ndarray = np.empty(len(row), dtype=dtype)
        values[is_target] = of_rows[order]
        values[~is_target] = of_windows
        return values

    domains = merge(domain, window_domain[window], np.int8)
    is_source = domains == SOURCE
    before = np.cumsum(is_source) - is_source
    return EventLog(
        user=user[row].astype(np.int32),
        item=merge(item, window_item[window], np.int32),
        domain=domains,
        split=merge(split, CONTEXT, np.int8),
        first=first,
        source_before=(before - before[first]).astype(np.int32),
        n_earlier=merge(n_earlier, 0, np.int32),
        time=np.zeros(len(row)),
        relative_time=np.ones(len(row), dtype=np.float32),
    )


def _count_earlier_rows(user: np.ndarray, split: np.ndarray, time: np.ndarray) -> np.ndarray:
    """(R,) int64, how many rows of each row's user are of an earlier split, or of the same one and an earlier time.

    Rows of one time count for none of them: which is first in the window of another need not be first in the files.

    Args:
        user, split, time: (R,) the rows, in this order.
    """
    new_user = user[1:] != user[:-1]
    new_moment = new_user | (split[1:] != split[:-1]) | (time[1:] != time[:-1])
    first_of_user, first_of_moment = (
        np.maximum.accumulate(np.arange(len(user)) * np.r_[True, new][: len(user)]) for new in (new_user, new_moment)
    )
    earlier: np.ndarray = first_of_moment - first_of_user
    return earlier


def warn_of_fusion_without_times(user: np.ndarray, time: np.ndarray) -> None:
    """Warn of what score fusion lacks with precomputed windows (docs/models.md, 7).

    Args:
        user, time: (T,) of the training rows.
    """
    tied = int(pd.DataFrame({"user": user, "time": time}).duplicated(keep=False).sum())
    calibration = (
        f"; and {tied} of {len(user)} training rows have the same time as another row of their user, so the samples "
        "withheld for calibration need not be the newest"
        if tied
        else ""
    )
    logger.warning(
        "score_fusion: the interactions of precomputed windows have no times, so the counts of recent interactions are "
        "counts of all training interactions%s: compare with score_fusion: False",
        calibration,
    )

"""Windows that the data give: RecBole's ``item_id_list`` column of ready-made splits, as sequences of the event log.

Where a split has been made by others, the history of a row is what its file says, and not what the other rows of the
user would make of it. Each row is then a sequence of its own: the events of its window, and then its target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.constants import CONTEXT, SOURCE
from recbole_lecdsr.data.event_log import EventLog, sort_events


@dataclass(frozen=True)
class PrecomputedWindows:
    """The windows of the rows of a domain's files, oldest event first.

    Attributes:
        length: (R,) int64, events in the window of each row.
        code: (sum of length,) int64, places of the windows' items in ``tokens``, row after row.
        tokens: (T,) str, the distinct items.
    """

    length: np.ndarray
    code: np.ndarray
    tokens: np.ndarray

    def __post_init__(self) -> None:
        if self.length.sum() != len(self.code):
            raise ValueError(f"windows of {self.length.sum()} events, but {len(self.code)} items")

    @classmethod
    def parse(cls, texts: Sequence[str], separator: str = " ") -> PrecomputedWindows:
        """Windows from cells in which items are separated; an empty cell is an empty window.

        Example:
            >>> PrecomputedWindows.parse(["b a", "", "b"]).length.tolist()
            [2, 0, 1]
        """
        column = pa.array(np.asarray(texts, dtype=object), pa.large_string())
        # No empty pieces, as RecBole reads sequences: blanks at the ends and doubled ones separate nothing.
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
        """(R,) int64, where each row's window starts in ``code``."""
        return np.cumsum(self.length) - self.length

    def keep(self, rows: np.ndarray) -> PrecomputedWindows:
        """The windows of the rows of an (R,) bool mask."""
        rows = np.asarray(rows, dtype=bool)
        return PrecomputedWindows(self.length[rows], self.code[np.repeat(rows, self.length)], self.tokens)

    def lookup(self, own: Mapping[str, int], other: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
        """Ids and whether they are of the rows' own domain, each (sum of length,); id -1 for an unknown item.

        Args:
            own: token -> id of the items of the rows' domain, which an item of both counts for.
            other: of the other domain.
        """
        ids = np.array([own.get(token, other.get(token, -1)) for token in self.tokens], dtype=np.int64)
        is_own = np.array([token in own for token in self.tokens], dtype=bool)
        return ids[self.code], is_own[self.code]


def event_log_from_windows(
    user: np.ndarray,
    item: np.ndarray,
    domain: np.ndarray,
    time: np.ndarray,
    split: np.ndarray,
    length: np.ndarray,
    window_item: np.ndarray,
    window_domain: np.ndarray,
) -> EventLog:
    """An event log in which each row is a sequence of its own: its window, then its target.

    Args:
        user, item, domain, time, split: (R,) the rows, those of each domain in the order of its file.
        length: (R,) int, events in each row's window.
        window_item, window_domain: (sum of length,) the windows, row after row.

    Returns:
        A log of R + sum of length events, ordered by user, split, time, domain and row. Only the targets have a split;
        the events of the windows have `CONTEXT`.
    """
    order = sort_events(user, time, domain, split)
    size = length[order] + 1
    end = np.cumsum(size)
    first = np.repeat(end - size, size)
    place = np.arange(end[-1] if len(end) else 0) - first
    row = np.repeat(order, size)
    is_target = place == length[row]
    window = ((np.cumsum(length) - length)[row] + place)[~is_target]

    def filled(of_rows: np.ndarray, of_windows: np.ndarray | int, dtype: type) -> np.ndarray:
        values = np.empty(len(row), dtype=dtype)
        values[is_target] = of_rows[order]
        values[~is_target] = of_windows
        return values

    domains = filled(domain, window_domain[window], np.int8)
    is_source = domains == SOURCE
    before = np.cumsum(is_source) - is_source
    return EventLog(
        user=user[row].astype(np.int32),
        item=filled(item, window_item[window], np.int32),
        domain=domains,
        split=filled(split, CONTEXT, np.int8),
        first=first,
        source_before=(before - before[first]).astype(np.int32),
        time=np.zeros(len(row)),
    )

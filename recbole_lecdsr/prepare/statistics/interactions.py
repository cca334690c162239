"""The interactions of a prepared pair as arrays: the order of each user's mixed sequence, the split of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from recbole_lecdsr.data.splitting import BY_USER, split_labels

DEFAULT_SPLIT_RULE: Mapping[str, object] = {"LS": "valid_and_test"}


@dataclass(frozen=True)
class Interactions:
    """Interactions of both domains; those of a domain in the order of its file.

    Attributes:
        user: (N,) int, dense from 0.
        item: (N,) int, dense from 0; an item that is in both domains has one number.
        domain: (N,) int, 0 source, 1 target.
        time: (N,) float.
        ready_made_split: (N,) int, 0 train, 1 valid, 2 test; None if `split_rule` makes the splits.
        split_rule: RecBole's ``eval_args.split``, and its ``group_by`` where that is not ``user``.
        window_length: (N,) int, items in the precomputed window of each row; None if there are no such windows.
        window_item: (sum of window_length,) int, the windows' items, row after row. Items that are in windows only have
            numbers above those of ``item``.
    """

    user: np.ndarray
    item: np.ndarray
    domain: np.ndarray
    time: np.ndarray
    ready_made_split: np.ndarray | None = None
    split_rule: Mapping[str, object] = field(default_factory=lambda: DEFAULT_SPLIT_RULE)
    window_length: np.ndarray | None = None
    window_item: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def order(self) -> np.ndarray:
        """(N,) int64, rows in the order of the mixed sequences: by user, time, source before target, row.

        Ready-made splits come before the time.
        """
        split = () if self.ready_made_split is None else (self.ready_made_split,)
        return np.lexsort((self.domain, self.time, *split, self.user))

    @cached_property
    def split(self) -> np.ndarray:
        """(N,) int8, the split of each row: the ready-made one, or the one that the rule makes."""
        if self.ready_made_split is not None:
            return self.ready_made_split.astype(np.int8)
        rule = dict(self.split_rule)
        group_by = rule.pop("group_by", BY_USER)
        split = np.empty(len(self), dtype=np.int8)
        split[self.order] = split_labels(self.user[self.order], self.time[self.order], rule, group_by)
        return split


def encode_tokens(columns: Sequence[pd.Series | np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Dense numbers of the tokens in several columns.

    Returns:
        An (n,) int32 array for each column, and the (T,) distinct tokens in the order of their numbers.

    Example:
        >>> numbers, tokens = encode_tokens([np.array(["b", "a"]), np.array(["a"])])
        >>> [column.tolist() for column in numbers], tokens.tolist()
        ([[0, 1], [1]], ['b', 'a'])
    """
    joined = np.concatenate([np.asarray(column, dtype=object) for column in columns])
    number, tokens = pd.factorize(joined)
    ends = np.cumsum([len(column) for column in columns])[:-1]
    return np.split(number.astype(np.int32), ends), tokens

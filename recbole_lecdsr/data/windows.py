"""Windows of item sequences, gathered from the event log for a whole batch (docs/protocol.md, 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recbole_lecdsr.data.constants import CONTEXT, PHASES, SOURCE
from recbole_lecdsr.data.event_log import EventLog


class Window(NamedTuple):
    """The up to L interactions before each of B targets: the newest last, padded with 0 on the left.

    Attributes:
        item: (B, L) int64.
        position: (B, L) int64, counted backwards from 1 within the domain of each interaction.
        domain: (B, L) int64.
        relative_time: (B, L) float32, see `EventLog.relative_time`.
    """

    item: Tensor
    position: Tensor
    domain: Tensor
    relative_time: Tensor


class WindowGatherer:
    """Gathers windows and positions of any samples on one device.

    Args:
        log: the interactions.
        max_length: L.
        device: where the arrays are kept and the windows are made.

    Attributes:
        user, item, domain, first, source_before, n_earlier, relative_time: the columns of ``log`` as tensors on the
            device.
        sequences: the log whose sequences the windows are cut from.
        order: (E,) int64, index in ``log`` of each interaction of ``sequences``.

    Example:
        >>> from recbole_lecdsr.data.event_log import build_event_log
        >>> user, item, domain = np.ones(3), np.array([10, 11, 12]), np.array([0, 1, 0])
        >>> log = build_event_log(user, item, domain, np.arange(3.0), split={"LS": "test_only"})
        >>> window = WindowGatherer(log, max_length=4)(torch.tensor([2]))
        >>> window.item.tolist(), window.position.tolist()
        ([[0, 0, 10, 11]], [[0, 0, 1, 1]])
    """

    def __init__(self, log: EventLog, max_length: int, device: torch.device | str = "cpu"):
        self.max_length = max_length
        self.sequences, self.order = log, np.arange(len(log))
        self.user = torch.from_numpy(log.user).to(device)
        self.item = torch.from_numpy(log.item).to(device)
        self.domain = torch.from_numpy(log.domain).to(device)
        self.first = torch.from_numpy(log.first).to(device)
        self.source_before = torch.from_numpy(log.source_before).to(device)
        self.n_earlier = torch.from_numpy(log.n_earlier).to(device)
        self.relative_time = torch.from_numpy(log.relative_time).to(device)
        self._offset = torch.arange(-max_length, 0, device=device)
        self._rows = _Rows.of(log, device)

    def __call__(self, target: Tensor) -> Window:
        """Gather the up to L interactions before each target.

        Args:
            target: (B,) int64 indices of targets in the log.
        """
        return self.gather(target, self.first[target], self.source_before[target])

    def gather_next(self, last: Tensor, domain: Tensor) -> Window:
        """Gather the window that the next interaction of each user will have.

        Args:
            last: (B,) int64 indices of users' latest interactions, which the windows include.
            domain: (B,) int64 domains of the next interactions; a mixed window does not depend on them.
        """
        source_before = self.source_before[last] + (self.domain[last] == SOURCE)
        return self.gather(last + 1, self.first[last], source_before)

    def gather(self, end: Tensor, first: Tensor, source_before: Tensor) -> Window:
        """Gather the up to L interactions before given ends.

        Args:
            end: (B,) int64 indices just after the newest interactions.
            first: (B,) int64 indices of the first interactions of the sequences.
            source_before: (B,) int, how many interactions from ``first`` up to ``end`` are of the source domain.
        """
        index = end.unsqueeze(1) + self._offset
        real = index >= first.unsqueeze(1)
        index = index.clamp(min=0)
        # The position: interactions of the same domain from this one up to the end, by running counts of the source.
        source_left = source_before.unsqueeze(1) - self.source_before[index]
        target_left = end.unsqueeze(1) - index - source_left
        domain = self.domain[index].long()
        position = torch.where(domain == SOURCE, source_left, target_left)
        item, relative_time = self.item[index].long(), self.relative_time[index]
        return Window(item * real, position.long() * real, domain * real, relative_time * real)

    def history(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Every item that the user is known to have had before each target, however long ago and in either domain.

        These are the earlier ones of the target's sequence and, where a user has several sequences (precomputed
        windows), those of the sequences of earlier splits. Other sequences of the same split may be later.

        Args:
            target: (B,) int64 indices of targets in the log.

        Returns:
            row (N,) int64, which target of the batch, and item (N,) int64, in any order and with repetitions.
        """
        found = self._items_between(self.first[target], target)
        if self._rows is None:
            return found
        earlier = self._items_between(*self._rows.of_earlier_splits(target, self.user))
        return torch.cat([found[0], earlier[0]]), torch.cat([found[1], earlier[1]])

    def history_through(self, last: Tensor) -> tuple[Tensor, Tensor]:
        """Every item that a user has had, in whichever sequence, up to and including ``last``, (B,) int64; returns what
        `history` does. Sequences of user 0 are of as many unknown users."""
        user = self.user[last]
        first = torch.searchsorted(self.user, user).where(user > 0, self.first[last])
        return self._items_between(first, last + 1)

    def _items_between(self, first: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        length = end - first
        row = torch.repeat_interleave(torch.arange(len(end), device=end.device), length)
        start = length.cumsum(0) - length
        index = torch.arange(len(row), device=end.device) - start[row] + first[row]
        return row, self.item[index].long()


class _Rows(NamedTuple):
    """The R rows of a log of precomputed windows, each of them a sequence of its own, by user and split.

    Attributes:
        key: (R,) int64, user and split of each row, ascending.
        start: (R + 1,) int64, where the sequence of each row starts in the log; the last one is the log's end.
        split: (E,) int8, that of each interaction of the log.
    """

    key: Tensor
    start: Tensor
    split: Tensor

    @classmethod
    def of(cls, log: EventLog, device: torch.device | str) -> _Rows | None:
        """The rows of a log; None where each user has one sequence."""
        if not np.any((log.user[1:] == log.user[:-1]) & (log.first[1:] != log.first[:-1])):
            return None
        target = np.flatnonzero(log.split != CONTEXT)
        key = log.user[target].astype(np.int64) * len(PHASES) + log.split[target]
        arrays = key, np.r_[0, target + 1], log.split
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    def of_earlier_splits(self, target: Tensor, user: Tensor) -> tuple[Tensor, Tensor]:
        """Where the rows of each target's user that belong to earlier splits begin and end in the log, (B,) int64 each.

        Args:
            target: (B,) int64 indices of targets in the log.
            user: (E,) int32, that of each interaction of the log.
        """
        first_key = user[target].long() * len(PHASES)
        begin, end = (
            self.start[torch.searchsorted(self.key, key)] for key in (first_key, first_key + self.split[target])
        )
        return begin, end


class SingleDomainGatherer(WindowGatherer):
    """Gathers windows of the target's own domain: its up to L latest interactions, however many others lie between.

    Targets, `history` and `history_through` refer to the mixed log all the same.
    """

    def __init__(self, log: EventLog, max_length: int, device: torch.device | str = "cpu"):
        super().__init__(log, max_length, device)
        separated, order = self.sequences, self.order = separate_domains(log)
        index = np.empty_like(order)
        index[order] = np.arange(len(order))
        self._separated_index = torch.from_numpy(index).to(device)
        self._separated = WindowGatherer(separated, max_length, device)

    def __call__(self, target: Tensor) -> Window:
        """As `WindowGatherer.__call__`, of the target's domain alone."""
        return self._separated(self._separated_index[target])

    def gather_next(self, last: Tensor, domain: Tensor) -> Window:
        """As `WindowGatherer.gather_next`, of the given domain alone; without an interaction there, it is empty."""
        owner = (2 * self.first[last] + domain).int()
        first, end = (torch.searchsorted(self._separated.user, owner, right=right) for right in (False, True))
        return self._separated.gather(end, first, (end - first) * (domain == SOURCE))


def separate_domains(log: EventLog) -> tuple[EventLog, np.ndarray]:
    """Make the interactions of each domain in each sequence a sequence of their own.

    Returns:
        the log, whose ``user`` is 2 · ``first`` + ``domain`` of the given one and whose ``n_earlier`` still counts
        both domains, and its order: (E,) int64, the index of each of its interactions in the given log.
    """
    owner = 2 * log.first + log.domain
    order = np.argsort(owner, kind="stable")
    owner, domain = owner[order].astype(np.int32), log.domain[order]
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    first = np.repeat(starts, np.diff(np.r_[starts, len(owner)]))
    source_before = np.where(domain == SOURCE, np.arange(len(owner)) - first, 0).astype(np.int32)
    separated = EventLog(
        user=owner,
        item=log.item[order],
        domain=domain,
        split=log.split[order],
        first=first,
        source_before=source_before,
        n_earlier=log.n_earlier[order],
        time=log.time[order],
        relative_time=log.relative_time[order],
    )
    return separated, order

"""Windows of item sequences, gathered from the event log for a whole batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recbole_lecdsr.data.constants import SOURCE
from recbole_lecdsr.data.event_log import EventLog


class Window(NamedTuple):
    """The up to L events before each of B events: newest last, padded with 0 before the oldest.

    Attributes:
        item: (B, L) int64.
        position: (B, L) int64, counted backwards within each event's own domain from 1.
        domain: (B, L) int64.
        relative_time: (B, L) float32, `EventLog.relative_time`.
    """

    item: Tensor
    position: Tensor
    domain: Tensor
    relative_time: Tensor


class WindowGatherer:
    """Windows and positions of any samples, gathered on one device.

    Attributes:
        sequences: the log whose sequences the windows are parts of.
        order: (E,) int64, where each of its events stands in the mixed log.

    Args:
        log: the events.
        max_length: L.
        device: where the arrays live and the windows are made.
    """

    def __init__(self, log: EventLog, max_length: int, device: torch.device | str = "cpu"):
        self.max_length = max_length
        self.sequences, self.order = log, np.arange(len(log))
        self.user = torch.from_numpy(log.user).to(device)
        self.item = torch.from_numpy(log.item).to(device)
        self.domain = torch.from_numpy(log.domain).to(device)
        self.first = torch.from_numpy(log.first).to(device)
        self.source_before = torch.from_numpy(log.source_before).to(device)
        self.relative_time = torch.from_numpy(log.relative_time).to(device)
        self._offset = torch.arange(-max_length, 0, device=device)

    def __call__(self, target: Tensor) -> Window:
        """Gather the up to L events before each target.

        Args:
            target: (B,) int64 indices of target events.
        """
        return self._window(target, self.first[target], self.source_before[target])

    def after(self, last: Tensor, domain: Tensor) -> Window:
        """Gather the windows of events still to come: what the call would give for the next event of each user.

        Args:
            last: (B,) int64 indices of users' latest events, which the windows hold too.
            domain: (B,) int64 domain of the event to come; of no effect on a mixed window.
        """
        source_before = self.source_before[last] + (self.domain[last] == SOURCE)
        return self._window(last + 1, self.first[last], source_before)

    def _window(self, end: Tensor, first: Tensor, source_before: Tensor) -> Window:
        """The up to L events before ``end`` from ``first`` on, ``source_before`` of which are of the source: (B,)."""
        index = end.unsqueeze(1) + self._offset
        real = index >= first.unsqueeze(1)
        index = index.clamp(min=0)
        # Events of the same domain from this one on, up to the end: a difference of two running counts.
        source_left = source_before.unsqueeze(1) - self.source_before[index]
        target_left = end.unsqueeze(1) - index - source_left
        domain = self.domain[index].long()
        position = torch.where(domain == SOURCE, source_left, target_left)
        item, relative_time = self.item[index].long(), self.relative_time[index]
        return Window(item * real, position.long() * real, domain * real, relative_time * real)

    def history(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Every earlier item of each target's sequence, however long.

        Args:
            target: (B,) int64.

        Returns:
            row (N,) int64 into the batch, item (N,) int64.
        """
        return self._items(self.first[target], target)

    def history_after(self, last: Tensor) -> tuple[Tensor, Tensor]:
        """Every item of the sequences whose latest events are ``last``, (B,) int64; returns as `history` does."""
        return self._items(self.first[last], last + 1)

    def _items(self, first: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        length = end - first
        row = torch.repeat_interleave(torch.arange(len(end), device=end.device), length)
        start = length.cumsum(0) - length
        index = torch.arange(len(row), device=end.device) - start[row] + first[row]
        return row, self.item[index].long()


class SingleDomainGatherer(WindowGatherer):
    """Windows that hold only events of the target's own domain: up to L of them, however many others lie between.

    Everything else (histories, samples) stays that of the mixed log.
    """

    def __init__(self, log: EventLog, max_length: int, device: torch.device | str = "cpu"):
        super().__init__(log, max_length, device)
        apart, order = self.sequences, self.order = separate_domains(log)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self._place = torch.from_numpy(place).to(device)
        self._apart = WindowGatherer(apart, max_length, device)

    def __call__(self, target: Tensor) -> Window:
        """As of `WindowGatherer`."""
        return self._apart(self._place[target])

    def after(self, last: Tensor, domain: Tensor) -> Window:
        """As of `WindowGatherer`: the latest events of each user in the given domain; none is an empty window."""
        owner = (2 * self.first[last] + domain).int()
        first, end = (torch.searchsorted(self._apart.user, owner, right=right) for right in (False, True))
        return self._apart._window(end, first, (end - first) * (domain == SOURCE))


def separate_domains(log: EventLog) -> tuple[EventLog, np.ndarray]:
    """A log in which the events of each domain are a sequence of their own.

    Returns:
        the log, with 2 · first + domain for user, and the (E,) int64 order of its events in the mixed log.
    """
    owner = 2 * log.first + log.domain
    order = np.argsort(owner, kind="stable")
    owner, domain = owner[order].astype(np.int32), log.domain[order]
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    first = np.repeat(starts, np.diff(np.r_[starts, len(owner)]))
    source_before = np.where(domain == SOURCE, np.arange(len(owner)) - first, 0).astype(np.int32)
    apart = EventLog(owner, log.item[order], domain, log.split[order], first, source_before, log.time[order])
    return apart, order

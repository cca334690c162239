"""Batches of any samples: windows, positions, domains and times as a RecBole `Interaction`."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAIN_FIELD, RELATIVE_TIME_FIELD
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.data.windows import SingleDomainGatherer, Window, WindowGatherer


class SequenceCollator:
    """Makes the `Interaction` of any samples; shared by the loaders of one run.

    Args:
        config: the run's configuration.
        dataset: of the run.
        log: events to take instead of the data set's own.
    """

    def __init__(self, config, dataset: CrossDomainSequentialDataset, log: EventLog | None = None):
        self.user_field, self.item_field = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.list_suffix = config["LIST_SUFFIX"]
        self.position_field, self.length_field = config["POSITION_FIELD"], config["ITEM_LIST_LENGTH_FIELD"]
        self.negative_field = config["NEG_PREFIX"] + self.item_field
        gatherer = SingleDomainGatherer if config["sequence"] == "single" else WindowGatherer
        log = dataset.log if log is None else log
        self.windows = gatherer(log, config["MAX_ITEM_LIST_LENGTH"], config["device"])

    def __call__(self, target: Tensor) -> Interaction:
        """The batch of the given target events, (B,) int64 on the device."""
        log = self.windows
        user, item, domain = (part[target].long() for part in (log.user, log.item, log.domain))
        return self._batch(user, item, domain, log(target))

    def after(self, last: Tensor, domain: Tensor) -> Interaction:
        """The batch of events still to come, each of the given domain and of an item not known yet (0).

        Args:
            last: (B,) int64 on the device, indices of users' latest events.
            domain: (B,) int64.
        """
        user = self.windows.user[last].long()
        return self._batch(user, torch.zeros_like(user), domain, self.windows.after(last, domain))

    def _batch(self, user: Tensor, item: Tensor, domain: Tensor, window: Window) -> Interaction:
        return Interaction(
            {
                self.user_field: user,
                self.item_field: item,
                DOMAIN_FIELD: domain,
                self.item_field + self.list_suffix: window.item,
                self.position_field: window.position,
                DOMAIN_FIELD + self.list_suffix: window.domain,
                RELATIVE_TIME_FIELD + self.list_suffix: window.relative_time,
                self.length_field: window.item.ne(0).sum(dim=1),
            }
        )

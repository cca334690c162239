"""Batches of any samples: windows, positions, domains and times as a RecBole `Interaction`."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAIN_FIELD, RELATIVE_TIME_FIELD
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.data.run_parameters import RunParameters
from recbole_lecdsr.data.windows import SingleDomainGatherer, Window, WindowGatherer


class SequenceCollator:
    """Makes the `Interaction` of any samples; shared by the loaders of one run.

    The fields of a batch are listed in `recbole_lecdsr.data.loaders`.

    Args:
        config: the run's parameters.
        dataset: the data set of the run.
        log: interactions to use instead of those of the data set.

    Attributes:
        gatherer: makes the windows, mixed or of a single domain (``sequence``).
        user_field, item_field, position_field, length_field, negative_field: names of fields.
        list_suffix: what is added to the name of a field for that of its sequence.
    """

    def __init__(self, config: RunParameters, dataset: CrossDomainSequentialDataset, log: EventLog | None = None):
        self.user_field, self.item_field = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.list_suffix = config["LIST_SUFFIX"]
        self.position_field, self.length_field = config["POSITION_FIELD"], config["ITEM_LIST_LENGTH_FIELD"]
        self.negative_field = config["NEG_PREFIX"] + self.item_field
        gatherer = SingleDomainGatherer if config["sequence"] == "single" else WindowGatherer
        log = dataset.log if log is None else log
        self.gatherer: WindowGatherer = gatherer(log, config["MAX_ITEM_LIST_LENGTH"], config["device"])

    def __call__(self, target: Tensor) -> Interaction:
        """The batch of the given targets.

        Args:
            target: (B,) int64 indices of targets in the log, on the device.
        """
        columns = self.gatherer.user, self.gatherer.item, self.gatherer.domain
        user, item, domain = (column[target].long() for column in columns)
        return self._interaction(user, item, domain, self.gatherer(target))

    def collate_next(self, last: Tensor, domain: Tensor) -> Interaction:
        """The batch of users' next interactions, whose items are not known yet (0).

        Args:
            last: (B,) int64 indices of users' latest interactions in the log, on the device.
            domain: (B,) int64 domains of the next interactions.
        """
        user = self.gatherer.user[last].long()
        return self._interaction(user, torch.zeros_like(user), domain, self.gatherer.gather_next(last, domain))

    def _interaction(self, user: Tensor, item: Tensor, domain: Tensor, window: Window) -> Interaction:
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

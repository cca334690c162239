"""Training on whole sequences with negatives of each position, for models that do not share them within a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_lecdsr.data.constants import SOURCE, TARGET, TARGET_FIELD
from recbole_lecdsr.data.train_loader import TrainLoader


class PositionLoader(TrainLoader):
    """`TrainLoader` whose sequences have N negatives of the target's domain at each position that has a target.

    Each position has its own, different in each epoch, never the target, and with ``exclude_user_items`` no item that
    the user has had in training. The field is (B, L, N) int64, 0 where there is no target. Rows of ``train_samples:
    targets`` are those of `TrainLoader`.
    """

    shares_negatives = False

    def _draw_negatives(self, fields: dict[str, Tensor]) -> Tensor:
        if not self.sequences or self.shared:
            return super()._draw_negatives(fields)
        target = fields[TARGET_FIELD + self.collator.list_suffix]
        row, column = torch.nonzero(target, as_tuple=True)
        negative = self._draw(fields[self.collator.user_field][row], target[row, column])
        drawn = target.new_zeros((*target.shape, negative.shape[1]))
        drawn[row, column] = negative
        return drawn

    def _draw(self, user: Tensor, positive: Tensor) -> Tensor:
        """Negatives of T targets: users and items (T,) int64 -> (T, N) int64."""
        return self.sampler.sample(user, positive, self._domain_of(positive), self.num_negatives)

    def _domain_of(self, item: Tensor) -> Tensor:
        """(T,) int64."""
        return (~self.sampler.domain_items.member[SOURCE, item]).long()


class BothDomainsLoader(PositionLoader):
    """`PositionLoader` with N negatives of the source and then N of the target domain: (B, L, 2N)."""

    def _draw(self, user: Tensor, positive: Tensor) -> Tensor:
        domains = (torch.full_like(positive, domain) for domain in (SOURCE, TARGET))
        return torch.cat([self.sampler.sample(user, positive, one, self.num_negatives) for one in domains], dim=1)

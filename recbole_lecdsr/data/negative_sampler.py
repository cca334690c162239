"""Negative items of the positive's own domain, through the interface of RecBole's samplers (docs/protocol.md, 5)."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from recbole.sampler.sampler import AbstractSampler
from torch import Tensor

from recbole_lecdsr.data.item_pool import DomainItems, UserItemIndex
from recbole_lecdsr.errors import UserError

_MAX_REDRAWS = 30


class CrossDomainSequentialSampler(AbstractSampler):
    """Draws negatives of the positive's domain for a whole batch at once.

    Args:
        items: ids of each domain's items, (n_domain,) int64 each.
        n_items: ids of items of both domains together, padding included.
        train_user, train_item: (P,) int64 training interactions, for popularity and for the items to exclude.
        distribution: ``uniform`` or ``popularity``.
        alpha: power of the popularity.
        exclude_user_items: never draw an item that the user had in training.
        generator: source of randomness, on the device of the tensors.

    Attributes:
        domain_items: the `DomainItems` that negatives are drawn from.
    """

    def __init__(
        self,
        items: Sequence[Tensor],
        n_items: int,
        *,
        train_user: Tensor,
        train_item: Tensor,
        distribution: str = "uniform",
        alpha: float = 1.0,
        exclude_user_items: bool = False,
        generator: torch.Generator | None = None,
    ):
        self.items, self.n_items = items, n_items
        self.train_user, self.train_item = train_user, train_item
        self.exclude_user_items = exclude_user_items
        self.generator = generator or torch.Generator(items[0].device)
        self.phase = "train"
        super().__init__(distribution=distribution, alpha=alpha)
        popularity = None
        if distribution == "popularity":
            count = torch.bincount(train_item, minlength=n_items).double()
            popularity = torch.where(count > 0, count.pow(alpha), 0.0)
        self.domain_items = DomainItems(items, n_items, popularity)

    def _build_alias_table(self) -> None:
        """RecBole's preparation for popularity, which `DomainItems` does in another way."""

    def get_used_ids(self) -> UserItemIndex | None:
        """The users' training items, or None if negatives may be among them."""
        return UserItemIndex(self.train_user, self.train_item, self.n_items) if self.exclude_user_items else None

    def set_phase(self, phase: str) -> CrossDomainSequentialSampler:
        """A sampler for the phase, which draws as in every other phase."""
        sampler = copy.copy(self)
        sampler.phase = phase
        return sampler

    def sample_by_user_ids(
        self,
        user_ids: np.ndarray | Tensor,
        item_ids: np.ndarray | Tensor,
        num: int,
        domain: Tensor | None = None,
    ) -> Tensor:
        """Draw negatives in RecBole's layout.

        Args:
            user_ids, item_ids: (B,) users and their positives.
            num: N.
            domain: (B,) int64, domain of each positive; None: the source where it has the item, else the target.

        Returns:
            (N·B,) int64: elements i, i + B, i + 2B, … are the negatives of row i.
        """
        device = self.domain_items.flat.device
        user, item = (torch.as_tensor(ids, device=device, dtype=torch.int64) for ids in (user_ids, item_ids))
        if domain is None:
            domain = (~self.domain_items.member[0, item]).long()
        return self.sample(user, item, domain.to(device), num).t().reshape(-1)

    def sample(self, user: Tensor, positive: Tensor, domain: Tensor, num: int) -> Tensor:
        """Draw negatives of each row, others at every call.

        Args:
            user, positive, domain: (B,) int64.
            num: N.

        Returns:
            (B, N) int64.

        Raises:
            UserError: a user has had every item of a domain, where those are excluded; or a domain has no other item.
        """
        negative = self.domain_items.draw(domain, positive, num, self.generator)
        if self.used_ids is None:
            return negative
        row, column = torch.nonzero(self.used_ids.contains(user[:, None], negative), as_tuple=True)
        for _ in range(_MAX_REDRAWS):
            if not len(row):
                return negative
            drawn = self.domain_items.draw(domain[row], positive[row], 1, self.generator)[:, 0]
            negative[row, column] = drawn
            excluded = self.used_ids.contains(user[row], drawn)
            row, column = row[excluded], column[excluded]
        return self._draw_from_remaining(negative, user, positive, domain)

    def _draw_from_remaining(self, negative: Tensor, user: Tensor, positive: Tensor, domain: Tensor) -> Tensor:
        """Replace the excluded negatives of the few users who have had nearly all items of a domain: a uniform draw
        from the items that remain."""
        excluded = self.used_ids.contains(user[:, None], negative)
        for row in torch.nonzero(excluded.any(dim=1)).flatten().tolist():
            remaining = self.domain_items.member[domain[row]].clone()
            remaining[self.used_ids.items_of(int(user[row]))] = False
            remaining[positive[row]] = False
            choices = torch.nonzero(remaining).flatten()
            if not len(choices):
                raise UserError(
                    f"user {int(user[row])} has had every item of a domain, so no negative is left: "
                    "set train_neg_sample_args.exclude_user_items to False, or filter such users"
                )
            number = int(excluded[row].sum())
            pick = torch.randint(len(choices), (number,), generator=self.generator, device=choices.device)
            negative[row, excluded[row]] = choices[pick]
        return negative

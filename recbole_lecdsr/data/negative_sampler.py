"""Negative items of the positive's own domain, in RecBole's sampler contract."""

from __future__ import annotations

import copy

import torch
from recbole.sampler.sampler import AbstractSampler
from torch import Tensor

from recbole_lecdsr.data.item_pool import DomainItems, UserItemIndex
from recbole_lecdsr.errors import UserError

_MAX_REDRAWS = 30


class CrossDomainSequentialSampler(AbstractSampler):
    """Same-domain negatives in RecBole's sampler contract, vectorised.

    Args:
        items: ids of each domain's items, (n_domain,) int64 each.
        n_items: item ids of both domains together, padding included.
        train_user, train_item: (P,) int64 training events, for popularity and for the users' own items.
        distribution: ``uniform`` or ``popularity``.
        alpha: power of the popularity.
        exclude_user_items: never draw an item that the user had in training.
        generator: source of randomness, on the device of the tensors.
    """

    def __init__(
        self,
        items: tuple[Tensor, Tensor],
        n_items: int,
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
        """Nothing: popularity is drawn from cumulative weights per domain."""

    def get_used_ids(self) -> UserItemIndex | None:
        """The users' own training items, or None when they may be drawn."""
        return UserItemIndex(self.train_user, self.train_item, self.n_items) if self.exclude_user_items else None

    def set_phase(self, phase: str) -> CrossDomainSequentialSampler:
        """A sampler for the phase; all phases draw alike."""
        sampler = copy.copy(self)
        sampler.phase = phase
        return sampler

    def sample_by_user_ids(self, user_ids, item_ids, num: int, domain: Tensor | None = None) -> Tensor:
        """Negatives in RecBole's layout.

        Args:
            user_ids, item_ids: (B,) users and their positives.
            num: N.
            domain: (B,) domain of each positive; when None, the first domain that has the item.

        Returns:
            (N·B,) int64: elements i, i + B, i + 2B, … are the negatives of row i.
        """
        device = self.domain_items.flat.device
        user, item = (torch.as_tensor(ids, device=device, dtype=torch.int64) for ids in (user_ids, item_ids))
        if domain is None:
            domain = (~self.domain_items.member[0, item]).long()
        return self.sample(user, item, domain.to(device), num).t().reshape(-1)

    def sample(self, user: Tensor, positive: Tensor, domain: Tensor, num: int) -> Tensor:
        """Negatives of each row, fresh at every call: (B,) int64 each -> (B, N) int64.

        Raises:
            UserError: a user who has had every item of a domain, when own items are excluded.
        """
        negative = self.domain_items.draw(domain, positive, num, self.generator)
        if self.used_ids is None:
            return negative
        for _ in range(_MAX_REDRAWS):
            row, column = torch.nonzero(self.used_ids.contains(user[:, None], negative), as_tuple=True)
            if not len(row):
                return negative
            negative[row, column] = self.domain_items.draw(domain[row], positive[row], 1, self.generator)[:, 0]
        return self._fill_exactly(negative, user, positive, domain)

    def _fill_exactly(self, negative: Tensor, user: Tensor, positive: Tensor, domain: Tensor) -> Tensor:
        """Rows of the few users who own nearly all of a domain: draw among what is left."""
        own = self.used_ids.contains(user[:, None], negative)
        for row in torch.nonzero(own.any(dim=1)).flatten().tolist():
            left = self.domain_items.member[domain[row]].clone()
            left[self.used_ids.of(int(user[row]))] = False
            left[positive[row]] = False
            choices = torch.nonzero(left).flatten()
            if not len(choices):
                raise UserError(
                    f"user {int(user[row])} has had every item of a domain, so no negative is left: "
                    "set train_neg_sample_args.exclude_user_items to False, or filter such users"
                )
            pick = torch.randint(len(choices), (int(own[row].sum()),), generator=self.generator, device=choices.device)
            negative[row, own[row]] = choices[pick]
        return negative

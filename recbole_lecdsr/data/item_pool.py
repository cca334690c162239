"""Which items a domain has and which a user has had: what negatives are drawn from."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_lecdsr.errors import UserError


class DomainItems:
    """The items of each domain, drawn uniformly or by popularity.

    Args:
        items: for each domain a (n_domain,) int64 tensor of item ids, ascending.
        n_items: item ids of both domains together, padding included.
        popularity: (n_items,) float weights for popularity sampling (counts of training events to the power
            alpha), or None for uniform.
    """

    def __init__(self, items: tuple[Tensor, Tensor], n_items: int, popularity: Tensor | None = None):
        device = items[0].device
        self.n_items = n_items
        self.size = torch.tensor([len(part) for part in items], device=device)
        self.start = torch.tensor([0, len(items[0])], device=device)
        self.flat = torch.cat(items)
        # place[d, i]: where item i stands in the list of domain d, -1 where it is not of that domain
        self.place = torch.full((2, n_items), -1, dtype=torch.int64, device=device)
        for domain, part in enumerate(items):
            self.place[domain, part] = torch.arange(len(part), device=device)
        self.mass = None if popularity is None else popularity.double()[self.flat]
        if self.mass is not None:
            # On the CPU, since a GPU adds in any order.
            self.cumulative = torch.cat([self.mass.new_zeros(1), self.mass.cpu().cumsum(0).to(device)])

    @property
    def member(self) -> Tensor:
        """(2, n_items) bool: is the item of the domain?"""
        return self.place >= 0

    def draw(self, domain: Tensor, positive: Tensor, num: int, generator: torch.Generator) -> Tensor:
        """Draw items of each row's domain, never its positive; exact, without rejection.

        Args:
            domain: (B,) int64.
            positive: (B,) int64 item ids of that domain.
            num: N.
            generator: on the device of the tensors.

        Returns:
            (B, N) int64 item ids, with replacement.

        Raises:
            UserError: a domain that has no other item to draw.
        """
        domain, shape = domain.unsqueeze(1), (len(domain), num)
        place = self.place[domain, positive.unsqueeze(1)]
        if self.mass is None:
            choices = self.size[domain] - 1
            if torch.any(choices < 1):
                raise UserError("a domain has a single item: there is nothing to draw negatives from")
            # Draw from one item fewer and step over the positive.
            drawn = (self._uniform(shape, generator) * choices).long().clamp_(max=choices - 1)
            drawn += drawn >= place
            return self.flat[self.start[domain] + drawn]
        low = self.cumulative[self.start[domain]]
        skipped = self.mass[self.start[domain] + place]
        below = self.cumulative[self.start[domain] + place]
        total = self.cumulative[self.start[domain] + self.size[domain]] - low - skipped
        if torch.any(total <= 0):
            raise UserError("popularity sampling needs two items with training events in each domain")
        point = low + self._uniform(shape, generator) * total
        point += skipped * (point >= below)
        index = torch.searchsorted(self.cumulative, point, right=True) - 1
        last = self.start[domain] + self.size[domain] - 1  # a point may round up to the very end
        return self.flat[torch.minimum(index, last)]

    def draw_shared(self, num: int, generator: torch.Generator) -> Tensor:
        """Distinct items of each domain, the same for all rows of a batch: (2, N) int64, 0 beyond the domain's size."""
        drawn = self.flat.new_zeros((2, min(num, int(self.size.max()))))
        for domain in range(2):
            size = int(self.size[domain])
            order = torch.randperm(size, generator=generator, device=self.flat.device)[:num]
            drawn[domain, : len(order)] = self.flat[self.start[domain] + order]
        return drawn

    def _uniform(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        return torch.rand(shape, generator=generator, device=self.flat.device, dtype=torch.float64)


class UserItemIndex:
    """Which items each user has had: a sorted list of (user, item) keys, searched for many pairs at once.

    Args:
        user, item: (P,) int64 pairs, in any order and with repetitions.
        n_items: item ids in all.
    """

    def __init__(self, user: Tensor, item: Tensor, n_items: int):
        self.n_items = n_items
        self.keys = torch.unique(user.long() * n_items + item.long())

    def contains(self, user: Tensor, item: Tensor) -> Tensor:
        """Has the user had the item? (…) int64 each, broadcast -> (…) bool."""
        key = user * self.n_items + item
        if not len(self.keys):
            return torch.zeros_like(key, dtype=torch.bool)
        found = torch.searchsorted(self.keys, key).clamp_(max=len(self.keys) - 1)
        return self.keys[found] == key

    def of(self, user: int) -> Tensor:
        """Items of one user, ascending."""
        low, high = torch.searchsorted(
            self.keys, torch.tensor([user, user + 1], device=self.keys.device) * self.n_items
        )
        return self.keys[low:high] - user * self.n_items

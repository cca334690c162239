"""Which items a domain has and which a user has had: what negatives and candidates are drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recbole_lecdsr.errors import UserError


class DomainItems:
    """The items of each domain, drawn uniformly or by popularity.

    Args:
        items: for the source and the target domain the (n_domain,) int64 ids of its items, ascending.
        n_items: ids of items of both domains together, padding included.
        popularity: (n_items,) weights, such as numbers of training interactions, for draws in proportion to them; None
            for uniform draws.

    Attributes:
        flat: (n_source + n_target,) int64, the ids of the source's items, then those of the target's.
        start, size: (2,) int64, where the items of each domain begin in ``flat`` and how many there are.
        position: (2, n_items) int64, index of each item among those of each domain, -1 where it is not one of them.
        weight: (n_source + n_target,) float64, the popularity of the items in ``flat``; None for uniform draws.

    Example:
        >>> pool = DomainItems((torch.tensor([1, 3]), torch.tensor([1, 2])), n_items=4)
        >>> pool.draw(torch.tensor([0, 1]), torch.tensor([1, 1]), 2, torch.Generator()).tolist()
        [[3, 3], [2, 2]]
    """

    def __init__(self, items: Sequence[Tensor], n_items: int, popularity: Tensor | None = None):
        device = items[0].device
        self.n_items = n_items
        self.size = torch.tensor([len(part) for part in items], device=device)
        self.start = torch.tensor([0, len(items[0])], device=device)
        self.flat = torch.cat(list(items))
        self.position = torch.full((2, n_items), -1, dtype=torch.int64, device=device)
        for domain, part in enumerate(items):
            self.position[domain, part] = torch.arange(len(part), device=device)
        self.weight = None if popularity is None else popularity.double()[self.flat]
        if self.weight is not None:
            # Summed on the CPU: the order in which a GPU adds, and so the last digit, differs from run to run.
            total = self.weight.cpu().cumsum(0).to(device)
            self._cumulative = torch.cat([self.weight.new_zeros(1), total])

    @property
    def member(self) -> Tensor:
        """(2, n_items) bool: which items are of each domain."""
        return self.position >= 0

    @property
    def drawable(self) -> Tensor:
        """(2, n_items) bool: which items can be drawn in each domain, all but those without popularity."""
        if self.weight is None:
            return self.member
        has_weight = torch.zeros(self.n_items, dtype=torch.bool, device=self.flat.device)
        has_weight[self.flat[self.weight > 0]] = True
        return self.member & has_weight

    def draw(self, domain: Tensor, positive: Tensor, num: int, generator: torch.Generator) -> Tensor:
        """Draw items of each row's domain, never its positive, from the exact distribution.

        Args:
            domain: (B,) int64.
            positive: (B,) int64 ids of items, of that domain or not.
            num: N.
            generator: on the device of the tensors.

        Returns:
            (B, N) int64 item ids, drawn with replacement.

        Raises:
            UserError: a domain has no other item to draw.
        """
        domain, shape = domain.unsqueeze(1), (len(domain), num)
        position = self.position[domain, positive.unsqueeze(1)]
        present = position >= 0
        if self.weight is None:
            choices = self.size[domain] - present.long()
            if torch.any(choices < 1):
                raise UserError("a domain has a single item, so there is nothing to draw negatives from")
            # Drawn from one item fewer; those from the positive on are shifted by one.
            drawn = (self._uniform(shape, generator) * choices).long().clamp_(max=choices - 1)
            drawn += present & (drawn >= position)
            return self.flat[self.start[domain] + drawn]
        low = self._cumulative[self.start[domain]]
        index = self.start[domain] + position.clamp(min=0)
        skipped, below = self.weight[index] * present, self._cumulative[index]
        total = self._cumulative[self.start[domain] + self.size[domain]] - low - skipped
        if torch.any(total <= 0):
            raise UserError("popularity sampling needs two items with training interactions in each domain")
        point = low + self._uniform(shape, generator) * total
        point += skipped * (point >= below)
        index = torch.searchsorted(self._cumulative, point, right=True) - 1
        last = self.start[domain] + self.size[domain] - 1  # a point may be rounded up to the very end
        return self.flat[torch.minimum(index, last)]

    def draw_shared(self, num: int, generator: torch.Generator) -> Tensor:
        """Draw distinct items of each domain, uniformly, for all rows of a batch.

        Returns:
            (2, min(N, size of the larger domain)) int64; 0 fills the row of a domain that has fewer items.
        """
        drawn = self.flat.new_zeros((2, min(num, int(self.size.max()))))
        for domain in range(2):
            size = int(self.size[domain])
            order = torch.randperm(size, generator=generator, device=self.flat.device)[:num]
            drawn[domain, : len(order)] = self.flat[self.start[domain] + order]
        return drawn

    def _uniform(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        return torch.rand(shape, generator=generator, device=self.flat.device, dtype=torch.float64)


class UserItemIndex:
    """Which items each user has had, as a sorted list of keys that is searched for many pairs at once.

    Args:
        user, item: (P,) integer pairs, in any order and with repetitions.
        n_items: ids of items, padding included.

    Example:
        >>> index = UserItemIndex(torch.tensor([1, 1, 2]), torch.tensor([3, 5, 3]), n_items=6)
        >>> index.contains(torch.tensor([1, 2]), torch.tensor([5, 5])).tolist()
        [True, False]
        >>> index.items_of(1).tolist()
        [3, 5]
    """

    def __init__(self, user: Tensor, item: Tensor, n_items: int):
        self.n_items = n_items
        self._keys = torch.unique(user.long() * n_items + item.long())

    def pairs(self) -> tuple[Tensor, Tensor]:
        """The distinct pairs, sorted by user and item: (P,) int64 users and (P,) int64 items."""
        return self._keys // self.n_items, self._keys % self.n_items

    def contains(self, user: Tensor, item: Tensor) -> Tensor:
        """Whether the user has had the item: int64 of shapes that can be broadcast -> bool of the common shape."""
        key = user * self.n_items + item
        if not len(self._keys):
            return torch.zeros_like(key, dtype=torch.bool)
        found = torch.searchsorted(self._keys, key).clamp_(max=len(self._keys) - 1)
        return self._keys[found] == key

    def items_of(self, user: int) -> Tensor:
        """Items of one user, ascending int64."""
        low, high = torch.searchsorted(
            self._keys, torch.tensor([user, user + 1], device=self._keys.device) * self.n_items
        )
        return self._keys[low:high] - user * self.n_items

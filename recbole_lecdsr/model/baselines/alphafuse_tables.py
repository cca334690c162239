"""The item tables of AlphaFuse and of its two variants WhitenRec and LLMInit.

Source: Hu, Zhang, Liu, Cai, Yang, Wang, "AlphaFuse: Learn ID embeddings for sequential recommendation in null space of
language embeddings", SIGIR 2025, arXiv 2504.19218, and its released code. docs/models.md, 13, has the equations.

Notation: n_items items, padding included; d size of an item vector, m dimensions with an ID. Frozen vectors follow from
the data set and are not in a checkpoint.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ItemTable(nn.Module):
    """Vectors of items: of given ones by a call, of all by `whole`."""

    def forward(self, item: Tensor) -> Tensor:
        """Items, int64 of any shape -> (\\*item, d)."""
        raise NotImplementedError

    def whole(self) -> Tensor:
        """(n_items, d)."""
        raise NotImplementedError


class FusedTable(ItemTable):
    """AlphaFuse: frozen whitened text, with a trainable ID added to its last m columns or put behind it.

    Args:
        text: X, (n_items, d), or (n_items, d − m) with ``cover``; zero rows have no text.
        id_size: m.
        cover: the last m columns are the ID alone.
        random_ids: IDs start as N(0, 1) instead of 0. Those of items without text always do: a vector of zeros has no
            direction to compare.
    """

    text: Tensor

    def __init__(self, text: Tensor, id_size: int, *, cover: bool = False, random_ids: bool = False):
        super().__init__()
        self.register_buffer("text", text, persistent=False)
        self.own = text.shape[1] if cover else text.shape[1] - id_size
        self.item_id = nn.Embedding(len(text), id_size)
        if not random_ids:
            with torch.no_grad():
                self.item_id.weight[text.ne(0).any(dim=1)] = 0

    def _fuse(self, text: Tensor, identity: Tensor) -> Tensor:
        own, shared = text[..., : self.own], text[..., self.own :]
        return torch.cat([own, shared + identity if shared.shape[-1] else identity], dim=-1)

    def forward(self, item: Tensor) -> Tensor:
        """See `ItemTable`."""
        return self._fuse(F.embedding(item, self.text), self.item_id(item))

    def whole(self) -> Tensor:
        """See `ItemTable`."""
        return self._fuse(self.text, self.item_id.weight)


class AdaptedTable(ItemTable):
    """WhitenRec: gelu(W x + b) of frozen whitened text x.

    Args:
        text: X, (n_items, D'), all directions that have a variance.
        size: d.
    """

    text: Tensor

    def __init__(self, text: Tensor, size: int):
        super().__init__()
        self.register_buffer("text", text, persistent=False)
        self.adapter = nn.Linear(text.shape[1], size)

    def forward(self, item: Tensor) -> Tensor:
        """See `ItemTable`; each distinct item is adapted once."""
        distinct, index = torch.unique(item, return_inverse=True)
        return F.embedding(index, F.gelu(self.adapter(self.text[distinct])))

    def whole(self) -> Tensor:
        """See `ItemTable`."""
        return F.gelu(self.adapter(self.text))


class InitializedTable(ItemTable):
    """LLMInit: a trainable table that starts as the text; rows of items without text start as N(0, 1).

    Args:
        text: (n_items, d).
    """

    def __init__(self, text: Tensor):
        super().__init__()
        self.item_id = nn.Embedding(*text.shape)
        known = text.ne(0).any(dim=1)
        with torch.no_grad():
            self.item_id.weight[known] = text[known]

    def forward(self, item: Tensor) -> Tensor:
        """See `ItemTable`."""
        return self.item_id(item)

    def whole(self) -> Tensor:
        """See `ItemTable`."""
        return self.item_id.weight

"""Items by their texts: how near two are, and which are the nearest of each."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_lecdsr.model.modules.pca import principal_components

_SIZE = 128  # principal components: their cosines are nearly those of the whole, at a third of the cost
_NEAREST = 10  # K
_ROWS = 1024  # of the items at a time


class TextNeighbors(NamedTuple):
    """The texts of n items.

    Attributes:
        vector: (n, 128) float32 of length 1, principal components of the LLM embeddings; zero where there is no text.
        missing: (n,) bool, where there is none.
        nearest: (n, K) int64, the items of the nearest texts.
        share: (n, K) float32, what each of them counts for: its nearness, by the sum of the K and a half, so that
            an item with no like has little of others.
    """

    vector: Tensor
    missing: Tensor
    nearest: Tensor
    share: Tensor


def texts(item_embedding: Tensor) -> TextNeighbors:
    """Vectors and neighbours of items; compares each with each, n² · 128 products.

    Args:
        item_embedding: x, (n, D) float32, zero where there is no text.
    """
    vector = F.normalize(principal_components(item_embedding, _SIZE), dim=1)
    every = torch.arange(len(vector), device=vector.device)
    nearness, nearest = [], []
    for rows in every.split(_ROWS):
        near = sharpen_(vector[rows] @ vector.T)
        near[torch.arange(len(rows), device=vector.device), rows] = 0
        found = near.topk(min(_NEAREST, len(vector)), dim=1)
        nearness.append(found.values)
        nearest.append(found.indices)
    share = torch.cat(nearness)
    share = share / (share.sum(dim=1, keepdim=True) + 0.5)
    return TextNeighbors(vector, vector.eq(0).all(dim=1), torch.cat(nearest), share)


def sharpen_(cosine: Tensor) -> Tensor:
    """Nearness of texts, in place: the positive part of their cosine to the power 4: what counts is the near ones."""
    return cosine.clamp_(min=0).square_().square_()

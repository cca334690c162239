"""Items by their texts: vectors to compare, and the items of the nearest texts."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_lecdsr.model.modules.pca import principal_components

_SIZE = 128  # principal components: their cosines are nearly those of the whole vectors, at a third of the cost
_NUM_NEAREST = 10  # K
_ROWS = 1024  # items compared with all others at a time


class TextNeighbors(NamedTuple):
    """The texts of n items.

    Attributes:
        vector: (n, 128) float32 of length 1, principal components of the LLM embeddings; zero where there is no text.
        missing: (n,) bool, true where there is no text.
        nearest: (n, K) int64, the items of the nearest texts.
        share: (n, K) float32, weight of each of them: its similarity divided by the sum of the K and a half, so that
            an item whose text is like no other borrows little.
    """

    vector: Tensor
    missing: Tensor
    nearest: Tensor
    share: Tensor


def find_text_neighbors(item_embedding: Tensor) -> TextNeighbors:
    """Vectors and nearest texts of items; compares every pair, n² · 128 products.

    Args:
        item_embedding: x, (n, D) float32, zero where there is no text.
    """
    vector = F.normalize(principal_components(item_embedding, _SIZE), dim=1)
    every = torch.arange(len(vector), device=vector.device)
    similarity, nearest = [], []
    for rows in every.split(_ROWS):
        near = sharpen_(vector[rows] @ vector.T)
        near[torch.arange(len(rows), device=vector.device), rows] = 0
        found = near.topk(min(_NUM_NEAREST, len(vector)), dim=1)
        similarity.append(found.values)
        nearest.append(found.indices)
    share = torch.cat(similarity)
    share = share / (share.sum(dim=1, keepdim=True) + 0.5)
    return TextNeighbors(vector, vector.eq(0).all(dim=1), torch.cat(nearest), share)


def sharpen_(cosine: Tensor) -> Tensor:
    """Similarity of texts, in place: the fourth power of the positive part of their cosine, so that near texts count.

    Example:
        >>> sharpen_(torch.tensor([-0.5, 0.5, 1.0]))
        tensor([0.0000, 0.0625, 1.0000])
    """
    return cosine.clamp_(min=0).square_().square_()

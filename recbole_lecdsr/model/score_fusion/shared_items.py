"""Fused scores of the same items for many samples, without holding the features of each pair."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recbole_lecdsr.model.score_fusion.candidate_features import SMOOTHED_UNIT, UNIT, CandidateFeatures, max_cells
from recbole_lecdsr.model.score_fusion.cooccurrence import History
from recbole_lecdsr.model.score_fusion.text_neighbors import sharpen_
from recbole_lecdsr.model.sequence_input import SequenceInput

_FEWEST_ITEMS, _MOST_ITEMS = 64, 512  # at a time: narrower products of matrices are slower, and so are wider ones


class FusionWeights(NamedTuple):
    """The weights of one domain (docs/models.md, 7.2).

    Attributes:
        weight: α, (K,) float32.
        trust: γ, (K',) float32.
        scale: β, scalar.
    """

    weight: Tensor
    trust: Tensor
    scale: Tensor


def fuse_shared_items_(
    features: CandidateFeatures,
    weights: FusionWeights,
    score: Tensor,
    inputs: SequenceInput,
    *,
    rows: Tensor,
    items: Tensor,
    domain: int,
) -> None:
    """r (β + γ · φ') + α · φ of the same items for some samples of one domain, in place.

    Popularity needs a row for each bin of time instead of one for each sample, missing texts a single one. Text
    similarities are made for some items at a time, co-occurrences are added where they are not zero.

    Args:
        features: makes φ.
        weights: α, γ and β of the domain.
        score: r, (R, C) float32; minus infinity stays.
        inputs: histories of B samples.
        rows: (R,) int64, those of the R samples, whose targets are of the domain.
        items: (C,) int64, distinct.
        domain: of the targets.
    """
    history = features.history(inputs, rows, domain)
    time_bin, bin_of_row = torch.unique(features.time_bin(inputs, rows), return_inverse=True)
    sizes = [features.num_popularity, 2] + ([2, 2, 1] if features.has_texts else [])
    by_popularity, by_counts, *by_texts = weights.weight.split(sizes)
    texts = _HistoryTexts(history, features.vector) if features.has_texts else None
    height = max(len(rows), 0 if texts is None else len(texts.vector))
    width = max(_FEWEST_ITEMS, min(_MOST_ITEMS, 2 * max_cells(score) // height))
    for start in range(0, len(items), width):
        columns = slice(start, start + width)
        tile, ids = score[:, columns], items[columns]
        hidden = tile == -torch.inf
        popularity = features.popularity_of_all(time_bin, ids)
        trust = torch.einsum("kqc,k->qc", popularity, weights.trust) + weights.scale
        added = torch.einsum("kqc,k->qc", popularity, by_popularity)
        if texts is not None:
            added += by_texts[2] * features.missing[ids]
        tile.mul_(trust.index_select(0, bin_of_row)).add_(added.index_select(0, bin_of_row))
        if texts is not None:
            for near, weight in zip(texts.similarity(features.vector[ids]), by_texts[0].tolist(), strict=True):
                tile.add_(near.div_(UNIT).log1p_(), alpha=weight)
        tile.masked_fill_(hidden, -torch.inf)
    terms = [(UNIT, by_counts)] + ([(SMOOTHED_UNIT, by_texts[1])] if features.has_texts else [])
    features.cooccurrence.add_to_scores(score, history, domain, items, terms)


class _HistoryTexts:
    """Text similarities of R windows, of whose items each is compared once.

    Args:
        history: of the windows.
        vector: (n_items, 128) float32.
    """

    def __init__(self, history: History, vector: Tensor):
        distinct, index = torch.unique(history.item, return_inverse=True)
        self.vector, self.history = vector[distinct], History(index, history.weights)

    def similarity(self, vector: Tensor) -> Tensor:
        """Σ_l weight_l T of item l and of items with the vectors (C, 128): (2, R, C)."""
        return self.history.weighted_sums(sharpen_(self.vector @ vector.T))

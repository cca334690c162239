"""Co-occurrence of items and its smoothing over near texts, as similarities to a history (docs/models.md, 7.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.model.score_fusion.sparse import SparseMatrix, SparseRows
from recbole_lecdsr.model.score_fusion.text_neighbors import TextNeighbors

_DENSE_ITEMS = 4096  # up to here whole matrices are kept, of 64 MB
_DENSE_CELLS = 1 << 21  # of similarities to every item, in products with the nearest texts of items


class History(NamedTuple):
    """What is near to the items of R windows is near to the windows.

    Attributes:
        item: (R, M) int64, 0 at padding.
        weights: (2, R, M) float32, of the items of the target's domain and of those of the other; else 0.
    """

    item: Tensor
    weights: Tensor

    def entries(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row (of 2 R), item and weight of each item of a window, (E,) each, rows ascending."""
        part, row, column = torch.nonzero(self.weights, as_tuple=True)
        return part * len(self.item) + row, self.item[row, column], self.weights[part, row, column]

    def weighted_sums(self, table: Tensor) -> Tensor:
        """Σ_m weight_m ``table[item_m]``: (n, C) float32 -> (2, R, C)."""
        row, item, weight = self.entries()
        start = torch.searchsorted(row, torch.arange(2 * len(self.item), device=row.device))
        sums = F.embedding_bag(item, table, start, mode="sum", per_sample_weights=weight)
        return sums.view(2, len(self.item), -1)


def make_cooccurrence(
    log: EventLog, n_items: int, max_length: int, texts: TextNeighbors | None, domain_items: Sequence[np.ndarray]
) -> DenseCooccurrence | SparseCooccurrence:
    """Counts co-occurrences in the form that suits their number; arguments as of `CandidateFeatures`."""
    counts = count_cooccurrence(log, n_items, max_length)
    if n_items <= _DENSE_ITEMS:
        return DenseCooccurrence(counts, texts)
    return SparseCooccurrence(counts, texts, domain_items)


class DenseCooccurrence(nn.Module):
    """N and S N + N Sᵀ as dense matrices, for few items.

    Args:
        counts: N, (n, n) float32.
        texts: of the items, or None.
    """

    counts: Tensor
    smoothed: Tensor

    def __init__(self, counts: scipy.sparse.csr_array, texts: TextNeighbors | None):
        super().__init__()
        self.register_buffer("counts", torch.from_numpy(counts.toarray()), persistent=False)
        if texts is not None:
            smoothed = F.embedding_bag(texts.nearest, self.counts, mode="sum", per_sample_weights=texts.share)
            self.register_buffer("smoothed", smoothed + smoothed.T, persistent=False)
        self.tables = ("counts",) if texts is None else ("counts", "smoothed")

    def of_candidates(self, history: History, domain: int, candidates: Tensor) -> list[Tensor]:
        """Similarity of each candidate, (R, C) int64, by N and by S N + N Sᵀ: (2, R, C) each."""
        sums = (history.weighted_sums(getattr(self, table)) for table in self.tables)
        return [gather_columns(every, candidates) for every in sums]

    def add_to_scores(
        self, score: Tensor, history: History, domain: int, items: Tensor, terms: Sequence[tuple[float, Tensor]]
    ) -> None:
        """Add weight_p · log(1 + similarity / unit) of items, (C,) int64, to the scores (R, C), in place.

        Args:
            score, history: of R windows.
            domain: of their targets.
            items: (C,) int64, distinct.
            terms: unit and weights (2,) of the similarity by N, and of that by S N + N Sᵀ.
        """
        for table, (unit, weights) in zip(self.tables, terms, strict=True):
            near = history.weighted_sums(getattr(self, table)).index_select(2, items)
            for part, weight in zip(near, weights.tolist(), strict=True):
                score.add_(part.div_(unit).log1p_(), alpha=weight)


class SparseCooccurrence(nn.Module):
    """N as a sparse matrix, whole and of the items of each domain, and S as a list.

    Σ_l w_l (S N + N Sᵀ) is (w S) N, made for the items of a domain alone, and (w N) Sᵀ, which takes w N of the
    nearest texts of an item.

    Args:
        counts: N, (n, n) float32.
        texts: of the items, or None.
        domain_items: ids of the items of the source and of the target domain.
    """

    column: Tensor
    nearest: Tensor
    share: Tensor

    def __init__(self, counts: scipy.sparse.csr_array, texts: TextNeighbors | None, domain_items: Sequence[np.ndarray]):
        super().__init__()
        self.n_items = counts.shape[0]
        self.counts = SparseMatrix(counts)
        self.has_texts = texts is not None
        if texts is not None:
            column = torch.full((len(domain_items), self.n_items), -1, dtype=torch.int64)
            for code, items in enumerate(domain_items):
                column[code, items] = torch.arange(len(items))
            self.register_buffer("column", column, persistent=False)  # of an item among those of a domain
            by_column = scipy.sparse.csc_array(counts)
            of_domains = (scipy.sparse.csr_array(by_column[:, items]) for items in domain_items)
            self.of_domain = nn.ModuleList(SparseMatrix(matrix) for matrix in of_domains)
            self.register_buffer("nearest", texts.nearest, persistent=False)
            self.register_buffer("share", texts.share, persistent=False)

    def _near(self, history: History) -> SparseRows:
        """w N, similarities to every item: (2 R, n)."""
        return self.counts(SparseRows.from_entries(*history.entries(), (2 * len(history.item), self.n_items)))

    def _through_own_texts(self, history: History, code: int) -> SparseRows:
        """(w S) N of the items of a domain: (2 R, C)."""
        row, item, weight = history.entries()
        shares = (self.share[item] * weight.unsqueeze(1)).flatten()
        entries = row.repeat_interleave(self.share.shape[1]), self.nearest[item].flatten(), shares
        rows: SparseRows = self.of_domain[code](
            SparseRows.from_entries(*entries, (2 * len(history.item), self.n_items))
        )
        return rows

    def of_candidates(self, history: History, domain: int, candidates: Tensor) -> list[Tensor]:
        """As `DenseCooccurrence.of_candidates`."""
        size = len(history.item)
        near = self._near(history).dense().view(2, size, -1)
        result = [gather_columns(near, candidates)]
        if self.has_texts:
            nearest, share = F.embedding(candidates, self.nearest), F.embedding(candidates, self.share)
            around = gather_columns(near, nearest.flatten(1)).view(2, *nearest.shape)
            smoothed = torch.einsum("pbck,bck->pbc", around, share)
            for code, place in self._places(candidates, domain):
                every = self._through_own_texts(history, code).dense().view(2, size, -1)
                smoothed += gather_columns(every, place.clamp(min=0)).mul_(place >= 0)
            result.append(smoothed)
        return result

    def add_to_scores(
        self, score: Tensor, history: History, domain: int, items: Tensor, terms: Sequence[tuple[float, Tensor]]
    ) -> None:
        """As `DenseCooccurrence.add_to_scores`."""
        rows = max(1, _DENSE_CELLS // self.n_items)
        for start in range(0, len(score), rows):
            part = slice(start, start + rows)
            own = History(history.item[part], history.weights[:, part])
            self._add_to_rows(score[part], own, domain, items, terms)

    def _add_to_rows(
        self, score: Tensor, history: History, domain: int, items: Tensor, terms: Sequence[tuple[float, Tensor]]
    ) -> None:
        # A row for each item: what is near to an item is then a sum of whole rows, and parts are added as rows are.
        near = self._near(history).transposed_dense()
        (unit, weights), *smoothing = terms
        added = sum_parts(near.index_select(0, items).div_(unit).log1p_(), weights)
        for unit, weights in smoothing:
            nearest = self.nearest[items]
            smoothed = F.embedding_bag(nearest, near, mode="sum", per_sample_weights=self.share[items])
            for code, place in self._places(items, domain):
                every = self._through_own_texts(history, code).transposed_dense()
                smoothed += every.index_select(0, place.clamp(min=0)).mul_((place >= 0).unsqueeze(1))
            added += sum_parts(smoothed.div_(unit).log1p_(), weights)
        score += added.T

    def _places(self, items: Tensor, domain: int) -> list[tuple[int, Tensor]]:
        """The domains that the items are of, that of the targets first, and the columns of the items: -1 for those of
        another domain or of an earlier one of the list."""
        first, other = self.column[domain][items], self.column[1 - domain][items]
        places = [(domain, first)]
        elsewhere = other.where(first < 0, -1)
        if (elsewhere >= 0).any():
            places.append((1 - domain, elsewhere))
        return places


def sum_parts(values: Tensor, weights: Tensor) -> Tensor:
    """Σ_p weight_p · values of part p, the columns being those of two parts: (C, 2 R) and (2,) -> (C, R)."""
    one, other = values.chunk(2, dim=1)
    return torch.addcmul(one * weights[0], other, weights[1])


def gather_columns(every: Tensor, column: Tensor) -> Tensor:
    """The values of columns (R, C) in each part: (P, R, n) -> (P, R, C)."""
    return every.gather(2, column.expand(len(every), -1, -1))


def count_cooccurrence(log: EventLog, n_items: int, max_length: int) -> scipy.sparse.csr_array:
    """(n_items, n_items) float32, symmetric: co-occurrences of two items / √(their numbers of training interactions).

    A co-occurrence is a training interaction and an interaction up to L before it in its sequence.
    """
    result = scipy.sparse.csr_array((n_items, n_items), dtype=np.float32)
    index = np.arange(len(log))
    for distance in range(1, max_length + 1):
        later = index[distance:]
        later = later[(later - distance >= log.first[later]) & (log.split[later] == TRAIN)]
        pair = log.item[later - distance].astype(np.int64), log.item[later].astype(np.int64)
        result = result + scipy.sparse.csr_array((np.ones(len(later), dtype=np.float32), pair), shape=result.shape)
    result = scipy.sparse.csr_array(result + result.T)
    result.setdiag(0)
    result.eliminate_zeros()
    number = np.bincount(log.item[log.split == TRAIN], minlength=n_items)
    root = scipy.sparse.diags_array(1 / np.sqrt(np.maximum(number, 1)), dtype=np.float32)
    return scipy.sparse.csr_array(root @ result @ root)

"""Features of candidate items that are counted, not trained: recency-weighted popularity and similarity to the history.

docs/models.md, "Score fusion", has the definitions.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.model.score_fusion.text_neighbors import TextNeighbors, sharpen_
from recbole_lecdsr.model.sequence_input import SequenceInput

_BINS = 256  # of relative time; a count excludes the bin of the user's newest interaction
_RECENT_BINS = (2, 16, _BINS)  # lengths of the periods before that bin in which interactions are counted
_DECAY = 0.9  # of an interaction's weight with each later one of the history
# Units of similarity sums: one far below its unit counts as none.
_UNIT = 1e-3
_SMOOTHED_UNIT = 1e-2
# Cells of intermediate results at a time: on a CPU what its caches hold; on a GPU launching kernels costs more.
_CPU_CELLS = 1 << 20
_GPU_CELLS = 1 << 24
_SPARSE_ENTRY_COST = 100  # of an entry of a sparse matrix, in products with a dense one


class CandidateFeatures(nn.Module):
    """K features of each candidate for each history, from training interactions and item texts alone.

    In this order:

    - log(1 + count) of the candidate's training interactions in each of three periods before the user's newest
      interaction, and whether it has none in the longest (`num_popularity` = 4 features);
    - log(1 + similarity / unit) of the candidate to the history's interactions of the target's domain, and to those of
      the other domain: by co-occurrence; by text; by co-occurrence smoothed over near texts;
    - whether the candidate has no text.

    Without texts the last five are missing (K is 6 instead of 11). A similarity is Σ_h 0.9^age(h) M_hc over the history
    h; M is one of: N, co-occurrences of two items / √(product of their numbers of training interactions); T, the
    fourth power of the positive part of the cosine of their texts; S N + N Sᵀ, S the shares of each item's ten nearest
    texts.

    Args:
        log: whose training interactions are counted.
        n_items: items, padding (0) included.
        max_length: L; two items co-occur where a user has both within L interactions.
        texts: of the items, or None.
    """

    num_popularity = len(_RECENT_BINS) + 1
    cumulative_count: Tensor
    similarity: Tensor  # co-occurrence: a dense matrix, or the values of a sparse one
    row_start: Tensor
    column: Tensor
    vector: Tensor
    missing: Tensor
    nearest: Tensor
    share: Tensor

    def __init__(self, log: EventLog, n_items: int, max_length: int, texts: TextNeighbors | None):
        super().__init__()
        self.n_items = n_items
        self._keep("cumulative_count", torch.from_numpy(count_by_time(log, n_items)))
        cooccurrence = count_cooccurrence(log, n_items, max_length)
        num_nearest = 1 if texts is None else texts.nearest.shape[1]
        self.dense = _SPARSE_ENTRY_COST * max_length * num_nearest * cooccurrence.nnz > n_items**3
        if self.dense:
            self._keep("similarity", torch.from_numpy(cooccurrence.toarray()))
        else:
            self._keep("row_start", torch.from_numpy(cooccurrence.indptr.astype(np.int64)))
            self._keep("column", torch.from_numpy(cooccurrence.indices.astype(np.int64)))
            self._keep("similarity", torch.from_numpy(cooccurrence.data.astype(np.float32)))
        self.has_texts = texts is not None
        if texts is not None:
            self._keep("vector", texts.vector)
            self._keep("missing", texts.missing)
            self._keep("nearest", texts.nearest)
            self._keep("share", texts.share)
        self.size = self.num_popularity + (2 if texts is None else 7)

    def _keep(self, name: str, values: Tensor) -> None:
        """A buffer that moves with the model and is no part of its checkpoint: it follows from the data."""
        self.register_buffer(name, values, persistent=False)

    def forward(self, inputs: SequenceInput, candidates: Tensor | None) -> Tensor:
        """φ of all rows at once.

        Args:
            inputs: histories of B samples.
            candidates: (B, C) int64, or None for all items.

        Returns:
            (K, B, C) or (K, B, n_items) float32.
        """
        return torch.cat([self.of_rows(rows, inputs, candidates) for rows in self.row_chunks(inputs)], dim=1)

    def row_chunks(self, inputs: SequenceInput) -> list[slice]:
        """Rows of a batch in chunks whose intermediate results fit."""
        rows = max(1, _max_cells(inputs.item_seq) // (2 * self.n_items))
        return [slice(start, start + rows) for start in range(0, len(inputs.item_seq), rows)]

    def of_rows(self, rows: slice, inputs: SequenceInput, candidates: Tensor | None) -> Tensor:
        """φ of some rows of a batch; arguments as of `forward`."""
        inputs = SequenceInput(*(values[rows] for values in inputs))
        candidates = None if candidates is None else candidates[rows]
        item_seq = inputs.item_seq
        age = torch.arange(item_seq.shape[1] - 1, -1, -1, device=item_seq.device)
        weight = _DECAY ** age.float() * item_seq.ne(0)
        same_domain = inputs.domain_seq == inputs.domain.unsqueeze(1)
        weights = torch.stack([weight * same_domain, weight * ~same_domain])
        recent = self._recent_counts(inputs.time_seq[:, -1], candidates)
        by_cooccurrence = self._cooccurrence(weights, item_seq)
        parts = [
            recent.float().log1p(),
            recent[-1:].eq(0),
            (gather_candidates(candidates, by_cooccurrence) / _UNIT).log1p(),
        ]
        if self.has_texts:
            parts.append((self._text_similarity(weights, item_seq, candidates) / _UNIT).log1p())
            smoothed = self._smoothed_cooccurrence(weights, item_seq, by_cooccurrence, candidates)
            parts.append((smoothed / _SMOOTHED_UNIT).log1p())
            missing = self.missing.expand(len(item_seq), -1)
            parts.append((missing if candidates is None else take_rows(self.missing, candidates))[None])
        return torch.cat([part.float() for part in parts])

    def _recent_counts(self, time: Tensor, candidates: Tensor | None) -> Tensor:
        """Training interactions of candidates in each period before times (B,): (periods, B, C)."""
        end = (time * _BINS).long()
        until = self._counts_before(end, candidates)
        return torch.stack(
            [until - self._counts_before((end - bins).clamp(min=0), candidates) for bins in _RECENT_BINS]
        )

    def _counts_before(self, time_bin: Tensor, candidates: Tensor | None) -> Tensor:
        if candidates is None:
            return self.cumulative_count.index_select(0, time_bin)
        return take_rows(self.cumulative_count.view(-1), time_bin.unsqueeze(1) * self.n_items + candidates)

    def _cooccurrence(self, weights: Tensor, item: Tensor) -> Tensor:
        """Σ_m weight_m N of item m and of every item: weights (P, B, M) of items (B, M) -> (P, B, n_items)."""
        total = weights.new_zeros(*weights.shape[:2], self.n_items)
        if self.dense:
            return total.scatter_add_(2, item.expand(len(weights), -1, -1), weights) @ self.similarity
        part, sample, column = torch.nonzero(weights, as_tuple=True)
        item = item[sample, column]
        first = take_rows(self.row_start, item)
        number = take_rows(self.row_start, item + 1) - first
        source = torch.repeat_interleave(number)
        begin = first - (number.cumsum(0) - number)
        entry = torch.arange(len(source), device=source.device) + take_rows(begin, source)
        row = (part * weights.shape[1] + sample) * self.n_items
        value = take_rows(weights[part, sample, column], source) * take_rows(self.similarity, entry)
        total.view(-1).scatter_add_(0, take_rows(row, source) + take_rows(self.column, entry), value)
        return total

    def _text_similarity(self, weights: Tensor, item_seq: Tensor, candidates: Tensor | None) -> Tensor:
        """Σ_l weight_l T of item l and of each candidate, (2, B, C)."""
        if candidates is None:
            distinct, index = torch.unique(item_seq, return_inverse=True)
            part, sample, column = torch.nonzero(weights, as_tuple=True)
            entry = torch.stack([part * len(item_seq) + sample, index[sample, column]])
            # A window holds few of the items of a batch.
            of_item = torch.sparse_coo_tensor(
                entry, weights[part, sample, column], (2 * len(item_seq), len(distinct)), check_invariants=False
            )
            similarity = torch.sparse.mm(of_item, sharpen_(self.vector[distinct] @ self.vector.T))
            return similarity.view(2, len(item_seq), self.n_items)
        result = []
        size = max(1, _max_cells(weights) // (candidates.shape[1] * self.vector.shape[1]))
        for start in range(0, len(item_seq), size):
            rows = slice(start, start + size)
            history, candidate = (F.embedding(item[rows], self.vector) for item in (item_seq, candidates))
            result.append(weights[:, rows].movedim(0, 1) @ sharpen_(history @ candidate.transpose(1, 2)))
        return torch.cat(result).movedim(1, 0)

    def _smoothed_cooccurrence(
        self, weights: Tensor, item_seq: Tensor, by_cooccurrence: Tensor, candidates: Tensor | None
    ) -> Tensor:
        """Σ_l weight_l (S N + N Sᵀ) of item l and of each candidate, (2, B, C), given Σ_l weight_l N, (2, B, n)."""
        near, share = F.embedding(item_seq, self.nearest), F.embedding(item_seq, self.share)
        of_history = self._cooccurrence((weights.unsqueeze(-1) * share).flatten(2), near.flatten(1))
        if candidates is None:
            row = torch.arange(self.n_items, device=near.device).repeat_interleave(self.nearest.shape[1])
            shares = torch.sparse_coo_tensor(
                torch.stack([row, self.nearest.view(-1)]), self.share.view(-1), (self.n_items, self.n_items),
                check_invariants=False,
            )  # fmt: skip
            return of_history + torch.sparse.mm(shares, by_cooccurrence.flatten(0, 1).T).T.view_as(by_cooccurrence)
        near, share = F.embedding(candidates, self.nearest), F.embedding(candidates, self.share)
        of_candidate = by_cooccurrence.gather(2, near.flatten(1).expand(2, -1, -1)).view(2, *near.shape)
        return gather_candidates(candidates, of_history) + torch.einsum("pbck,bck->pbc", of_candidate, share)


def _max_cells(values: Tensor) -> int:
    return _CPU_CELLS if values.device.type == "cpu" else _GPU_CELLS


def gather_candidates(candidates: Tensor | None, every: Tensor) -> Tensor:
    """The values of candidates (B, C) among those of every item: (P, B, n_items) -> (P, B, C)."""
    return every if candidates is None else every.gather(2, candidates.expand(len(every), -1, -1))


def take_rows(values: Tensor, index: Tensor) -> Tensor:
    """``values[index]`` of one axis, which on a CPU takes ten times as long."""
    return values.index_select(0, index.reshape(-1)).view(index.shape)


def count_by_time(log: EventLog, n_items: int) -> np.ndarray:
    """(bins + 1, n_items) int32: training interactions of each item in the bins of relative time before each bin."""
    train = np.flatnonzero(log.split == TRAIN)
    bins = np.minimum((log.relative_time[train] * _BINS).astype(np.int64), _BINS - 1)
    result = np.zeros((_BINS + 1, n_items), dtype=np.int32)
    np.add.at(result, (bins + 1, log.item[train]), 1)
    return result.cumsum(axis=0, dtype=np.int32)


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

"""Features of candidate items that are counted, not trained: recency-weighted popularity and similarity to the history.

docs/models.md, 7.1, has the definitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.model.score_fusion.cooccurrence import History, make_cooccurrence
from recbole_lecdsr.model.score_fusion.text_neighbors import TextNeighbors, sharpen_
from recbole_lecdsr.model.sequence_input import SequenceInput

_BINS = 256  # of relative time; a count excludes the bin of the user's newest interaction
_RECENT_BINS = (2, 16, _BINS)  # lengths of the periods before that bin in which interactions are counted
_DECAY = 0.9  # of an interaction's weight with each later one of the history
# Units of similarity sums: one far below its unit counts as none.
UNIT = 1e-3
SMOOTHED_UNIT = 1e-2
# Cells of intermediate results at a time: on a CPU what its caches hold; on a GPU launching kernels costs more.
_CPU_CELLS = 1 << 20
_GPU_CELLS = 1 << 24


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
        domain_items: ids of the items of the source and of the target domain.
    """

    num_popularity = len(_RECENT_BINS) + 1
    cumulative_count: Tensor
    vector: Tensor
    missing: Tensor

    def __init__(
        self,
        log: EventLog,
        n_items: int,
        max_length: int,
        texts: TextNeighbors | None,
        domain_items: Sequence[np.ndarray],
    ):
        super().__init__()
        self.n_items = n_items
        self.register_buffer("cumulative_count", torch.from_numpy(count_by_time(log, n_items)), persistent=False)
        self.cooccurrence = make_cooccurrence(log, n_items, max_length, texts, domain_items)
        self.has_texts = texts is not None
        if texts is not None:
            # They follow from the data, so they are no part of a checkpoint.
            self.register_buffer("vector", texts.vector, persistent=False)
            self.register_buffer("missing", texts.missing, persistent=False)
        self.size = self.num_popularity + (2 if texts is None else 7)

    def forward(self, inputs: SequenceInput, candidates: Tensor) -> Tensor:
        """φ of each sample's own candidates.

        Args:
            inputs: histories of B samples.
            candidates: (B, C) int64.

        Returns:
            (K, B, C) float32.
        """
        result = torch.empty(self.size, *candidates.shape, device=candidates.device)
        for rows, features in self.by_rows(inputs, candidates):
            result[:, rows] = features
        return result

    def by_rows(self, inputs: SequenceInput, candidates: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """φ as of `forward`, some rows at a time, so that intermediate results fit.

        Yields:
            rows, (R,) int64, of one domain and with windows of about the same length; and their φ, (K, R, C).
        """
        size = max(1, max_cells(candidates) // (2 * self.n_items))
        length = inputs.item_seq.ne(0).sum(dim=1)
        for domain in range(2):
            of_domain = torch.nonzero(inputs.domain == domain).flatten()
            for rows in of_domain[torch.argsort(length[of_domain], stable=True)].split(size):
                if not len(rows):  # no sample of the domain
                    continue
                yield rows, self._of_rows(inputs, rows, domain, candidates[rows])

    def _of_rows(self, inputs: SequenceInput, rows: Tensor, domain: int, candidates: Tensor) -> Tensor:
        history = self.history(inputs, rows, domain)
        by_counts, *smoothed = self.cooccurrence.of_candidates(history, domain, candidates)
        popularity = self._popularity(self.time_bin(inputs, rows).unsqueeze(1), candidates)
        parts = [popularity, by_counts.div_(UNIT).log1p_()]
        if self.has_texts:
            parts.append(self._text_similarity(history, candidates).div_(UNIT).log1p_())
            parts.append(smoothed[0].div_(SMOOTHED_UNIT).log1p_())
            parts.append(take_rows(self.missing, candidates)[None].float())
        return torch.cat(parts)

    def history(self, inputs: SequenceInput, rows: Tensor, domain: int) -> History:
        """Items and weights of the windows of some rows, whose targets are of the domain; the columns in which all
        of them are padding are left out."""
        item_seq, domain_seq = inputs.item_seq[rows], inputs.domain_seq[rows]
        longest = max(1, int(item_seq.ne(0).sum(dim=1).max()))
        item_seq, domain_seq = item_seq[:, -longest:], domain_seq[:, -longest:]
        age = torch.arange(longest - 1, -1, -1, device=item_seq.device)
        weight = _DECAY ** age.float() * item_seq.ne(0)
        same_domain = domain_seq == domain
        return History(item_seq, torch.stack([weight * same_domain, weight * ~same_domain]))

    def time_bin(self, inputs: SequenceInput, rows: Tensor) -> Tensor:
        """(R,) int64, bin of the newest interaction of some rows, which is not counted."""
        return (inputs.time_seq[rows, -1] * _BINS).long()

    def _popularity(self, time_bin: Tensor, items: Tensor) -> Tensor:
        """The features of popularity: bins (R, 1) and items (R, C) int64 -> (4, R, C) float32."""
        until = self._counts_before(time_bin, items)
        starts = ((time_bin - bins).clamp(min=0) for bins in _RECENT_BINS)
        return popularity_features(torch.stack([until - self._counts_before(start, items) for start in starts]))

    def _counts_before(self, time_bin: Tensor, items: Tensor) -> Tensor:
        return take_rows(self.cumulative_count.view(-1), time_bin * self.n_items + items)

    def popularity_of_all(self, time_bin: Tensor, items: Tensor) -> Tensor:
        """The features of popularity of the same items for each bin: (Q,) and (C,) int64 -> (4, Q, C) float32."""
        counts = self.cumulative_count.index_select(1, items)
        starts = ((time_bin - bins).clamp(min=0) for bins in _RECENT_BINS)
        until = counts[time_bin]
        return popularity_features(torch.stack([until - counts[start] for start in starts]))

    def _text_similarity(self, history: History, candidates: Tensor) -> Tensor:
        """Σ_l weight_l T of item l and of each candidate, (2, R, C)."""
        result = []
        size = max(1, max_cells(candidates) // (candidates.shape[1] * self.vector.shape[1]))
        for start in range(0, len(candidates), size):
            rows = slice(start, start + size)
            own, other = (F.embedding(item[rows], self.vector) for item in (history.item, candidates))
            near = sharpen_(own @ other.transpose(1, 2))
            result.append(history.weights[:, rows].movedim(0, 1) @ near)
        return torch.cat(result).movedim(1, 0)


def popularity_features(recent: Tensor) -> Tensor:
    """log(1 + count) in each period, and whether the last count is 0: (P, ...) int -> (P + 1, ...) float32."""
    return torch.cat([recent.float().log1p_(), recent[-1:].eq(0).float()])


def max_cells(values: Tensor) -> int:
    """Cells of intermediate results on the device of a tensor."""
    return _CPU_CELLS if values.device.type == "cpu" else _GPU_CELLS


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

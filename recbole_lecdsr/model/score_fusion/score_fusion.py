"""What is known of a candidate without training: how often it went lately, and how near it is to the user's events.

A network that learns a vector for each item knows little of an item of few events, and of those it was trained on it is
too sure. Counts of the training events and cosines of the texts need no training. They are put beside the network's
score in a log-linear model of few weights, and those are learned from training events that the network has not seen
(`CrossDomainSequentialDataset.calibration_targets`), by which it weighs the network, too, as it will be in the test.
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

_BINS = 256  # of the relative_time; what happened in the bin of the newest event is not counted
_LATELY = (2, 16, _BINS)  # bins before it
_FADING = 0.9  # of an event's weight in a history with each later one
# Of nearness: a sum far below it is as good as none.
_UNIT = 1e-3
_SMOOTH_UNIT = 1e-2
# Of candidates' features at a time: on a CPU, what its caches hold; elsewhere calls cost more.
_CELLS = 1 << 20
_DEVICE_CELLS = 1 << 24
_ENTRY = 100  # an entry of a sparse matrix costs as much as so many products with a dense one


class ScoreFusion(nn.Module):
    """Features of candidates, and what they and the network's score are worth.

    score = r (β_d + γ_d · φ') + α_d · φ, with the network's score r, features φ, of which φ' are the first four, and
    weights of the target's domain d: K + 5 in all. The features are

    - log(1 + count) of the candidate's training events in three stretches of time before the user's newest event, and
      whether it has none: on these depends, too, how far the network is to be trusted;
    - log(1 + nearness) to the user's events of the candidate's domain and of the other, by common users, by text, and
      by common users of items of near text; and whether the candidate has no text.

    Nearness is Σ_h 0.9^age M_hc, where M is N, the cosine of the events of the two items; T, the fourth power of that
    of their texts (less the mean text) where it is positive; or S N + N Sᵀ, where S has the share of each of the ten
    nearest texts of an item (`TextNeighbors`).

    Args:
        log: whose training events are counted.
        n_items: items, padding (0) included.
        max_length: L; two items have a user in common who has both within L events.
        texts: of the items; None for no nearness by text.
    """

    def __init__(self, log: EventLog, n_items: int, max_length: int, texts: TextNeighbors | None):
        super().__init__()
        self.n_items = n_items
        self._keep("number", torch.from_numpy(_numbers(log, n_items)))
        near = _neighbours(log, n_items, max_length)
        num_nearest = 1 if texts is None else texts.nearest.shape[1]
        self.dense = _ENTRY * max_length * num_nearest * near.nnz > n_items**3
        if self.dense:
            self._keep("nearness", torch.from_numpy(near.toarray()))
        else:
            self._keep("first", torch.from_numpy(near.indptr.astype(np.int64)))
            self._keep("neighbour", torch.from_numpy(near.indices.astype(np.int64)))
            self._keep("nearness", torch.from_numpy(near.data.astype(np.float32)))
        for name in TextNeighbors._fields:
            self._keep(name, None if texts is None else getattr(texts, name))
        self.size = len(_LATELY) + 1 + (2 if texts is None else 7)
        self.register_buffer("weight", torch.zeros(2, self.size))  # α
        self.register_buffer("trust", torch.zeros(2, len(_LATELY) + 1))  # γ
        self.register_buffer("scale", torch.ones(2))  # β

    def _keep(self, name: str, values: Tensor | None) -> None:
        self.register_buffer(name, values, persistent=False)

    @property
    def texts(self) -> TextNeighbors | None:
        """What it was made with."""
        return None if self.vector is None else TextNeighbors(*(getattr(self, name) for name in TextNeighbors._fields))

    def forward(
        self,
        score: Tensor,
        item_seq: Tensor,
        domain_seq: Tensor,
        time_seq: Tensor,
        domain: Tensor,
        candidates: Tensor | None,
    ) -> Tensor:
        """Scores of candidates by network and score_fusion.

        Args:
            score: r, (B, C) float32, or (B, n_items).
            item_seq, domain_seq: (B, L) int64, left-padded, newest last.
            time_seq: (B, L) float32 in [0, 1].
            domain: (B,) int64, of the target.
            candidates: (B, C) int64, or None for all items.

        Returns:
            As ``score``.
        """
        result = torch.empty_like(score)
        for part in self._pieces(item_seq):
            features = self._features(part, item_seq, domain_seq, time_seq, domain, candidates)
            code = domain[part]
            result[part] = fuse_scores(score[part], features, self.weight[code], self.trust[code], self.scale[code])
        return result

    def features(
        self,
        item_seq: Tensor,
        domain_seq: Tensor,
        time_seq: Tensor,
        domain: Tensor,
        candidates: Tensor | None,
    ) -> Tensor:
        """φ, (K, B, C) or (K, B, n_items) float32; arguments as of the call."""
        seen = item_seq, domain_seq, time_seq, domain, candidates
        return torch.cat([self._features(part, *seen) for part in self._pieces(item_seq)], dim=1)

    def _pieces(self, item_seq: Tensor) -> list[slice]:
        rows = max(1, _cells(item_seq) // (2 * self.n_items))
        return [slice(start, start + rows) for start in range(0, len(item_seq), rows)]

    def _features(self, part: slice, *seen: Tensor | None) -> Tensor:
        item_seq, domain_seq, time_seq, domain, candidates = (
            None if values is None else values[part] for values in seen
        )
        age = torch.arange(item_seq.shape[1] - 1, -1, -1, device=item_seq.device)
        weight = _FADING ** age.float() * item_seq.ne(0)
        own = domain_seq == domain.unsqueeze(1)
        weights = torch.stack([weight * own, weight * ~own])
        lately = self._lately(time_seq[:, -1], candidates)
        by_users = self._by_users(weights, item_seq)
        parts = [lately.float().log1p(), lately[-1:].eq(0), (_of(candidates, by_users) / _UNIT).log1p()]
        if self.vector is not None:
            parts.append((self._by_text(weights, item_seq, candidates) / _UNIT).log1p())
            smooth = self._by_users_of_near_texts(weights, item_seq, by_users, candidates)
            parts.append((smooth / _SMOOTH_UNIT).log1p())
            missing = self.missing.expand(len(item_seq), -1) if candidates is None else _at(self.missing, candidates)
            parts.append(missing[None])
        return torch.cat([part.float() for part in parts])

    def _lately(self, time: Tensor, candidates: Tensor | None) -> Tensor:
        """Training events of candidates in each of the stretches before times (B,): (stretches, B, C)."""
        end = (time * _BINS).long()
        until = self._numbers_at(end, candidates)
        return torch.stack([until - self._numbers_at((end - bins).clamp(min=0), candidates) for bins in _LATELY])

    def _numbers_at(self, bin: Tensor, candidates: Tensor | None) -> Tensor:
        if candidates is None:
            return self.number.index_select(0, bin)
        return _at(self.number.view(-1), bin.unsqueeze(1) * self.n_items + candidates)

    def _by_users(self, weights: Tensor, item: Tensor) -> Tensor:
        """Σ_m weight_m N of item m and of every item: weights (P, B, M) of items (B, M) -> (P, B, n_items)."""
        total = weights.new_zeros(*weights.shape[:2], self.n_items)
        if self.dense:
            return total.scatter_add_(2, item.expand(len(weights), -1, -1), weights) @ self.nearness
        part, sample, place = torch.nonzero(weights, as_tuple=True)
        item = item[sample, place]
        first = _at(self.first, item)
        number = _at(self.first, item + 1) - first
        event = torch.repeat_interleave(number)
        begin = first - (number.cumsum(0) - number)
        entry = torch.arange(len(event), device=event.device) + _at(begin, event)
        row = (part * weights.shape[1] + sample) * self.n_items
        value = _at(weights[part, sample, place], event) * _at(self.nearness, entry)
        total.view(-1).scatter_add_(0, _at(row, event) + _at(self.neighbour, entry), value)
        return total

    def _by_text(self, weights: Tensor, item_seq: Tensor, candidates: Tensor | None) -> Tensor:
        """Σ_l weight_l T of item l and of each candidate, (2, B, C)."""
        if candidates is None:
            distinct, place = torch.unique(item_seq, return_inverse=True)
            part, sample, column = torch.nonzero(weights, as_tuple=True)
            index = torch.stack([part * len(item_seq) + sample, place[sample, column]])
            # A window has few of the items of a batch.
            of_item = torch.sparse_coo_tensor(
                index, weights[part, sample, column], (2 * len(item_seq), len(distinct)), check_invariants=False
            )
            nearness = torch.sparse.mm(of_item, sharpen_(self.vector[distinct] @ self.vector.T))
            return nearness.view(2, len(item_seq), self.n_items)
        result = []
        rows = max(1, _cells(weights) // (candidates.shape[1] * self.vector.shape[1]))
        for start in range(0, len(item_seq), rows):
            part = slice(start, start + rows)
            history, candidate = (F.embedding(item[part], self.vector) for item in (item_seq, candidates))
            result.append(weights[:, part].movedim(0, 1) @ sharpen_(history @ candidate.transpose(1, 2)))
        return torch.cat(result).movedim(1, 0)

    def _by_users_of_near_texts(
        self, weights: Tensor, item_seq: Tensor, by_users: Tensor, candidates: Tensor | None
    ) -> Tensor:
        """Σ_l weight_l (S N + N Sᵀ) of item l and of each candidate, (2, B, C); Σ_l weight_l N is known, (2, B, n)."""
        near, share = F.embedding(item_seq, self.nearest), F.embedding(item_seq, self.share)
        of_history = self._by_users((weights.unsqueeze(-1) * share).flatten(2), near.flatten(1))
        if candidates is None:
            row = torch.arange(self.n_items, device=near.device).repeat_interleave(self.nearest.shape[1])
            shares = torch.sparse_coo_tensor(
                torch.stack([row, self.nearest.view(-1)]), self.share.view(-1), (self.n_items, self.n_items),
                check_invariants=False,
            )  # fmt: skip
            return of_history + torch.sparse.mm(shares, by_users.flatten(0, 1).T).T.view_as(by_users)
        near, share = F.embedding(candidates, self.nearest), F.embedding(candidates, self.share)
        of_candidate = by_users.gather(2, near.flatten(1).expand(2, -1, -1)).view(2, *near.shape)
        return _of(candidates, of_history) + torch.einsum("pbck,bck->pbc", of_candidate, share)

    def learn(self, score: Tensor, features: Tensor, domain: Tensor) -> None:
        """Choose α, β and γ by the likelihood of targets among candidates, with a normal prior about 0, 1 and 0.

        Args:
            score: (S, C) float32, the network's; column 0 is the target's, minus infinity where there is no candidate.
            features: (K, S, C) float32.
            domain: (S,) int64.
        """
        for code in range(2):
            chosen = torch.nonzero(domain == code).squeeze(1)
            found = fit_map_weights(score[chosen], features[:, chosen], self.trust.shape[1])
            self.weight[code], self.trust[code], self.scale[code] = found


def fuse_scores(score: Tensor, features: Tensor, weight: Tensor, trust: Tensor, scale: Tensor) -> Tensor:
    """r (β + γ · φ') + α · φ.

    Args:
        score: r, (B, C).
        features: φ, (K, B, C); φ' are its first K'.
        weight: α, (B, K).
        trust: γ, (B, K').
        scale: β, (B,).

    Returns:
        (B, C).
    """
    trusted = torch.einsum("kbc,bk->bc", features[: trust.shape[1]], trust) + scale.unsqueeze(1)
    return torch.addcmul(torch.einsum("kbc,bk->bc", features, weight), score, trusted)


@torch.enable_grad()
def fit_map_weights(score: Tensor, features: Tensor, num_trust: int) -> tuple[Tensor, Tensor, Tensor]:
    """α, (K,), γ, (K',), and β, scalar, by which `fuse_scores` makes the targets most likely; arguments as of `learn`."""
    parts = [len(features), num_trust, 1]
    values = torch.zeros(sum(parts), device=score.device)
    values[-1] = 1
    hidden = score == -torch.inf
    # Of scores that are no numbers nothing is to be learned: evaluation refuses them.
    if len(score) and (score.isfinite() | hidden).all():
        prior = values.clone()
        values.requires_grad_()
        optimizer = torch.optim.LBFGS([values], max_iter=50, line_search_fn="strong_wolfe")
        target = torch.zeros(len(score), dtype=torch.int64, device=score.device)
        score = score.masked_fill(hidden, 0.0)
        known = torch.cat([features, score * features[:num_trust], score[None]])

        def loss() -> Tensor:
            optimizer.zero_grad()
            logits = torch.einsum("ksc,k->sc", known, values).masked_fill(hidden, -torch.inf)
            total = F.cross_entropy(logits, target, reduction="sum") + (values - prior).square().sum() / 2
            total = total / len(score)
            total.backward()
            return total

        optimizer.step(loss)
    weight, trust, scale = values.detach().split(parts)
    return weight, trust, scale.squeeze(0)


def _cells(values: Tensor) -> int:
    return _CELLS if values.device.type == "cpu" else _DEVICE_CELLS


def _of(candidates: Tensor | None, every: Tensor) -> Tensor:
    """The values of candidates (B, C) among those of every item: (P, B, n_items) -> (P, B, C)."""
    return every if candidates is None else every.gather(2, candidates.expand(len(every), -1, -1))


def _at(values: Tensor, index: Tensor) -> Tensor:
    """``values[index]`` of one axis, which on a CPU takes ten times as long."""
    return values.index_select(0, index.reshape(-1)).view(index.shape)


def _numbers(log: EventLog, n_items: int) -> np.ndarray:
    """(bins + 1, n_items) int: training events of each item in the bins of the relative_time before each."""
    train = np.flatnonzero(log.split == TRAIN)
    bins = np.minimum((log.relative_time[train] * _BINS).astype(np.int64), _BINS - 1)
    result = np.zeros((_BINS + 1, n_items), dtype=np.int32)
    np.add.at(result, (bins + 1, log.item[train]), 1)
    return result.cumsum(axis=0, dtype=np.int32)


def _neighbours(log: EventLog, n_items: int, max_length: int) -> scipy.sparse.csr_array:
    """(n_items, n_items) float32 symmetric: pairs of events of two items / √(events of one · events of the other).

    A pair is a training event and an event up to L before it in its sequence.
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

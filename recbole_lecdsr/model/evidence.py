"""What is known of a candidate without training: how often it went lately, and how near it is to the user's events.

A network that learns a vector for each item knows little of an item of few events, and of those it was trained on it is
too sure. Counts of the training events and cosines of the texts need no training. They are put beside the network's
score in a log-linear model of few weights, and those are learned from training events that the network has not seen
(`CrossDomainSequentialDataset.held_out_targets`), by which it weighs the network, too, as it will be in the test.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.data.sequence import TRAIN, EventLog
from recbole_lecdsr.model.causal import principal_components

_BINS = 256  # of the calendar; what happened in the bin of the newest event is not counted
_LATELY = (2, 16, _BINS)  # bins before it
_FADING = 0.9  # of an event's weight in a history with each later one
_TEXT_SIZE = (
    128  # principal components of the texts: their cosines are nearly those of the whole, at a third of the cost
)
_UNIT = 1e-3  # of nearness: a sum far below it is as good as none
_CELLS = 1 << 22  # of candidates' features at a time


class Evidence(nn.Module):
    """Features of candidates, and what they and the network's score are worth.

    score = β_d · r + α_d · φ, with the network's score r, features φ and weights of the target's domain d: K in all,
    log(1 + count) of the candidate's training events in three stretches of time before the user's newest event, whether
    it has none, and log(1 + nearness) to the user's events of the candidate's domain and of the other, by common
    users and by text, and whether it has no text. Nearness is Σ_h 0.9^age cos(h, c), where cos is either that of the
    events of the two items, or the fourth power of that of their texts (less the mean text) where it is positive.

    Args:
        log: whose training events are counted.
        n_items: items, padding (0) included.
        max_length: L; two items have a user in common who has both within L events.
        item_embedding: x, (n_items, D) float32, zero where there is no text; None for no nearness by text.
    """

    def __init__(self, log: EventLog, n_items: int, max_length: int, item_embedding: Tensor | None):
        super().__init__()
        self.n_items = n_items
        number = _numbers(log, n_items)
        near = _neighbours(log, n_items, max_length)
        self._keep("number", torch.from_numpy(number))
        self._keep("first", torch.from_numpy(near.indptr.astype(np.int64)))
        self._keep("neighbour", torch.from_numpy(near.indices.astype(np.int64)))
        self._keep("nearness", torch.from_numpy(near.data.astype(np.float32)))
        text = None if item_embedding is None else principal_components(item_embedding, _TEXT_SIZE)
        self._keep("text", None if text is None else F.normalize(text, dim=1))
        self._keep("no_text", None if text is None else text.eq(0).all(dim=1))
        self.size = len(_LATELY) + 1 + (2 if item_embedding is None else 5)
        self.register_buffer("weight", torch.zeros(2, self.size))  # α
        self.register_buffer("scale", torch.ones(2))  # β

    def _keep(self, name: str, values: Tensor | None) -> None:
        self.register_buffer(name, values, persistent=False)

    def forward(
        self,
        score: Tensor,
        item_seq: Tensor,
        domain_seq: Tensor,
        calendar_seq: Tensor,
        domain: Tensor,
        candidates: Tensor | None,
    ) -> Tensor:
        """Scores of candidates by network and evidence.

        Args:
            score: r, (B, C) float32, or (B, n_items).
            item_seq, domain_seq: (B, L) int64, left-padded, newest last.
            calendar_seq: (B, L) float32 in [0, 1].
            domain: (B,) int64, of the target.
            candidates: (B, C) int64, or None for all items.

        Returns:
            As ``score``.
        """
        score = score * self.scale[domain].unsqueeze(1)
        rows = max(1, _CELLS // score.shape[1])
        for start in range(0, len(score), rows):
            part = slice(start, start + rows)
            features = self.features(
                *(values[part] for values in (item_seq, domain_seq, calendar_seq, domain)),
                None if candidates is None else candidates[part],
            )
            score[part] += torch.einsum("kbc,bk->bc", features, self.weight[domain[part]])
        return score

    def features(
        self,
        item_seq: Tensor,
        domain_seq: Tensor,
        calendar_seq: Tensor,
        domain: Tensor,
        candidates: Tensor | None,
    ) -> Tensor:
        """φ, (K, B, C) or (K, B, n_items) float32; arguments as of the call."""
        age = torch.arange(item_seq.shape[1] - 1, -1, -1, device=item_seq.device)
        weight = _FADING ** age.float() * item_seq.ne(0)
        own = domain_seq == domain.unsqueeze(1)
        weights = torch.stack([weight * own, weight * ~own])
        parts = [self._lately(calendar_seq[:, -1], candidates)]
        parts.append(parts[0][-1:].eq(0))
        parts[0] = parts[0].float().log1p()
        parts.append((self._near_by_users(weights, item_seq, candidates) / _UNIT).log1p())
        if self.text is not None:
            parts.append((self._near_by_text(weights, item_seq, candidates) / _UNIT).log1p())
            no_text = self.no_text.expand(len(item_seq), -1) if candidates is None else self.no_text[candidates]
            parts.append(no_text[None])
        return torch.cat([part.float() for part in parts])

    def _lately(self, time: Tensor, candidates: Tensor | None) -> Tensor:
        """Training events of candidates in each of the stretches before times (B,): (stretches, B, C)."""
        end = (time * _BINS).long()
        until = self._numbers_at(end, candidates)
        return torch.stack([until - self._numbers_at((end - bins).clamp(min=0), candidates) for bins in _LATELY])

    def _numbers_at(self, bin: Tensor, candidates: Tensor | None) -> Tensor:
        return self.number[bin] if candidates is None else self.number[bin.unsqueeze(1), candidates]

    def _near_by_users(self, weights: Tensor, item_seq: Tensor, candidates: Tensor | None) -> Tensor:
        """Σ_l weight_l · cosine of the events of item l and of each candidate, (2, B, C)."""
        result = []
        for weight in weights:
            sample, place = torch.nonzero(weight, as_tuple=True)
            item = item_seq[sample, place]
            number = self.first[item + 1] - self.first[item]
            event = torch.repeat_interleave(number)
            begin = self.first[item] - (number.cumsum(0) - number)
            entry = torch.arange(len(event), device=event.device) + begin[event]
            total = weight.new_zeros(len(weight) * self.n_items)
            value = weight[sample, place][event] * self.nearness[entry]
            total.scatter_add_(0, sample[event] * self.n_items + self.neighbour[entry], value)
            total = total.view(len(weight), self.n_items)
            result.append(total if candidates is None else total.gather(1, candidates))
        return torch.stack(result)

    def _near_by_text(self, weights: Tensor, item_seq: Tensor, candidates: Tensor | None) -> Tensor:
        """Σ_l weight_l · sharpened cosine of the texts of item l and of each candidate, (2, B, C)."""
        if candidates is None:
            distinct, place = torch.unique(item_seq, return_inverse=True)
            part, sample, column = torch.nonzero(weights, as_tuple=True)
            index = torch.stack([part * len(item_seq) + sample, place[sample, column]])
            # A window has few of the items of a batch.
            of_item = torch.sparse_coo_tensor(
                index, weights[part, sample, column], (2 * len(item_seq), len(distinct)), check_invariants=False
            )
            nearness = torch.sparse.mm(of_item, _sharpened(self.text[distinct] @ self.text.T))
            return nearness.view(2, len(item_seq), self.n_items)
        result = []
        rows = max(1, _CELLS // (candidates.shape[1] * self.text.shape[1]))
        for start in range(0, len(item_seq), rows):
            part = slice(start, start + rows)
            history, candidate = (F.embedding(item[part], self.text) for item in (item_seq, candidates))
            result.append(weights[:, part].movedim(0, 1) @ _sharpened(history @ candidate.transpose(1, 2)))
        return torch.cat(result).movedim(1, 0)

    def learn(self, score: Tensor, features: Tensor, domain: Tensor) -> None:
        """Choose α and β by the likelihood of targets among candidates, with a normal prior about 0 and 1.

        Args:
            score: (S, C) float32, the network's; column 0 is the target's, minus infinity where there is no candidate.
            features: (K, S, C) float32.
            domain: (S,) int64.
        """
        for code in range(2):
            chosen = torch.nonzero(domain == code).squeeze(1)
            weight, scale = blend(score[chosen], features[:, chosen])
            self.weight[code], self.scale[code] = weight, scale


@torch.enable_grad()
def blend(score: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """α, (K,), and β, scalar, by which β · score + α · φ makes the targets most likely; arguments as of `learn`."""
    values = torch.zeros(len(features) + 1, device=score.device)
    values[-1] = 1
    hidden = score == -torch.inf
    # Of scores that are no numbers nothing is to be learned: evaluation refuses them.
    if not len(score) or not (score.isfinite() | hidden).all():
        return values[:-1], values[-1]
    prior = values.clone()
    values.requires_grad_()
    optimizer = torch.optim.LBFGS([values], max_iter=50, line_search_fn="strong_wolfe")
    target = torch.zeros(len(score), dtype=torch.int64, device=score.device)
    score = score.masked_fill(hidden, 0.0)

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = torch.addcmul(torch.einsum("ksc,k->sc", features, values[:-1]), score, values[-1])
        logits = logits.masked_fill(hidden, -torch.inf)
        total = F.cross_entropy(logits, target, reduction="sum") + (values - prior).square().sum() / 2
        total = total / len(score)
        total.backward()
        return total

    optimizer.step(loss)
    values = values.detach()
    return values[:-1], values[-1]


def _numbers(log: EventLog, n_items: int) -> np.ndarray:
    """(bins + 1, n_items) int: training events of each item in the bins of the calendar before each."""
    train = np.flatnonzero(log.split == TRAIN)
    bins = np.minimum((log.calendar[train] * _BINS).astype(np.int64), _BINS - 1)
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


def _sharpened(cosine: Tensor) -> Tensor:
    """Their positive part to the power 4: what counts is the near ones."""
    return cosine.clamp_(min=0).square_().square_()

"""Training objective over whole sequences: a target at every position, negatives shared by the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_lecdsr import distributed
from recbole_lecdsr.model.alignment import in_batch_alignment
from recbole_lecdsr.model.causal_network import CausalNetwork, shift_left
from recbole_lecdsr.model.ranking_losses import RankingLoss
from recbole_lecdsr.model.sequence_input import SequenceInput

_ALIGNED_ITEMS = 1024  # of a batch, at most


class SequenceObjective:
    """Ranking loss of every target of the sequences, and λ times the alignment loss (docs/models.md, 5.6 and 4.4).

    Args:
        network: gives items, states and queries.
        ranking_loss: of `recbole_lecdsr.model.ranking_losses`.
        temperature: τ.
        align_weight: λ; 0 leaves the alignment loss out.
        align_temperature: τ₂.
    """

    def __init__(
        self,
        network: CausalNetwork,
        *,
        ranking_loss: RankingLoss,
        temperature: float,
        align_weight: float,
        align_temperature: float,
    ):
        self.network, self.ranking_loss, self.temperature = network, ranking_loss, temperature
        self.align_weight, self.align_temperature = align_weight, align_temperature

    def __call__(self, inputs: SequenceInput, target: Tensor, negative: Tensor) -> tuple[Tensor, ...]:
        """Loss of a batch, from one gathering of all the items that take part.

        Args:
            inputs: B sequences; ``domain`` is that of the item after the newest position.
            target: (B, L) int64, the item after each position; 0 where it is not trained on.
            negative: (2, N) int64, items of each domain; 0 beyond the size of a domain.

        Returns:
            the ranking loss and, where λ > 0, the weighted alignment loss: scalars.
        """
        item_seq = inputs.item_seq
        next_domain = shift_left(inputs.domain_seq, inputs.domain)
        filled = int(item_seq.ne(0).any(dim=0).sum())  # columns that hold an interaction
        item_seq, target, next_domain, time_seq = (
            part[:, -filled:] for part in (item_seq, target, next_domain, inputs.time_seq)
        )
        row, column = torch.nonzero(target, as_tuple=True)
        positive, domain = target[row, column], next_domain[row, column]

        distinct, index = torch.unique(
            torch.cat([item_seq.reshape(-1), positive, negative.view(-1)]), return_inverse=True
        )
        sequence_index, positive_index, negative_index = index.split(
            [item_seq.numel(), len(positive), negative.numel()]
        )
        items = self.network.items(distinct)
        embedded = F.embedding(sequence_index.view(item_seq.shape), self.network.fuse(items))
        state = self.network.states(embedded, item_seq.ne(0), next_domain, time_seq)[row, column]
        query = self.network.queries(state, domain, inputs.user[row])

        scores, order = [], []
        negative_index = negative_index.view(negative.shape)
        for code in range(2):
            of_domain = torch.nonzero(domain == code).squeeze(1)
            score = query.index_select(0, of_domain) @ F.embedding(negative_index[code], items.identity).T
            hidden = negative[code] == positive[of_domain].unsqueeze(1)
            hidden |= negative[code] == 0
            # Not minus infinity: where a domain has a single item nothing else would be left.
            scores.append(score.float().masked_fill_(hidden, torch.finfo(torch.float32).min / 1e4))
            order.append(of_domain)
        positive_score = (query * F.embedding(positive_index, items.identity)).sum(dim=1).float()
        ranking = self.ranking_loss(positive_score[torch.cat(order)], torch.cat(scores), self.temperature)
        if not self.align_weight or items.semantics is None:
            return (ranking,)
        return ranking, self.align_weight * self._alignment(items.identity, items.semantics, distinct)

    def count_terms(self, inputs: SequenceInput, target: Tensor) -> tuple[Tensor | int, ...]:
        """How many terms each part of the loss is a mean over: targets, and 1 for the alignment, which each of several
        processes computes for the items of all; arguments as of a call."""
        targets = target.ne(0).sum()
        return (targets, 1) if self.align_weight else (targets,)

    def _alignment(self, identity: Tensor, semantics: Tensor, item: Tensor) -> Tensor:
        """Alignment of a sample of the items that have a text, of all processes: an item is told from the others of the
        batch, so that its loss depends on which they are."""
        every = distributed.unite(item, len(self.network.item_text))
        known = every[self.network.item_text[every].ne(0).any(dim=1)]
        known = known[torch.randperm(len(known), device=known.device)[:_ALIGNED_ITEMS]]
        if distributed.world_size() > 1:
            items = self.network.items(known)
            assert items.semantics is not None, "there are semantics of the rows of this process"
            identity, semantics = items.identity, items.semantics
        else:
            row = torch.searchsorted(item, known)
            identity, semantics = identity[row], semantics[row]
        return in_batch_alignment(identity, semantics, self.align_temperature)

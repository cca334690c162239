"""Training objective over whole sequences: a target at every position, negatives shared by the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_lecdsr import distributed
from recbole_lecdsr.model.alignment import in_batch_alignment
from recbole_lecdsr.model.causal_network import CausalNetwork, shift_left
from recbole_lecdsr.model.modules.spectral_fusion import Items
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
            inputs: B sequences; ``domain`` is that of the item after the newest position, ``n_earlier`` (B, L).
            target: (B, L) int64, the item after each position; 0 where it is not trained on.
            negative: (2, N) int64, items of each domain; 0 beyond the size of a domain.

        Returns:
            the ranking loss and, where λ > 0, the weighted alignment loss: scalars.
        """
        item_seq = inputs.item_seq
        next_domain = shift_left(inputs.domain_seq, inputs.domain)
        filled = int(item_seq.ne(0).any(dim=0).sum())  # columns that hold an interaction
        item_seq, target, next_domain, time_seq, n_earlier = (
            part[:, -filled:] for part in (item_seq, target, next_domain, inputs.time_seq, inputs.n_earlier)
        )
        row, column = torch.nonzero(target, as_tuple=True)
        positive, domain = target[row, column], next_domain[row, column]

        distinct, index = torch.unique(
            torch.cat([item_seq.reshape(-1), positive, negative.view(-1)]), return_inverse=True
        )
        sequence_index, positive_index, negative_index = index.split(
            [item_seq.numel(), len(positive), negative.numel()]
        )
        identity = self.network.item_id(distinct)
        # Texts of the items of the sequences, which come first, and of those that are aligned; negatives need none.
        read, sequence_index = torch.unique(sequence_index, return_inverse=True)
        aligned = self._draw_aligned(distinct) if self.align_weight else distinct[:0]
        others = torch.searchsorted(distinct, aligned) if distributed.world_size() == 1 else read[:0]
        texts = torch.cat([read, others[torch.isin(others, read, invert=True)]])
        semantics = self.network.semantics(distinct[texts])
        in_sequences = Items(identity.index_select(0, read), None if semantics is None else semantics[: len(read)])
        embedded = F.embedding(sequence_index.view(item_seq.shape), self.network.fuse(in_sequences))
        state = self.network.states(embedded, item_seq.ne(0), next_domain, time_seq)[row, column]
        query = self.network.queries(state, domain, inputs.user[row], n_earlier[row, column])

        scores, order = [], []
        negative_index = negative_index.view(negative.shape)
        for code in range(2):
            of_domain = torch.nonzero(domain == code).squeeze(1)
            score = query.index_select(0, of_domain) @ F.embedding(negative_index[code], identity).T
            hidden = negative[code] == positive[of_domain].unsqueeze(1)
            hidden |= negative[code] == 0
            # Not minus infinity: where a domain has a single item nothing else would be left.
            scores.append(score.float().masked_fill_(hidden, torch.finfo(torch.float32).min / 1e4))
            order.append(of_domain)
        positive_score = (query * F.embedding(positive_index, identity)).sum(dim=1).float()
        ranking = self.ranking_loss(positive_score[torch.cat(order)], torch.cat(scores), self.temperature)
        if not self.align_weight or semantics is None:
            return (ranking,)
        if distributed.world_size() > 1:
            items = self.network.items(aligned)
        else:
            place = torch.empty_like(distinct).index_copy_(0, texts, torch.arange(len(texts), device=texts.device))
            items = Items(identity.index_select(0, others), semantics.index_select(0, place[others]))
        assert items.semantics is not None, "there are semantics of the rows of this process"
        align = in_batch_alignment(items.identity, items.semantics, self.align_temperature)
        return ranking, self.align_weight * align

    def count_terms(self, inputs: SequenceInput, target: Tensor) -> tuple[Tensor | int, ...]:
        """How many terms each part of the loss is a mean over: targets, and 1 for the alignment, which each of several
        processes computes for the items of all; arguments as of a call."""
        targets = target.ne(0).sum()
        return (targets, 1) if self.align_weight else (targets,)

    def _draw_aligned(self, item: Tensor) -> Tensor:
        """A sample of the items that have a text, of all processes, (A,) int64.

        The loss contrasts an item with the others of the sample, so each process needs the whole of it.
        """
        if self.network.item_adapter is None:
            return item[:0]
        every = distributed.unite(item, len(self.network.item_text))
        known = every[self.network.has_text[every]]
        return known[torch.randperm(len(known), device=known.device)[:_ALIGNED_ITEMS]]

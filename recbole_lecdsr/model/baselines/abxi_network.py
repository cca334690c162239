"""ABXI's network and loss (docs/models.md, 11).

Source: Bian, de Carvalho, Li, Xu, Fang, Ke, "ABXI: Invariant interest adaptation for task-guided cross-domain
sequential recommendation", WWW 2025, doi 10.1145/3696410.3714819.

B rows, L window length, d embedding size, T positions with a target, f inner size, h heads, K negatives of each domain.
Domains are 0 (source) and 1 (target).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.data.constants import DOMAINS, SOURCE, TARGET
from recbole_lecdsr.model.modules.candidate_scores import candidate_scores
from recbole_lecdsr.model.modules.dropout import Dropout
from recbole_lecdsr.model.modules.layers import masked
from recbole_lecdsr.model.modules.sasrec_encoder import ZeroPaddedAttention
from recbole_lecdsr.model.modules.streams import newest_so_far, positions_from_newest, take_columns

_DEVIATION = 0.02  # of the initial weights
_LORA_SCALE = 1 / 50


class GatedFeedForward(nn.Module):
    """W₃·(SiLU(W₂·v) ⊙ W₁·v) without biases, (…, d) -> (…, d); 0 at 0.

    Args:
        size: d.
        inner_size: f.
    """

    def __init__(self, size: int, inner_size: int):
        super().__init__()
        self.value = nn.Linear(size, inner_size, bias=False)
        self.gate = nn.Linear(size, inner_size, bias=False)
        self.output = nn.Linear(inner_size, size, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, d) -> (…, d)."""
        return self.output(F.silu(self.gate(inputs)) * self.value(inputs))


class LowRankMap(nn.Module):
    """M_A·(M_B·v), (…, d) -> (…, d): a LoRA, 0 for every input at the start.

    Args:
        size: d.
        rank: rows of M_B.
    """

    def __init__(self, size: int, rank: int):
        super().__init__()
        self.down = nn.Parameter(torch.zeros(rank, size))
        self.up = nn.Parameter(torch.randn(size, rank) * _LORA_SCALE)

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, d) -> (…, d)."""
        return F.linear(F.linear(inputs, self.down), self.up)


class DomainHead(nn.Module):
    """What one domain has of its own: its stream's LoRA, norm and network, and how it adapts the invariant interest.

    Args:
        size: d.
        inner_size: f.
        domain_rank, invariant_rank: of the LoRA of the stream and of the invariant interest.
    """

    def __init__(self, size: int, inner_size: int, domain_rank: int, invariant_rank: int):
        super().__init__()
        self.stream_lora = LowRankMap(size, domain_rank)
        self.stream_norm = nn.LayerNorm(size)
        self.feed_forward = GatedFeedForward(size, inner_size)
        self.own_norm = nn.LayerNorm(size)
        self.invariant_lora = LowRankMap(size, invariant_rank)
        self.invariant_norm = nn.LayerNorm(size)


def aligned_stream(item_seq: Tensor, domain_seq: Tensor, next_domain: Tensor) -> Tensor:
    """At each position, the newest interaction of the domain that comes next: ABXI's two training streams in one.

    A position belongs to the stream of the source or of the target domain by ``next_domain``.

    Args:
        item_seq, domain_seq: (B, L) int64, windows and the domains of their interactions; item 0 is padding.
        next_domain: (B, L) int64, the domain of the interaction after each position.

    Returns:
        (B, L) int64 items, 0 where the window has no interaction of that domain up to the position.

    Example:
        >>> item, domain = torch.tensor([[0, 7, 3, 4]]), torch.tensor([[0, 1, 0, 0]])
        >>> aligned_stream(item, domain, torch.tensor([[1, 0, 0, 1]])).tolist()
        [[0, 0, 3, 7]]
    """
    source, target = (newest_so_far(item_seq.ne(0) & domain_seq.eq(code)) for code in (SOURCE, TARGET))
    return take_columns(item_seq, torch.where(next_domain == SOURCE, source, target))


class ABXINetwork(nn.Module):
    """States of the mixed and of the two domain streams, adapted to the domain of each target.

    Args:
        n_items: ids of items of both domains, padding included.
        max_length: L.
        size: d.
        inner_size: f.
        heads: h.
        domain_rank, invariant_rank: ρ and ρ′.
        dropout: rate, after the embeddings and after every sublayer.
        temperature: τ of the loss.
        mask_padding: padding and gaps are left out of the attention. False is the published behaviour: they take
            their share of the softmax as zero inputs, so that results depend on L.
    """

    def __init__(
        self,
        n_items: int,
        max_length: int,
        size: int,
        *,
        inner_size: int,
        heads: int,
        domain_rank: int,
        invariant_rank: int,
        dropout: float,
        temperature: float,
        mask_padding: bool = False,
    ):
        super().__init__()
        self.temperature, self.mask_padding = temperature, mask_padding
        self.dropout = Dropout(dropout)
        self.item = nn.Embedding(n_items, size, padding_idx=0)
        self.position = nn.Embedding(max_length + 1, size, padding_idx=0)
        self.attention = ZeroPaddedAttention(size, heads, batch_first=True)
        self.attention_norm = nn.LayerNorm(size)
        self.feed_forward = GatedFeedForward(size, inner_size)
        self.mixed_lora = LowRankMap(size, domain_rank)
        self.mixed_norm = nn.LayerNorm(size)
        self.invariant = GatedFeedForward(size, inner_size)
        self.heads = nn.ModuleList(DomainHead(size, inner_size, domain_rank, invariant_rank) for _ in DOMAINS)
        self._initialise()

    def _initialise(self) -> None:
        """Normal weights, those of the tables cut at two deviations; the attention's in-projection keeps its own."""
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.trunc_normal_(module.weight, std=_DEVIATION, a=-2 * _DEVIATION, b=2 * _DEVIATION)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=_DEVIATION)

    # ------------------------------------------------------------------ training

    def losses(
        self, item_seq: Tensor, domain_seq: Tensor, next_domain: Tensor, target: Tensor, negative: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of each domain: a mean over the targets of a row, then over all rows, also those without such a target.

        Args:
            item_seq, domain_seq: (B, L) int64, windows and the domains of their interactions.
            next_domain: (B, L) int64, the domain of the interaction after each position.
            target: (B, L) int64, the item to predict at each position, 0 where there is none.
            negative: (B, L, 2K) int64, negatives of each target, of both domains.

        Returns:
            Scalars.
        """
        row, column = torch.nonzero(target, as_tuple=True)
        domain, positive = next_domain[row, column], target[row, column]
        hidden = self.hidden(item_seq, domain_seq, next_domain, row, column)
        items = torch.cat([positive.unsqueeze(1), negative[row, column]], dim=1)
        scores = candidate_scores(hidden, self.item.weight, items) / self.temperature
        loss = F.cross_entropy(scores, torch.zeros_like(positive), reduction="none")
        group = row * len(DOMAINS) + domain
        loss = loss / torch.bincount(group, minlength=len(target) * len(DOMAINS))[group]
        source = domain == SOURCE
        return (loss * source).sum() / len(target), (loss * ~source).sum() / len(target)

    def hidden(self, item_seq: Tensor, domain_seq: Tensor, next_domain: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """H at some positions of training windows.

        Args:
            item_seq, domain_seq, next_domain: as of `losses`.
            row, column: (T,) int64, positions that hold an interaction.

        Returns:
            (T, d).
        """
        first = _first_filled(item_seq)
        item_seq, domain_seq, next_domain = (part[:, first:] for part in (item_seq, domain_seq, next_domain))
        column = column - first
        aligned = aligned_stream(item_seq, domain_seq, next_domain)
        # One attention pass over 2B rows: mixed streams, then the two streams of the domains, which share a row, as
        # each position belongs to one of them.
        stream = torch.cat([item_seq, aligned])
        kind = torch.cat([torch.zeros_like(next_domain), next_domain])
        mask = stream.ne(0)
        position = positions_from_newest(mask & kind.eq(SOURCE)) + positions_from_newest(mask & kind.ne(SOURCE))
        length = stream.shape[1]
        visible = mask.unsqueeze(1) & (kind.unsqueeze(1) == kind.unsqueeze(2))
        visible &= torch.ones(length, length, dtype=torch.bool, device=stream.device).tril()
        left_out = torch.arange(first + 1, first + length + 1, device=stream.device) - visible.sum(dim=2)
        if self.mask_padding:
            visible |= torch.eye(length, dtype=torch.bool, device=stream.device)
        row = torch.cat([row, row + len(item_seq)])
        column = torch.cat([column, column])
        inputs = self._embed(stream, position)
        attended = self._attend(inputs, inputs, visible, left_out)[row, column]
        state = self._add_attended(inputs[row, column], attended, mask[row, column])
        mixed, single = state.chunk(2)
        domain = next_domain[row[: len(mixed)], column[: len(mixed)]]
        return self._adapt(mixed, single, domain, mask[row, column][len(mixed) :])

    # ------------------------------------------------------------------ scoring

    def query(self, item_seq: Tensor, single_seq: Tensor, domain: Tensor) -> Tensor:
        """H after whole windows.

        Args:
            item_seq: (B, L) int64, mixed windows, left-padded.
            single_seq: (B, L) int64, windows of the domain of the target alone, left-padded, without gaps.
            domain: (B,) int64, that domain.

        Returns:
            (B, d), whose inner product with row c of the item table is the score of item c.
        """
        stream = torch.cat([item_seq, single_seq])
        left_out = stream.shape[1] - stream.ne(0).sum(dim=1, keepdim=True)
        stream = stream[:, _first_filled(stream) :]
        mask = stream.ne(0)
        inputs = self._embed(stream, positions_from_newest(mask))
        visible = mask.unsqueeze(1).clone()
        if self.mask_padding:
            visible[:, :, -1] = True
        newest = inputs[:, -1:]
        attended = self._attend(newest, inputs, visible, left_out)
        state = self._add_attended(newest.squeeze(1), attended.squeeze(1), mask[:, -1])
        mixed, single = state.chunk(2)
        return self._adapt(mixed, single, domain)

    # ------------------------------------------------------------------ steps of both

    def _embed(self, stream: Tensor, position: Tensor) -> Tensor:
        """H⁰, 0 at padding and gaps: (B, L) int64 items and positions -> (B, L, d)."""
        return masked(self.dropout(self.item(stream) + self.position(position)), stream.ne(0))

    def _attend(self, query: Tensor, inputs: Tensor, visible: Tensor, left_out: Tensor) -> Tensor:
        """(B, Q, d), (B, L, d); (B, Q, L) bool, what a query sees; (B, Q) int64, how many zeros more -> (B, Q, d)."""
        zeros = None if self.mask_padding else left_out.to(inputs.dtype)[:, None, :, None]
        return self.attention.attend(query, inputs, visible.unsqueeze(1), zeros)

    def _add_attended(self, inputs: Tensor, attended: Tensor, mask: Tensor) -> Tensor:
        """H¹, 0 at padding and gaps: (T, d), (T, d), (T,) bool -> (T, d)."""
        return self.attention_norm(inputs + self.dropout(attended)) * mask.unsqueeze(1)

    def _adapt(self, mixed: Tensor, single: Tensor, domain: Tensor, keep: Tensor | None = None) -> Tensor:
        """H of some positions, each by the head of its domain.

        Args:
            mixed, single: (T, d), H¹ of the mixed stream and of that of the domain.
            domain: (T,) int64.
            keep: (T,) bool, where the domain's stream holds an interaction; its H² is 0 elsewhere. None: it is kept
                as it is, as in evaluation.

        Returns:
            (T, d).
        """
        order = torch.argsort(domain, stable=True)  # so that each head has a contiguous part
        mixed, single = mixed[order], single[order]
        fed_mixed, fed_single = self.dropout(self.feed_forward(torch.cat([mixed, single]))).chunk(2)
        mixed = self.mixed_norm(mixed + fed_mixed + self.dropout(self.mixed_lora(mixed)))
        invariant = mixed + self.dropout(self.invariant(mixed))
        n_source = int((domain == SOURCE).sum())
        sizes = [n_source, len(domain) - n_source]
        parts = zip(*(part.split(sizes) for part in (mixed, invariant, single, fed_single)), strict=True)
        kept = [None, None] if keep is None else keep[order].unsqueeze(1).split(sizes)
        hidden = []
        for head, (mixed, invariant, single, fed), mask in zip(self.heads, parts, kept, strict=True):
            assert isinstance(head, DomainHead)  # a ModuleList is not typed
            own = head.stream_norm(single + fed + self.dropout(head.stream_lora(single)))
            own = own if mask is None else own * mask
            adapted = head.invariant_norm(invariant + self.dropout(head.invariant_lora(mixed)))
            hidden.append(adapted + head.own_norm(own + self.dropout(head.feed_forward(own))))
        return torch.cat(hidden)[torch.argsort(order)]


def _first_filled(stream: Tensor) -> int:
    """The first column in which any of the left-padded rows (B, L) holds an item; the last one if none does."""
    filled = stream.ne(0).any(dim=0)
    return int(filled.to(torch.int8).argmax()) if bool(filled.any()) else stream.shape[1] - 1

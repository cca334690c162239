"""The network and the losses of UniSRec.

Source: Hou, Mu, Zhao, Li, Ding, Wen, "Towards universal sequence representation learning for recommender systems",
KDD 2022, arXiv 2206.05941. docs/models.md, 12, has the equations.

Notation: B batch, L window length, d embedding size, D size of an LLM embedding, K experts, Q targets of a window, T
targets of a batch. Windows are left-padded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.model.baselines.unisrec_adaptor import INITIAL_STD, MixtureOfExperts
from recbole_lecdsr.model.modules.full_softmax import full_softmax_loss
from recbole_lecdsr.model.modules.streams import newest_so_far, take_columns

_EPSILON = 1e-12  # of LayerNorm and of the lengths that vectors are divided by
KEPT = 0.8  # probability that an augmented view keeps a place


class PostNormBlock(nn.Module):
    """Post-norm self-attention and feed-forward layer of a transformer, GELU (erf).

    Args:
        size: d.
        heads: each of d / heads.
        inner_size: of the feed-forward layer.
        dropout: of the outputs of both layers.
        attention_dropout: of the attention weights.
    """

    def __init__(self, size: int, *, heads: int, inner_size: int, dropout: float, attention_dropout: float):
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.query, self.key, self.value, self.output = (nn.Linear(size, size) for _ in range(4))
        self.norm = nn.LayerNorm(size, eps=_EPSILON)
        self.feed_forward = nn.Sequential(nn.Linear(size, inner_size), nn.GELU(), nn.Linear(inner_size, size))
        self.forward_norm = nn.LayerNorm(size, eps=_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, visible: Tensor, column: Tensor | None = None) -> Tensor:
        """New states of all columns, or of some.

        Args:
            hidden: (B, L, d).
            visible: (B, L, L) bool, which columns (last axis) each column attends to.
            column: (B, Q) int64, the columns to compute; None for all.

        Returns:
            (B, L, d), or (B, Q, d).
        """
        own = hidden
        if column is not None:
            own = take_columns(hidden, column)
            visible = visible.gather(1, column.unsqueeze(2).expand(-1, -1, visible.shape[2]))
        query, key, value = (
            layer(part).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, part in ((self.query, own), (self.key, hidden), (self.value, hidden))
        )
        dropout = self.attention_dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=visible.unsqueeze(1), dropout_p=dropout)
        attended = self.norm(self.dropout(self.output(found.transpose(1, 2).flatten(2))) + own)
        return self.forward_norm(self.dropout(self.feed_forward(attended)) + attended)


class UniSRecNetwork(nn.Module):
    """Items are adapted texts, and with ``item_id`` a trainable vector beside them; a causal transformer reads them.

    Args:
        item_embedding: V, (n_items, D) float32, frozen; zero rows have no text.
        dropped_embedding: V′, (n_items, D) float32, of the same texts with words left out, or None.
        max_length: L.
        size: d.
        experts, adaptor_dropout: of the adaptor.
        blocks, heads, inner_size, dropout, attention_dropout: of the transformer.
        item_id: the transductive form; False is the inductive one, of texts alone.
        temperature: τ of both losses.
        padding_class: padding is a class of the softmax over all items, as in the released code.

    Attributes:
        uses_id: whether the item IDs take part; they do not in pre-training.
    """

    text: Tensor  # V, and below it V′ where there is one
    is_class: Tensor  # (n_items,) bool, whether the text of an item makes it a class of the inductive form

    def __init__(
        self,
        item_embedding: Tensor,
        dropped_embedding: Tensor | None = None,
        *,
        max_length: int,
        size: int,
        experts: int,
        adaptor_dropout: float,
        blocks: int,
        heads: int,
        inner_size: int,
        dropout: float,
        attention_dropout: float,
        item_id: bool = True,
        temperature: float = 0.07,
        padding_class: bool = False,
    ):
        super().__init__()
        self.n_items = len(item_embedding)
        texts = item_embedding if dropped_embedding is None else torch.cat([item_embedding, dropped_embedding])
        self.register_buffer("text", texts, persistent=False)
        is_class = item_embedding.ne(0).any(dim=1)
        is_class[0] = padding_class
        self.register_buffer("is_class", is_class, persistent=False)
        self.has_dropped_text = dropped_embedding is not None
        self.temperature, self.padding_class = temperature, padding_class
        self.adaptor = MixtureOfExperts(item_embedding.shape[1], size, experts=experts, dropout=adaptor_dropout)
        self.position = nn.Embedding(max_length, size)
        self.item_id = nn.Embedding(len(item_embedding), size) if item_id else None
        self.uses_id = item_id
        self.norm = nn.LayerNorm(size, eps=_EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            PostNormBlock(
                size, heads=heads, inner_size=inner_size, dropout=dropout, attention_dropout=attention_dropout
            )
            for _ in range(blocks)
        )
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """N(0, 0.02²) for affine maps and tables, row 0 included; biases 0. The adaptor initialises itself."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=INITIAL_STD)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    # ------------------------------------------------------------------ items

    def adapt(self, *groups: Tensor) -> list[Tensor]:
        """Adapted texts of groups of items, each occurrence with noise of its own.

        The experts run once for each distinct item, unless each occurrence has dropout masks of its own.

        Args:
            groups: rows of V and V′, int64 of any shape.

        Returns:
            (\\*group, d) of each.
        """
        if self.training and self.adaptor.dropout:
            return [
                self.adaptor.mix(self.adaptor.experts(self.text[group.flatten()])).view(*group.shape, -1)
                for group in groups
            ]
        distinct, index = torch.unique(torch.cat([group.flatten() for group in groups]), return_inverse=True)
        experts = self.adaptor.experts(self.text[distinct])
        parts = index.split([group.numel() for group in groups])
        return [self.adaptor.mix(experts, part.view(group.shape)) for part, group in zip(parts, groups, strict=True)]

    def adapt_with_table(self, group: Tensor) -> tuple[Tensor, Tensor]:
        """`adapt` of a group and of all items: (\\*group, d) and (n_items, d)."""
        texts = self.text[: self.n_items]
        if self.training and self.adaptor.dropout:
            (adapted,) = self.adapt(group)
            return adapted, self.adaptor.mix(self.adaptor.experts(texts))
        experts = self.adaptor.experts(texts)
        return self.adaptor.mix(experts, group), self.adaptor.mix(experts)

    def adapted_table(self) -> Tensor:
        """Adapted texts of all items, (n_items, d)."""
        return self.adaptor.mix(self.adaptor.experts(self.text[: self.n_items]))

    def candidates(self, table: Tensor) -> Tensor:
        """Item vectors of length 1, from the adapted texts of all items: (n_items, d) -> (n_items, d).

        In the inductive form an item without text has the zero vector: A(0) is not its own, and is zero at first, where
        the derivative of its direction is without bound.
        """
        if self.item_id is not None and self.uses_id:
            return F.normalize(table + self.item_id.weight, dim=-1, eps=_EPSILON)
        vectors = F.normalize(table, dim=-1, eps=_EPSILON)
        return torch.where(self.is_class.unsqueeze(1), vectors, 0.0)

    # ------------------------------------------------------------------ states

    def states(self, inputs: Tensor, seen: Tensor, column: Tensor) -> Tensor:
        """States of length 1 after some interactions.

        Args:
            inputs: (B, L', d), left-padded; L' ≤ L.
            seen: (B, L') bool, the interactions that those after them attend to; each attends to itself in any case.
                Positions count them from the oldest.
            column: (B, Q) int64, after which interactions; of -1 the state has no meaning.

        Returns:
            (B, Q, d).
        """
        length = inputs.shape[1]
        earlier = torch.ones(length, length, dtype=torch.bool, device=inputs.device).tril()
        visible = (earlier & seen.unsqueeze(1)) | torch.eye(length, dtype=torch.bool, device=inputs.device)
        position = seen.cumsum(dim=1) - seen.long()
        hidden = self.dropout(self.norm(inputs + self.position(position)))
        column = column.clamp(min=0)
        for block in self.blocks[:-1]:
            hidden = block(hidden, visible)
        hidden = self.blocks[-1](hidden, visible, column) if len(self.blocks) else take_columns(hidden, column)
        return F.normalize(hidden, dim=-1, eps=_EPSILON)

    def inputs(self, adapted: Tensor, item_seq: Tensor) -> Tensor:
        """Adapted texts (B, L, d), and in the transductive form the IDs of the items (B, L) added."""
        return adapted + self.item_id(item_seq) if self.item_id is not None and self.uses_id else adapted

    def query(self, item_seq: Tensor, table: Tensor) -> Tensor:
        """o, whose inner product with the row of an item in `candidates` is its score.

        Args:
            item_seq: (B, L) int64.
            table: (n_items, d), from `adapted_table`.

        Returns:
            (B, d).
        """
        (item_seq,) = _trim(item_seq)
        newest = torch.full((len(item_seq), 1), item_seq.shape[1] - 1, device=item_seq.device)
        inputs = self.inputs(F.embedding(item_seq, table), item_seq)
        return self.states(inputs, item_seq.ne(0), newest).squeeze(1)

    # ------------------------------------------------------------------ losses

    def softmax_loss(self, item_seq: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the targets among all items at temperature τ: fine-tuning, and training from scratch.

        Args:
            item_seq: (B, L) int64.
            target: (B, 1), the item after the window, or (B, L), that after each position; 0 where there is none.

        Returns:
            Scalar, mean over the targets.
        """
        item_seq, target = _trim(item_seq, target)
        history, table = self.adapt_with_table(item_seq)
        state = self.states(self.inputs(history, item_seq), item_seq.ne(0), _columns(item_seq, target))
        real = target.ne(0)
        positive, first = target[real], 0 if self.padding_class else 1
        vectors = self.candidates(table)[first:]
        return full_softmax_loss(state[real] / self.temperature, vectors, positive - first) / max(1, len(positive))

    def contrastive_losses(
        self,
        item_seq: Tensor,
        target: Tensor,
        keep: Tensor,
        *,
        drop_words: bool = False,
        released_drop: bool = False,
        exclude_repeated: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Pre-training: each state against the targets of the batch, and against the states of an augmented view.

        The targets are texts alone, so that `uses_id` is False in pre-training.

        Args:
            item_seq, target: as of `softmax_loss`; T is the number of targets.
            keep: m, (B, L) bool, which places the view keeps.
            drop_words: the view has V′ at the other places; otherwise it goes without these items.
            released_drop, exclude_repeated: see `item_drop` and `in_batch_softmax`.

        Returns:
            loss_seq_item and loss_seq_seq, scalars.
        """
        item_seq, target, keep = _trim(item_seq, target, keep)
        real, is_target, column = item_seq.ne(0), target.ne(0), _columns(item_seq, target)
        positive = target[is_target]
        view = item_seq + self.n_items * (real & ~keep) if drop_words else item_seq
        history, items, augmented = self.adapt(item_seq, positive, view)
        state = self.states(self.inputs(history, item_seq), real, column)[is_target]
        augmented = self.inputs(augmented, item_seq)
        if drop_words:
            other = self.states(augmented, real, column)
        else:
            kept, newest = item_drop(real, keep, released=released_drop)
            other = self.states(augmented, kept, newest.gather(1, column))
        known = self.is_class[positive].unsqueeze(1)  # as of `candidates`
        items = torch.where(known, F.normalize(items, dim=-1, eps=_EPSILON), 0.0)
        others = positive, self.temperature, exclude_repeated
        return in_batch_softmax(state, items, *others), in_batch_softmax(state, other[is_target], *others)


def item_drop(real: Tensor, keep: Tensor, *, released: bool = False) -> tuple[Tensor, Tensor]:
    """The items that the augmented view of a history keeps: the oldest one, and those whose place is kept.

    Nothing is moved: what is dropped is not attended to and has no position, which gives the same states.

    Args:
        real: (B, L) bool.
        keep: m, (B, L) bool.
        released: the rule of the released code: where a place is not kept, the item before it is dropped, so that the
            newest one always stays.

    Returns:
        (B, L) bool, which items those after them see, and (B, L) int64, the column of the state of the history up to
        each column.

    Example:
        >>> real, keep = torch.tensor([[False, True, True, True]]), torch.tensor([[True, True, True, False]])
        >>> [part.tolist() for part in item_drop(real, keep)]
        [[[False, True, True, False]], [[-1, 1, 2, 2]]]
        >>> [part.tolist() for part in item_drop(real, keep, released=True)]
        [[[False, True, False, True]], [[0, 1, 2, 3]]]
    """
    if released:
        kept = real & torch.cat([keep[:, 1:], keep.new_ones(len(keep), 1)], dim=1)
        return kept, torch.arange(real.shape[1], device=real.device).expand(real.shape)
    kept = real & (keep | real.cumsum(dim=1).eq(1))
    return kept, newest_so_far(kept)


def in_batch_softmax(
    state: Tensor, other: Tensor, target: Tensor, temperature: float, exclude_repeated: bool = True
) -> Tensor:
    """Cross-entropy of each state's own row of Z among all rows of Z.

    Args:
        state: o, (T, d).
        other: Z, (T, d).
        target: (T,) int64. A row of the same target as the state's own is no negative.
        temperature: τ.
        exclude_repeated: leave these rows out; False gives them the logit 0, as the released code does.

    Returns:
        Scalar, mean over the states.
    """
    with torch.autocast(state.device.type, enabled=False):
        logits = state.float() @ other.float().T / temperature
    repeated = target.unsqueeze(1) == target
    repeated.fill_diagonal_(False)
    logits = logits.masked_fill(repeated, -torch.inf if exclude_repeated else 0.0)
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def _columns(item_seq: Tensor, target: Tensor) -> Tensor:
    """(B, Q) int64, the column after which each target comes: all of them, or the newest for one target of a window."""
    length = item_seq.shape[1]
    return torch.arange(length - target.shape[1], length, device=item_seq.device).expand(len(item_seq), -1)


def _trim(item_seq: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Without the columns before the longest window; of what has one column, that one. At least one column is left."""
    filled = max(1, int(item_seq.ne(0).any(dim=0).sum()))
    return tuple(part[:, -filled:] for part in (item_seq, *others))

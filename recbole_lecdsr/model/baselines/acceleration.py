"""Faster forms of RecBole's modules; their results differ by rounding only.

Measured on a CPU, RecBole's SASRec spends a third of a step in an activation of seven passes over memory, a seventh in
drawing dropout masks, and two fifths at positions of the last layer that no model reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from recbole.model.layers import FeedForward, TransformerEncoder, TransformerLayer
from torch import Tensor, nn

from recbole_lecdsr.model.modules.dropout import Dropout

# Models that read these encoders at the last interaction only.
_LAST_POSITION_ONLY = {
    "SASRec": ("trm_encoder",),
    "SASRecF": ("trm_encoder",),
    "FDSA": ("item_trm_encoder", "feature_trm_encoder"),
}


class LastPositionLayer(nn.Module):
    """The last layer of a `TransformerEncoder`, computed for the last interaction of each window alone.

    Args:
        layer: RecBole's layer, whose parameters it uses.
        last: gives the position of each window's last interaction, (B,) int64.
    """

    def __init__(self, layer: TransformerLayer, last: Callable[[], Tensor]):
        super().__init__()
        self.multi_head_attention, self.feed_forward = layer.multi_head_attention, layer.feed_forward
        self.last = last

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """States (B, L, d), mask (B, 1, L, L) -> (B, L, d), the new state of the last interaction at every position."""
        attention = self.multi_head_attention
        row = torch.arange(len(states), device=states.device)
        last = self.last()
        own = states[row, last].unsqueeze(1)
        query, key, value = (
            attention.transpose_for_scores(part).transpose(1, 2)
            for part in (attention.query(own), attention.key(states), attention.value(states))
        )
        scores = query @ key.transpose(2, 3) / attention.sqrt_attention_head_size
        scores = scores + attention_mask[row, :, last].unsqueeze(2)
        weights = attention.attn_dropout(attention.softmax(scores))
        context = (weights @ value).transpose(1, 2).reshape(own.shape)
        state = attention.LayerNorm(attention.out_dropout(attention.dense(context)) + own)
        return self.feed_forward(state).expand_as(states)


def accelerate(model: nn.Module, last: Callable[[], Tensor]) -> None:
    """Replace slow parts of one of RecBole's models in place; names and shapes of its parameters stay.

    Args:
        model: the model.
        last: gives the position of each window's last interaction in the current batch, (B,) int64.
    """
    for module in list(model.modules()):
        if isinstance(module, FeedForward) and _is_slow_gelu(module.intermediate_act_fn):
            module.intermediate_act_fn = F.gelu
        for name, child in module.named_children():
            if type(child) is nn.Dropout and not child.inplace:
                setattr(module, name, Dropout(child.p))
    for name in _encoders(model):
        encoder = getattr(model, name)
        if isinstance(encoder, TransformerEncoder) and type(encoder.layer[-1]) is TransformerLayer:
            encoder.layer[-1] = LastPositionLayer(encoder.layer[-1], last)


def _is_slow_gelu(function: Callable[[Tensor], Tensor]) -> bool:
    return getattr(function, "__func__", None) is FeedForward.gelu


def _encoders(model: nn.Module) -> Iterable[str]:
    """Exactly RecBole's classes: one derived from them may read other positions."""
    return _LAST_POSITION_ONLY.get(type(model).__name__, ()) if type(model).__module__.startswith("recbole.") else ()

"""The layers of LeCDSR as plain modules that know nothing of RecBole.

Notation, here and in the rest of the package: B batch, L window length, d embedding size, D size of an LLM
embedding, H hidden size of an adapter, C number of candidates. ``mask`` is a (B, L) bool tensor, true where
the window holds an event and false where it is padding; ``None`` treats padding as if it were an event, as
the published implementation does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """Set padded positions to zero.

    Args:
        values: (B, L, d) or (B, L) float.
        mask: (B, L) bool, or None for no change.
    """
    if mask is None:
        return values
    return values * (mask.unsqueeze(-1) if values.dim() == 3 else mask).to(values.dtype)


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the positions of a window, (B, L, d) -> (B, d)."""
    if mask is None:
        return values.mean(dim=1)
    return masked(values, mask).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


class Adapter(nn.Sequential):
    """Frozen LLM embedding to model space: Linear(D, H), LayerNorm, GELU, Linear(H, d); (…, D) -> (…, d)."""

    def __init__(self, llm_size: int, hidden_size: int, embedding_size: int):
        super().__init__(
            nn.Linear(llm_size, hidden_size),
            nn.LayerNorm(hidden_size),
            nn.GELU(),
            nn.Linear(hidden_size, embedding_size),
        )


class _SpectralFusion(torch.autograd.Function):
    """I = irfft(rfft(E) ⊙ C) and M = irfft(rfft(E) ⊙ rfft(T)) along L, ortho-normal.

    The adjoint of a circular convolution is a circular correlation, so the gradients are products of the same
    half spectra; autograd would take them through full complex transforms at four times the cost.
    """

    @staticmethod
    def forward(ctx, item: Tensor, semantics: Tensor, complex_filter: Tensor) -> tuple[Tensor, Tensor]:
        length = item.shape[1]
        item_hat = torch.fft.rfft(item, dim=1, norm="ortho")
        semantics_hat = torch.fft.rfft(semantics, dim=1, norm="ortho")
        ctx.save_for_backward(item_hat, semantics_hat, complex_filter)
        ctx.length = length
        filtered = torch.fft.irfft(item_hat * torch.view_as_complex(complex_filter), n=length, dim=1, norm="ortho")
        return filtered, torch.fft.irfft(item_hat * semantics_hat, n=length, dim=1, norm="ortho")

    @staticmethod
    def backward(ctx, grad_filtered: Tensor, grad_fused: Tensor):
        item_hat, semantics_hat, complex_filter = ctx.saved_tensors
        length = ctx.length
        filtered_hat = torch.fft.rfft(grad_filtered, dim=1, norm="ortho")
        fused_hat = torch.fft.rfft(grad_fused, dim=1, norm="ortho")
        item_conj = item_hat.conj()
        grad_semantics = torch.fft.irfft(fused_hat * item_conj, n=length, dim=1, norm="ortho")
        grad_filter = torch.view_as_real(torch.einsum("bfd,bfd->fd", filtered_hat, item_conj)) * 2
        # The half spectrum stands for its mirror image too, except at the two real frequencies, whose
        # imaginary part irfft ignores.
        for real in {0, length // 2} if length % 2 == 0 else {0}:
            grad_filter[real, :, 0] /= 2
            grad_filter[real, :, 1] = 0
        item_grad_hat = fused_hat * semantics_hat.conj()
        item_grad_hat += filtered_hat * torch.view_as_complex(complex_filter).conj()
        return torch.fft.irfft(item_grad_hat, n=length, dim=1, norm="ortho"), grad_semantics, grad_filter


class SemanticFusion(nn.Module):
    """ID embeddings and item semantics fused in the frequency domain (MODEL.md, forward 1).

    A learned complex filter of shape (L // 2 + 1, d) acts on the IDs alone, and the spectrum of the semantics
    acts on them as a second, item-dependent filter; one scalar gate per position weighs each of the two.
    """

    def __init__(self, max_length: int, embedding_size: int):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(max_length // 2 + 1, embedding_size, 2) * 0.02)
        self.item_gate = nn.Linear(embedding_size, 1)
        self.fusion_gate = nn.Linear(embedding_size, 1)

    def forward(self, item: Tensor, semantics: Tensor, mask: Tensor | None = None) -> Tensor:
        """Fuse E and T.

        Args:
            item: E, (B, L, d).
            semantics: T, (B, L, d).
            mask: (B, L) bool or None.

        Returns:
            Ê, (B, L, d), float32 (complex half precision is not to be had everywhere).
        """
        with torch.autocast(item.device.type, enabled=False):
            filtered, fused = _SpectralFusion.apply(
                masked(item.float(), mask), masked(semantics.float(), mask), self.filter
            )
            result = filtered * self.item_gate(filtered).sigmoid()
            result = torch.addcmul(result, fused, self.fusion_gate(fused).sigmoid())
            return masked(result, mask)


class FeatureGate(nn.Module):
    """Which dimensions of each event matter to this user (MODEL.md, forward 2)."""

    def __init__(self, embedding_size: int):
        super().__init__()
        self.item = nn.Linear(embedding_size, embedding_size)
        self.user = nn.Linear(embedding_size, embedding_size)

    def forward(self, item: Tensor, user: Tensor, semantics: Tensor | None = None) -> Tensor:
        """Gate the events of a window.

        Args:
            item: Ê (or E), (B, L, d).
            user: U, (B, d).
            semantics: T, (B, L, d); only for the variant without semantic fusion, where it passes the item's
                linear map a second time.

        Returns:
            Z, (B, L, d).
        """
        gate = self.item(item)
        if semantics is not None:
            gate = gate + self.item(semantics)
        gate += self.user(user).unsqueeze(1)  # in place: a (B, L, d) tensor less to write and to keep
        return item * gate.sigmoid_()


class InstanceGate(nn.Module):
    """Which events of the window matter (MODEL.md, forward 3 and 4)."""

    def __init__(self, max_length: int, embedding_size: int):
        super().__init__()
        self.item = nn.Parameter(torch.empty(embedding_size, 1))
        self.user = nn.Parameter(torch.empty(embedding_size, max_length))
        self.position = nn.Parameter(torch.empty(embedding_size, 1))

    def position_logits(self, table: Tensor, position: Tensor) -> Tensor:
        """P·v_p by way of the table, (L + 1, d) and (B, L) int64 -> (B, L): no (B, L, d) tensor is made."""
        # Row 0 (padding) counts as it is but is not trained; v_p is trained by it as well, as published.
        frozen = torch.cat([table[:1].detach(), table[1:]])
        return F.embedding(position, frozen @ self.position).squeeze(-1)

    def forward(self, gated: Tensor, user: Tensor, position: Tensor, mask: Tensor | None = None) -> Tensor:
        """Weigh the gated events and add them up.

        Args:
            gated: Z, (B, L, d).
            user: U, (B, d).
            position: P·v_p from `position_logits`, (B, L).
            mask: (B, L) bool or None.

        Returns:
            o, (B, d).
        """
        logits = (gated @ self.item).squeeze(-1) + user @ self.user + position
        weight = masked(torch.sigmoid(logits), mask)
        total = weight.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
        return torch.einsum("bl,bld->bd", weight, gated) / total

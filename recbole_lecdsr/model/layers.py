"""The layers of LeCDSR as plain modules that know nothing of RecBole.

Notation, here and in the rest of the package: B batch, L window length, d embedding size, D size of an LLM
embedding, H hidden size of an adapter, C number of candidates. ``mask`` is a (B, L) bool tensor, true where
the window holds an event and false where it is padding; ``None`` treats padding as if it were an event, as
the published implementation does.
"""

from __future__ import annotations

import math

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


def fourier_matrices(length: int) -> tuple[Tensor, Tensor]:
    """The real Fourier transform of L numbers and its inverse as matrices, ortho-normal as in `torch.fft.rfft`.

    Args:
        length: L; F = L // 2 + 1 frequencies.

    Returns:
        forward, (2F, L) float32: real parts, then imaginary parts; inverse, (L, 2F).
    """
    frequency = torch.arange(length // 2 + 1, dtype=torch.float64)
    angle = torch.outer(frequency, torch.arange(length, dtype=torch.float64)) * (2 * math.pi / length)
    forward = torch.cat([angle.cos(), -angle.sin()]) / math.sqrt(length)
    # Half a spectrum stands for its mirror image too, except at the frequencies that are their own.
    weight = torch.full_like(frequency, 2.0)
    weight[0] = 1.0
    if length % 2 == 0:
        weight[-1] = 1.0
    return forward.float(), (forward * weight.repeat(2).unsqueeze(1)).T.float().contiguous()


def _multiply(a: Tensor, b: Tensor, conjugate: bool = False, out: Tensor | None = None, add: bool = False) -> Tensor:
    """Product of two spectra of (…, 2F, d), real parts first: a·b, or a·conj(b); written or added to ``out``."""
    (a_real, a_imaginary), (b_real, b_imaginary) = a.chunk(2, dim=-2), b.chunk(2, dim=-2)
    sign = -1 if conjugate else 1
    out = torch.empty_like(a) if out is None else out
    real, imaginary = out.chunk(2, dim=-2)
    if add:
        real.addcmul_(a_real, b_real)
        imaginary.addcmul_(a_imaginary, b_real)
    else:
        torch.mul(a_real, b_real, out=real)
        torch.mul(a_imaginary, b_real, out=imaginary)
    real.addcmul_(a_imaginary, b_imaginary, value=-sign)
    imaginary.addcmul_(a_real, b_imaginary, value=sign)
    return out


class _SpectralFusion(torch.autograd.Function):
    """I = irfft(rfft(E) ⊙ C) and M = irfft(rfft(E) ⊙ rfft(T)) along L, ortho-normal, with real matrices for both
    transforms. The gradients by hand take half the passes over memory that autograd's would."""

    @staticmethod
    def forward(ctx, item: Tensor, semantics: Tensor, spectrum: Tensor, fourier: Tensor, inverse: Tensor):
        item_hat, semantics_hat = torch.matmul(fourier, item), torch.matmul(fourier, semantics)
        ctx.save_for_backward(item_hat, semantics_hat, spectrum, fourier, inverse)
        product = _multiply(item_hat, spectrum)
        filtered = torch.matmul(inverse, product)
        return filtered, torch.matmul(inverse, _multiply(item_hat, semantics_hat, out=product))

    @staticmethod
    def backward(ctx, grad_filtered: Tensor, grad_fused: Tensor):
        item_hat, semantics_hat, spectrum, fourier, inverse = ctx.saved_tensors
        filtered_hat, fused_hat = torch.matmul(inverse.T, grad_filtered), torch.matmul(inverse.T, grad_fused)
        product = _multiply(filtered_hat, item_hat, conjugate=True)
        grad_spectrum = product.sum(dim=0)
        grad_semantics = torch.matmul(fourier.T, _multiply(fused_hat, item_hat, conjugate=True, out=product))
        _multiply(fused_hat, semantics_hat, conjugate=True, out=product)
        _multiply(filtered_hat, spectrum, conjugate=True, out=product, add=True)
        return torch.matmul(fourier.T, product), grad_semantics, grad_spectrum, None, None


class SemanticFusion(nn.Module):
    """ID embeddings and item semantics fused in the frequency domain (MODEL.md, forward 1).

    A learned complex filter of shape (L // 2 + 1, d) acts on the IDs alone, and the spectrum of the semantics
    acts on them as a second, item-dependent filter; one scalar gate per position weighs each of the two.

    The transforms are products with small real matrices: at the lengths of windows they are three times as fast as
    FFTs along a middle axis, and know no complex numbers, which half precision lacks.
    """

    def __init__(self, max_length: int, embedding_size: int):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(max_length // 2 + 1, embedding_size, 2) * 0.02)
        self.item_gate = nn.Linear(embedding_size, 1)
        self.fusion_gate = nn.Linear(embedding_size, 1)
        forward, inverse = fourier_matrices(max_length)
        self.register_buffer("fourier", forward, persistent=False)
        self.register_buffer("inverse", inverse, persistent=False)

    def forward(self, item: Tensor, semantics: Tensor, mask: Tensor | None = None) -> Tensor:
        """Fuse E and T.

        Args:
            item: E, (B, L, d), zero where masked.
            semantics: T, (B, L, d), zero where masked.
            mask: (B, L) bool or None.

        Returns:
            Ê, (B, L, d), float32.
        """
        with torch.autocast(item.device.type, enabled=False):
            spectrum = torch.cat(self.filter.unbind(dim=-1))
            filtered, fused = _SpectralFusion.apply(
                item.float(), semantics.float(), spectrum, self.fourier, self.inverse
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

"""Fusion of item IDs and item texts in the frequency domain."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recbole_lecdsr.model.modules.layers import masked


class Items(NamedTuple):
    """Vectors of N items: the item-ID embedding E, and the adapted text T or None, (N, d) each."""

    identity: Tensor
    semantics: Tensor | None


class SpectralGate(nn.Module):
    """Fusion of ID and text in the frequency domain, item by item (docs/models.md, eq. 21 and 22).

    The published fusion transforms along the window, where each frequency knows all events, later ones too. Along the
    features instead it is causal: I = E + irfft(rfft(E) ⊙ C), M = irfft(rfft(E) ⊙ rfft(T)), and Ê = g_I I + g_M w ⊙ M
    with a scalar gate each. C and w start at zero, so that the network starts from the IDs.
    """

    def __init__(self, embedding_size: int):
        super().__init__()
        self.filter = nn.Parameter(torch.zeros(embedding_size // 2 + 1, 2))
        self.item_gate = nn.Linear(embedding_size, 1)
        self.fusion_gate = nn.Linear(embedding_size, 1)
        self.fusion_weight = nn.Parameter(torch.zeros(embedding_size))

    def forward(self, identity: Tensor, semantics: Tensor) -> Tensor:
        """E and T of N items, (N, d) each -> Ê, (N, d) float32."""
        identity, semantics = identity.float(), semantics.float()
        size = identity.shape[1]
        spectrum = torch.fft.rfft(identity, norm="ortho")
        filtered = identity + torch.fft.irfft(spectrum * torch.view_as_complex(self.filter), n=size, norm="ortho")
        fused = torch.fft.irfft(spectrum * torch.fft.rfft(semantics, norm="ortho"), n=size, norm="ortho")
        fused_gate = self.fusion_gate(fused).sigmoid() * self.fusion_weight
        return filtered * (2 * self.item_gate(filtered).sigmoid()) + fused * fused_gate


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
    def forward(
        ctx: Any, item: Tensor, semantics: Tensor, spectrum: Tensor, fourier: Tensor, inverse: Tensor
    ) -> tuple[Tensor, Tensor]:
        item_hat, semantics_hat = torch.matmul(fourier, item), torch.matmul(fourier, semantics)
        ctx.save_for_backward(item_hat, semantics_hat, spectrum, fourier, inverse)
        product = _multiply(item_hat, spectrum)
        filtered = torch.matmul(inverse, product)
        return filtered, torch.matmul(inverse, _multiply(item_hat, semantics_hat, out=product))

    @staticmethod
    def backward(ctx: Any, grad_filtered: Tensor, grad_fused: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        item_hat, semantics_hat, spectrum, fourier, inverse = ctx.saved_tensors
        filtered_hat, fused_hat = torch.matmul(inverse.T, grad_filtered), torch.matmul(inverse.T, grad_fused)
        product = _multiply(filtered_hat, item_hat, conjugate=True)
        grad_spectrum = product.sum(dim=0)
        grad_semantics = torch.matmul(fourier.T, _multiply(fused_hat, item_hat, conjugate=True, out=product))
        _multiply(fused_hat, semantics_hat, conjugate=True, out=product)
        _multiply(filtered_hat, spectrum, conjugate=True, out=product, add=True)
        return torch.matmul(fourier.T, product), grad_semantics, grad_spectrum, None, None


class SemanticFusion(nn.Module):
    """ID embeddings and item semantics fused in the frequency domain (docs/models.md, eq. 3 to 5).

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

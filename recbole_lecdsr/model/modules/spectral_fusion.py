"""Fusion of item IDs and item texts in the frequency domain."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


class FusionWeights(NamedTuple):
    """What the published fusion learns, or the gradients of that: the filter C as real and imaginary parts, (2F, d),
    and weight (1, d) and bias (1,) of the gates of I and of M."""

    spectrum: Tensor
    item: Tensor
    item_bias: Tensor
    fusion: Tensor
    fusion_bias: Tensor


class Fused(NamedTuple):
    """Ê of some windows and what its gradient needs: the spectra of E and T, (B, 2F, d), I and M, and their gates."""

    result: Tensor
    item_hat: Tensor
    semantics_hat: Tensor
    filtered: Tensor
    fused: Tensor
    item_gate: Tensor
    fusion_gate: Tensor


class SemanticFusion(nn.Module):
    """ID embeddings and item semantics fused in the frequency domain (docs/models.md, eq. 3 to 5).

    A learned complex filter of shape (L // 2 + 1, d) acts on the IDs alone, and the spectrum of the semantics
    acts on them as a second, item-dependent filter; one scalar gate per position weighs each of the two:
    I = irfft(rfft(E) ⊙ C), M = irfft(rfft(E) ⊙ rfft(T)) along L, and Ê = g_I I + g_M M.

    The transforms are products with small real matrices: at the lengths of windows they are three times as fast as
    FFTs along a middle axis, and know no complex numbers, which half precision lacks. `fuse` and its gradient by hand
    take half the passes over memory that autograd's would.
    """

    fourier: Tensor
    inverse: Tensor

    def __init__(self, max_length: int, embedding_size: int):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(max_length // 2 + 1, embedding_size, 2) * 0.02)
        self.item_gate = nn.Linear(embedding_size, 1)
        self.fusion_gate = nn.Linear(embedding_size, 1)
        forward, inverse = fourier_matrices(max_length)
        self.register_buffer("fourier", forward, persistent=False)
        self.register_buffer("inverse", inverse, persistent=False)

    def weights(self) -> FusionWeights:
        """The parameters, of which autograd knows."""
        return FusionWeights(
            torch.cat(self.filter.unbind(dim=-1)),
            self.item_gate.weight,
            self.item_gate.bias,
            self.fusion_gate.weight,
            self.fusion_gate.bias,
        )

    def fuse(self, item: Tensor, semantics: Tensor, weights: FusionWeights) -> Fused:
        """Fuse E and T, (B, L, d) float32 each, zero where masked. Not differentiable; `fuse_backward` is."""
        item_hat, semantics_hat = torch.matmul(self.fourier, item), torch.matmul(self.fourier, semantics)
        product = _multiply(item_hat, weights.spectrum)
        filtered = torch.matmul(self.inverse, product)
        fused = torch.matmul(self.inverse, _multiply(item_hat, semantics_hat, out=product))
        item_gate = F.linear(filtered, weights.item, weights.item_bias).sigmoid_()
        fusion_gate = F.linear(fused, weights.fusion, weights.fusion_bias).sigmoid_()
        result = torch.mul(filtered, item_gate).addcmul_(fused, fusion_gate)
        return Fused(result, item_hat, semantics_hat, filtered, fused, item_gate, fusion_gate)

    def fuse_backward(
        self, grad: Tensor, made: Fused, weights: FusionWeights, grads: FusionWeights
    ) -> tuple[Tensor, Tensor]:
        """Gradients by E and T, (B, L, d) each; those of the weights are added to ``grads``.

        Args:
            grad: of Ê, (B, L, d).
            made: by `fuse`; I and M are overwritten.
            weights: of the fusion.
            grads: in the shapes of the weights.
        """
        by_filtered = _gate_backward(grad, made.filtered, made.item_gate, weights.item, grads.item, grads.item_bias)
        by_fused = _gate_backward(grad, made.fused, made.fusion_gate, weights.fusion, grads.fusion, grads.fusion_bias)
        filtered_hat, fused_hat = torch.matmul(self.inverse.T, by_filtered), torch.matmul(self.inverse.T, by_fused)
        product = _multiply(filtered_hat, made.item_hat, conjugate=True)
        grads.spectrum.add_(product.sum(dim=0))
        by_semantics = torch.matmul(self.fourier.T, _multiply(fused_hat, made.item_hat, conjugate=True, out=product))
        _multiply(fused_hat, made.semantics_hat, conjugate=True, out=product)
        _multiply(filtered_hat, weights.spectrum, conjugate=True, out=product, add=True)
        return torch.matmul(self.fourier.T, product), by_semantics


def _gate_backward(
    grad: Tensor, values: Tensor, gate: Tensor, weight: Tensor, grad_weight: Tensor, grad_bias: Tensor
) -> Tensor:
    """Gradient of values ⊙ σ(values · weight + bias), (B, L, d), by its values; the others are added to what is given.

    ``gate`` is the σ, (B, L, 1). The result is in place of the values.
    """
    grad_logit = (grad * values).sum(dim=-1, keepdim=True).mul_(gate - gate * gate)
    grad_weight.addmm_(grad_logit.view(1, -1), values.view(-1, values.shape[-1]))
    grad_bias.add_(grad_logit.sum())
    return torch.mul(grad, gate, out=values).addcmul_(grad_logit, weight)

"""`full_softmax_loss` equals torch's cross-entropy of all logits at once, and so do its gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_lecdsr.model.modules import full_softmax
from recbole_lecdsr.model.modules.full_softmax import full_softmax_loss

QUERIES, CLASSES, SIZE = 7, 9, 4
OPTIONS = {"plain": (), "bias": ("bias",), "extra": ("extra",), "both": ("bias", "extra")}


def make_parts(options: tuple[str, ...]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    shapes = {"query": (QUERIES, SIZE), "table": (CLASSES, SIZE), "bias": (CLASSES,), "extra": (QUERIES,)}
    return {
        name: torch.randn(shape, requires_grad=True)
        for name, shape in shapes.items()
        if name in ("query", "table", *options)
    }


def in_one(query: Tensor, table: Tensor, target: Tensor, bias: Tensor | None = None, extra: Tensor | None = None):
    logits = query @ table.T + (0 if bias is None else bias)
    if extra is not None:
        logits = torch.cat([logits, extra.unsqueeze(1)], dim=1)
    return F.cross_entropy(logits, target, reduction="sum")


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("options", OPTIONS)
def test_blocks_give_the_cross_entropy_and_its_gradients(monkeypatch, options, rows):
    monkeypatch.setattr(full_softmax, "_BLOCK_BYTES", 4 * CLASSES * rows)
    parts = make_parts(OPTIONS[options])
    target = torch.tensor([0, 8, 3, 3, 1, 5, 8])
    ours, theirs = (compute(target=target, **parts) for compute in (full_softmax_loss, in_one))
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(3 * loss, list(parts.values())) for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("options", OPTIONS)
def test_no_queries_have_loss_0_and_no_gradient(options):
    parts = make_parts(OPTIONS[options])
    few = {name: part[:0] if name in ("query", "extra") else part for name, part in parts.items()}
    loss = full_softmax_loss(target=torch.zeros(0, dtype=torch.int64), **few)
    assert loss == 0
    assert not any(gradient.any() for gradient in torch.autograd.grad(loss, list(parts.values())))


def test_mixed_precision_computes_in_single_precision():
    parts = make_parts(("bias", "extra"))
    target = torch.zeros(QUERIES, dtype=torch.int64)
    halves = {name: part if name == "bias" else part.bfloat16() for name, part in parts.items()}
    expected = full_softmax_loss(target=target, **{name: part.float() for name, part in halves.items()})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = full_softmax_loss(target=target, **halves)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)


def test_logits_that_would_overflow_have_a_finite_loss():
    parts = {name: part * 1e3 for name, part in make_parts(("bias", "extra")).items()}
    loss = full_softmax_loss(target=torch.zeros(QUERIES, dtype=torch.int64), **parts)
    assert loss.isfinite()

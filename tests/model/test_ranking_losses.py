from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_lecdsr.model.alignment import in_batch_alignment
from recbole_lecdsr.model.ranking_losses import softmax

TEMPERATURES = st.sampled_from([0.05, 0.3, 0.75, 2.0])


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 7), st.integers(1, 9), TEMPERATURES, st.integers(0, 99))
def test_softmax_is_the_cross_entropy_of_the_positive_among_all(num_samples, num_negatives, temperature, seed):
    torch.manual_seed(seed)
    positive = torch.randn(num_samples, dtype=torch.float64, requires_grad=True)
    negative = torch.randn(num_samples, num_negatives, dtype=torch.float64, requires_grad=True)
    found = softmax(positive, negative, temperature)
    logits = torch.cat([positive.unsqueeze(1), negative], dim=1) / temperature
    expected = F.cross_entropy(logits, torch.zeros(num_samples, dtype=torch.int64))
    assert torch.allclose(found, expected)
    gradients = (torch.autograd.grad(loss, (positive, negative)) for loss in (found, expected))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_a_negative_that_is_hidden_has_no_part_in_the_softmax():
    positive, negative = torch.randn(4, requires_grad=True), torch.randn(4, 6)
    hidden = negative.clone()
    hidden[:, 3:] = torch.finfo(torch.float32).min / 1e4
    hidden.requires_grad_()
    loss = softmax(positive, hidden, 0.75)
    assert torch.allclose(loss, softmax(positive, negative[:, :3], 0.75))
    (gradient,) = torch.autograd.grad(loss, hidden)
    assert gradient[:, :3].gt(0).all() and not gradient[:, 3:].any()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 8), TEMPERATURES, st.integers(0, 99))
def test_alignment_is_the_mean_cross_entropy_both_ways(num_items, temperature, seed):
    torch.manual_seed(seed)
    item, semantics = (torch.randn(num_items, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    found = in_batch_alignment(item, semantics, temperature)
    logits = F.normalize(item, dim=1) @ F.normalize(semantics, dim=1).T / temperature
    own = torch.arange(num_items)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    assert torch.allclose(found, expected)
    gradients = (torch.autograd.grad(loss, (item, semantics)) for loss in (found, expected))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_nothing_to_align_costs_nothing():
    item, semantics = (torch.zeros(0, 5, requires_grad=True) for _ in range(2))
    loss = in_batch_alignment(item, semantics, 0.3)
    loss.backward()
    assert loss == 0

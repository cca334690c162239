from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from recbole_lecdsr import distributed
from recbole_lecdsr.model.alignment import in_batch_alignment
from recbole_lecdsr.model.ranking_losses import all_pairs_hinge, own_sample_hinge, softmax

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


# ------------------------------------------------------------------ the published hinge


def broadcast_hinge(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """The published loss as it is written, over a B × B × N array."""
    return F.relu(1 + (negative.unsqueeze(0) - positive.view(-1, 1, 1)) / temperature).sum()


def value_and_gradients(loss, positive: Tensor, negative: Tensor, temperature: float) -> tuple[Tensor, ...]:
    positive, negative = positive.clone().requires_grad_(), negative.clone().requires_grad_()
    value = loss(positive, negative, temperature)
    return (value.detach(), *torch.autograd.grad(value, (positive, negative)))


def assert_is_the_broadcast(positive: Tensor, negative: Tensor, temperature: float, tolerance: float) -> None:
    """The same as the broadcast in float64: the largest difference over the largest value."""
    found = value_and_gradients(all_pairs_hinge, positive, negative, temperature)
    expected = value_and_gradients(broadcast_hinge, positive.double(), negative.double(), temperature)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == positive.dtype
        assert (one - other).abs().max() <= tolerance * other.abs().max()


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 40),
    st.integers(1, 30),
    st.sampled_from([0.05, 0.75, 3.0, 9.0]),
    st.sampled_from([0.01, 1.0, 5.0, 100.0]),
    st.sampled_from([-200.0, 0.0, 7.0]),
    st.integers(0, 99),
)
def test_all_pairs_hinge_is_the_broadcast_over_all_pairs(num_samples, num_negatives, temperature, spread, shift, seed):
    torch.manual_seed(seed)
    positive = torch.randn(num_samples) * spread + shift
    negative = torch.randn(num_samples, num_negatives) * spread
    assert_is_the_broadcast(positive, negative, temperature, 2e-7)
    assert_is_the_broadcast(positive.double(), negative.double(), temperature, 1e-12)


def test_no_pair_of_widely_spread_scores_is_on_the_wrong_side_of_the_hinge():
    torch.manual_seed(0)
    positive, negative = torch.randn(200) * 30, torch.randn(200, 50) * 30
    active = 1 + (negative.double().unsqueeze(0) - positive.double().view(-1, 1, 1)) / 3.0 > 0
    assert 0.2 < active.double().mean() < 0.8, "a test of pairs on both sides"
    _, of_positive, of_negative = value_and_gradients(all_pairs_hinge, positive, negative, 3.0)
    assert torch.equal((of_positive * -3).round().long(), active.sum(dim=(1, 2)))
    assert torch.equal((of_negative * 3).round().long(), active.sum(dim=0))
    assert_is_the_broadcast(positive, negative, 3.0, 6e-8)


def test_equal_scores_and_exact_ties_have_the_gradient_of_the_broadcast():
    positive = torch.tensor([2.0, 5.0, 2.0, 5.0, -1.0])
    negative = torch.tensor([[-1.0, 2.0, 2.0]] * 5)  # -1 = 2 - 3 and 2 = 5 - 3: the hinge is exactly 0
    assert_is_the_broadcast(positive, negative, 3.0, 6e-8)
    for score in (of_tie := value_and_gradients(all_pairs_hinge, positive[1:2], negative[1:2, 1:], 3.0)):
        assert not score.any(), of_tie


def test_all_pairs_of_one_sample_are_its_own_pairs():
    positive, negative = torch.randn(1), torch.randn(1, 9)
    one, other = (value_and_gradients(loss, positive, negative, 3.0) for loss in (all_pairs_hinge, own_sample_hinge))
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_negative_that_is_hidden_meets_no_positive():
    positive, negative = torch.randn(4), torch.randn(4, 6)
    hidden = torch.cat([negative, torch.full((4, 3), -torch.inf), torch.full((4, 2), -3e34)], dim=1)
    value, of_positive, of_negative = value_and_gradients(all_pairs_hinge, positive, hidden, 0.75)
    expected = value_and_gradients(all_pairs_hinge, positive, negative, 0.75)
    for found, wanted in zip((value, of_positive, of_negative[:, :6]), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    assert not of_negative[:, 6:].any()


@pytest.mark.parametrize("side", [0, 1])
def test_a_score_that_is_not_a_number_makes_the_loss_no_number(side):
    scores = torch.randn(5), torch.randn(5, 3)
    scores[side].view(-1)[2] = torch.nan
    assert all_pairs_hinge(*scores, 3.0).isnan()


def test_the_gradient_is_scaled_by_what_follows_and_columns_of_a_matrix_are_taken_as_they_are():
    scores = (torch.randn(6, 5, dtype=torch.float64) * 4).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of columns that it has to copy
        (found,) = torch.autograd.grad(7 * all_pairs_hinge(scores[:, 0], scores[:, 1:], 3.0), scores)
    (expected,) = torch.autograd.grad(7 * broadcast_hinge(scores[:, 0], scores[:, 1:], 3.0), scores)
    torch.testing.assert_close(found, expected)


class LargestTensor(TorchDispatchMode):
    """Records the bytes of the largest tensor that an operation returns."""

    nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(part, Tensor):
                self.nbytes = max(self.nbytes, part.nbytes)
        return result


def test_no_array_of_the_published_loss_is_above_20_mb_in_the_published_setting():
    positive, negative = torch.randn(1024, requires_grad=True), torch.randn(1024, 99, requires_grad=True)
    with LargestTensor() as largest:
        all_pairs_hinge(positive, negative, 3.0).backward()
    assert positive.grad.any() and negative.grad.any()
    assert negative.nbytes <= largest.nbytes < 20e6
    with LargestTensor() as largest:
        broadcast_hinge(positive[:64], negative[:64], 3.0).backward()
    assert largest.nbytes == 64 * 64 * 99 * 4, "what it would be of a broadcast"


@pytest.mark.parametrize("parts", [[3, 3, 4], [0, 5, 2], [7]])
def test_the_processes_that_share_a_batch_have_the_loss_and_the_gradients_of_the_whole(monkeypatch, parts):
    """Each process in turn: what it would have gathered comes from the parts of the others."""
    torch.manual_seed(0)
    positive = torch.randn(sum(parts), dtype=torch.float64) * 5
    negative = torch.randn(sum(parts), 4, dtype=torch.float64) * 5
    whole = value_and_gradients(all_pairs_hinge, positive, negative, 3.0)
    ends = torch.tensor(parts).cumsum(0).tolist()
    rows = [slice(end - part, end) for part, end in zip(parts, ends, strict=True)]

    def run_all(all_reduce) -> list[tuple[Tensor, ...]]:
        found = []
        for own in rows:
            monkeypatch.setattr(distributed, "gather_rows", lambda values, own=own: (positive, own))
            monkeypatch.setattr(distributed, "all_reduce_sum", all_reduce)
            found.append(value_and_gradients(all_pairs_hinge, positive[own], negative[own], 3.0))
        return found

    counts: list[Tensor] = []
    run_all(lambda values: counts.append(values) or values)
    values, of_positive, of_negative = zip(*run_all(lambda _: torch.stack(counts).sum(dim=0)), strict=True)
    torch.testing.assert_close(torch.stack(values).sum(), whole[0])
    torch.testing.assert_close(torch.cat(of_positive), whole[1])
    torch.testing.assert_close(torch.cat(of_negative), whole[2])

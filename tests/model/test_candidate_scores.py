"""`candidate_scores` equals the products of queries with gathered rows, and so do its gradients."""

from __future__ import annotations

import pytest
import torch

from recbole_lecdsr.model.modules.candidate_scores import candidate_scores


@pytest.mark.parametrize(
    ("samples", "candidates", "items"), [(5, 3, 20), (1, 1, 1), (0, 3, 20), (7, 20, 20), (4, 50, 20), (64, 100, 30)]
)
def test_scores_and_gradients_are_those_of_gathered_rows(samples, candidates, items):
    torch.manual_seed(0)
    query, weight = torch.randn(samples, 8, requires_grad=True), torch.randn(items, 8, requires_grad=True)
    candidate, bias = torch.randint(items, (samples, candidates)), torch.randn(items)  # the same item more than once
    ours = candidate_scores(query, weight, candidate, bias)
    theirs = torch.einsum("bd,bcd->bc", query, weight[candidate]) + bias[candidate]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    grad = torch.randn(samples, candidates)
    for one, other in zip(*(torch.autograd.grad(made, (query, weight), grad) for made in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)

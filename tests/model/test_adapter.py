"""Rows adapted by the chunk, with gradients by hand, equal the layers one after the other."""

from __future__ import annotations

import pytest
import torch

from recbole_lecdsr.model.modules import adapter
from recbole_lecdsr.model.modules.adapter import Adapter

ROW = torch.tensor([4, 0, 2, 2, 6])


@pytest.fixture
def parts():
    torch.manual_seed(0)
    made = Adapter(llm_size=6, hidden_size=9, embedding_size=5)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return made, torch.randn(7, 6), torch.randn(len(ROW), 5)


@pytest.mark.parametrize("rows_of_a_chunk", [1, 2, 100])
@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-5), (True, 2e-2)])
def test_values_and_gradients_are_those_of_the_layers(monkeypatch, parts, rows_of_a_chunk, half, tolerance):
    made, table, weight = parts
    chunk = rows_of_a_chunk * table.shape[1] * table.element_size()
    monkeypatch.setattr(adapter, "_CHUNK_BYTES", chunk)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    expected = made(table[ROW])
    expected_grads = torch.autograd.grad((expected * weight).sum(), list(made.parameters()))
    with torch.autocast("cpu", enabled=half):
        found = made.adapt_rows(table, ROW)
    assert found.dtype == (torch.bfloat16 if half else torch.float32)
    grads = torch.autograd.grad((found * weight).sum(), list(made.parameters()))
    for one, other in zip([found, *grads], [expected, *expected_grads], strict=True):
        assert (one.float() - other).abs().max() <= tolerance * other.abs().max()


def test_no_rows_are_adapted_to_none(parts):
    made, table, _ = parts
    result = made.adapt_rows(table, ROW[:0])
    result.sum().backward()
    assert result.shape == (0, 5)
    assert not made[0].weight.grad.any()

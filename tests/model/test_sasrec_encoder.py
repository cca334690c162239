"""The encoder that four of the rivals share: attention over zero padding, trimmed and whole."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from recbole_lecdsr.model.modules.sasrec_encoder import SASRecEncoder

B, L, D, HEADS = 4, 9, 8, 2


@pytest.fixture
def batch():
    """Windows of 0 to 6 interactions, one with a gap."""
    torch.manual_seed(0)
    mask = torch.arange(L) >= L - torch.tensor([6, 3, 1, 0])[:, None]
    mask[0, 5] = False
    return torch.randn(B, L, D), mask


def make(**settings) -> SASRecEncoder:
    torch.manual_seed(1)
    encoder = SASRecEncoder(D, blocks=2, heads=HEADS, dropout=0.0, **settings)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder


def reference(encoder: SASRecEncoder, inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The equations, position by position, over all columns."""
    state = inputs * mask.unsqueeze(-1)
    for block in range(2):
        attention = encoder.attention_layers[block]
        query = encoder.attention_layernorms[block](state)
        w_q, w_k, w_v = attention.in_proj_weight.chunk(3)
        b_q, b_k, b_v = attention.in_proj_bias.chunk(3)
        q, k, v = query @ w_q.T + b_q, state @ w_k.T + b_k, state @ w_v.T + b_v
        out = torch.empty_like(state)
        for row in range(B):
            for place in range(L):
                keys = [
                    t for t in range(L)
                    if (t <= place or not encoder.causal) and (mask[row, t] or not encoder.mask_padding or t == place)
                ]  # fmt: skip
                size = D // HEADS
                parts = []
                for head in range(HEADS):
                    part = slice(head * size, (head + 1) * size)
                    weight = F.softmax(k[row, keys][:, part] @ q[row, place, part] / math.sqrt(size), dim=0)
                    parts.append(weight @ v[row, keys][:, part])
                out[row, place] = torch.cat(parts)
        state = encoder.forward_layernorms[block](query + attention.out_proj(out))
        state = (state + encoder.forward_layers[block](state)) * mask.unsqueeze(-1)
    return encoder.last_layernorm(state)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("mask_padding", [True, False])
def test_states_are_those_of_the_equations_with_every_column(batch, causal, mask_padding):
    encoder = make(causal=causal, mask_padding=mask_padding)
    inputs, mask = batch
    torch.testing.assert_close(encoder(inputs, mask), reference(encoder, inputs, mask), rtol=1e-4, atol=1e-5)


def test_masked_padding_makes_the_width_free(batch):
    inputs, mask = batch
    wider = F.pad(inputs, (0, 0, 5, 0)), F.pad(mask, (5, 0))
    encoder = make(mask_padding=True)
    torch.testing.assert_close(encoder(*wider)[:, 5:], encoder(inputs, mask))
    encoder = make()
    assert not torch.allclose(encoder(*wider)[:, 5:][mask], encoder(inputs, mask)[mask], atol=1e-3)


def test_a_causal_state_does_not_depend_on_later_interactions(batch):
    inputs, mask = batch
    later = inputs.clone()
    later[:, 6:] = torch.randn(B, 3, D)
    encoder = make()
    assert torch.equal(encoder(inputs, mask)[:, :6], encoder(later, mask)[:, :6])


def test_windows_without_interactions_have_finite_states_and_gradients():
    encoder = make()
    state = encoder(torch.randn(2, 3, D), torch.zeros(2, 3, dtype=torch.bool))
    torch.testing.assert_close(state, encoder.last_layernorm.bias.expand(2, 3, D))
    state.sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in encoder.parameters())

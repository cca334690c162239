"""`encode_windows` has gradients by hand: they are those that autograd finds for the equations of docs/models.md, 3."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.model.modules import window_encoder
from recbole_lecdsr.model.published_network import LeCDSRNetwork
from recbole_lecdsr.model.sequence_input import SequenceInput

LENGTH, SIZE, ITEMS, USERS, TAU = 5, 6, 9, 4, 0.7
WINDOWS = torch.tensor([[0, 0, 1, 2, 1], [3, 4, 5, 6, 7], [0, 0, 0, 0, 8], [0, 0, 0, 0, 0], [0, 2, 2, 3, 8]])
POSITIONS = torch.tensor([[0, 0, 2, 1, 1], [3, 2, 2, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 4, 3, 2, 1]])
PROFILES = torch.tensor([1, 2, 3, 1, 0])
INPUTS = SequenceInput(WINDOWS, POSITIONS, WINDOWS, WINDOWS, PROFILES, PROFILES, PROFILES)  # what is read, and anything


def network(mask_padding: bool, fusion: bool, texts: bool) -> LeCDSRNetwork:
    torch.manual_seed(0)
    item, user = torch.randn(ITEMS, 7), torch.randn(USERS, 7)
    made = LeCDSRNetwork(
        n_users=USERS, n_items=ITEMS, max_length=LENGTH, embedding_size=SIZE, hidden_size=8,
        item_embedding=item if texts else None, user_vectors=UserVectors.one_per_user(user.numpy()),
        semantic_fusion=fusion, mask_padding=mask_padding,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return made


def equations(net: LeCDSRNetwork) -> tuple[Tensor, Tensor]:
    """Queries and alignment loss, as docs/models.md writes them, with complex FFTs."""
    mask = WINDOWS.ne(0) if net.mask_padding else torch.ones_like(WINDOWS, dtype=torch.bool)
    real = mask.unsqueeze(-1).float()
    item = net.item_id(WINDOWS) * real
    text = None if net.item_text is None else net.item_adapter(net.item_text[WINDOWS]) * real
    user = net.user_adapter(net.user_text[PROFILES])
    fused, extra = item, 0.0
    if net.fusion is not None:
        spectrum = torch.fft.rfft(item, dim=1, norm="ortho")
        filtered = spectrum * torch.view_as_complex(net.fusion.filter)
        i = torch.fft.irfft(filtered, n=LENGTH, dim=1, norm="ortho")
        m = torch.fft.irfft(spectrum * torch.fft.rfft(text, dim=1, norm="ortho"), n=LENGTH, dim=1, norm="ortho")
        fused = (i * net.fusion.item_gate(i).sigmoid() + m * net.fusion.fusion_gate(m).sigmoid()) * real
    elif text is not None:
        extra = net.feature_gate.item(text)
    gate = (net.feature_gate.item(fused) + extra + net.feature_gate.user(user).unsqueeze(1)).sigmoid()
    gated = fused * gate
    table = torch.cat([net.position.weight[:1].detach(), net.position.weight[1:]])
    logits = gated @ net.instance_gate.item + F.embedding(POSITIONS, table) @ net.instance_gate.position
    weight = (logits.squeeze(-1) + user @ net.instance_gate.user).sigmoid() * mask
    union = (weight.unsqueeze(-1) * gated).sum(1) / weight.sum(1, keepdim=True).clamp(min=1e-30)
    query = user + union + fused.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    if text is None:
        return query, torch.zeros(())
    align = torch.zeros(())
    for e, t, kept in zip(item, text, mask, strict=True):
        e, t = e[kept], t[kept]
        z, r = e @ t.T / TAU, torch.softmax((e @ e.T + t @ t.T) / (2 * TAU), dim=1)
        align = align - (r * (z.log_softmax(1) + z.T.log_softmax(1))).sum()
    return query, align / mask.sum()


@pytest.mark.parametrize("rows_per_chunk", [2, 100])
@pytest.mark.parametrize("mask_padding", [True, False])
@pytest.mark.parametrize(("fusion", "texts"), [(True, True), (False, True), (False, False)])
def test_values_and_gradients_are_those_of_the_equations(monkeypatch, mask_padding, fusion, texts, rows_per_chunk):
    monkeypatch.setattr(window_encoder, "_CHUNK_BYTES", rows_per_chunk * LENGTH * SIZE * 4)
    net = network(mask_padding, fusion, texts)
    weight = torch.randn(len(WINDOWS), SIZE)
    encoded = net.encode(INPUTS, TAU)
    query, align = equations(net)

    torch.testing.assert_close(encoded.query, query, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoded.alignment, align, rtol=1e-5, atol=1e-5)
    names, parameters = zip(*net.named_parameters(), strict=True)
    ours = torch.autograd.grad((encoded.query * weight).sum() + 0.3 * encoded.alignment, parameters, allow_unused=True)
    theirs = torch.autograd.grad((query * weight).sum() + 0.3 * align, parameters, allow_unused=True)
    for name, one, other in zip(names, ours, theirs, strict=True):
        assert (one is None) == (other is None), name
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_bfloat16_of_autocast_changes_gradients_by_less_than_a_hundredth():
    net = network(mask_padding=False, fusion=True, texts=True)
    weight = torch.randn(len(WINDOWS), SIZE)
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            encoded = net.encode(INPUTS, TAU)
        loss = (encoded.query * weight).sum() + encoded.alignment
        made = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        gradients.append(torch.cat([part.flatten() for part in made if part is not None]))
    exact, rounded = gradients
    assert 0 < float((exact - rounded).norm() / exact.norm()) < 0.01


def test_nothing_is_kept_for_a_gradient_that_nobody_wants():
    net = network(mask_padding=True, fusion=True, texts=True)
    with torch.no_grad():
        scored = net.encode(INPUTS)
    assert scored.query.grad_fn is None
    torch.testing.assert_close(scored.query, net.encode(INPUTS, TAU).query)

from __future__ import annotations

import pytest
import torch

from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.model.modules.spectral_fusion import fourier_matrices
from recbole_lecdsr.model.published_network import LeCDSRNetwork
from recbole_lecdsr.model.sequence_input import SequenceInput
from recbole_lecdsr.quick_start import load_dataset
from tests.helpers.pairs import PER_TARGET, random_events, write_pair


def prepared(tmp_path, **changes):
    data = load_dataset("LeCDSR", config_dict={**write_pair(tmp_path, random_events()), **changes})
    train, _, _ = data_preparation(data.config, data)
    torch.manual_seed(0)
    return data, data.config.model_class(data.config, data), train


@pytest.mark.parametrize("loss_type", ["softmax", "psl", "own_sample_hinge"])
def test_shared_negatives_score_as_the_same_negatives_of_each_sample_do(tmp_path, loss_type):
    negatives = {"sample_num": 100, "shared": True}
    settings = {**PER_TARGET, "loss_type": loss_type, "train_neg_sample_args": negatives}
    data, model, train = prepared(tmp_path, **settings)
    assert data.config["train_neg_sample_args"]["distribution"] == "uniform"
    batch = next(iter(train))
    shared = model.calculate_loss(batch)
    total = 0.0
    domain_items = data.domain_items
    for row in range(len(batch["item_id"])):
        positive, domain = batch["item_id"][row], int(batch["domain"][row])
        others = torch.from_numpy(domain_items[domain])
        others = others[others != positive]
        query = model.network.query(SequenceInput(*(part[[row]] for part in model.sequence_input(batch))))
        scores = model.network.score(query, torch.cat([positive.view(1), others]).unsqueeze(0))
        total += model.objective.ranking_loss(scores[:, 0], scores[:, 1:], model.objective.temperature)
    if loss_type != "own_sample_hinge":  # a mean over the batch, not a sum
        total = total / len(batch["item_id"])
    assert shared[0].detach().item() == pytest.approx(float(total.detach()), rel=1e-5)
    sum(shared).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("length", [1, 2, 3, 14, 15, 47])
def test_the_matrices_are_the_real_fourier_transform_and_its_inverse(length):
    forward, inverse = fourier_matrices(length)
    signal = torch.randn(4, length, 3)
    spectrum = torch.fft.rfft(signal, dim=1, norm="ortho")
    ours = torch.matmul(forward, signal)
    assert torch.allclose(ours, torch.cat([spectrum.real, spectrum.imag], dim=1), atol=1e-5)
    assert torch.allclose(torch.matmul(inverse, ours), signal, atol=1e-5)
    filtered = spectrum * torch.randn(length // 2 + 1, 3, dtype=torch.complex64)
    stacked = torch.cat([filtered.real, filtered.imag], dim=1)
    expected = torch.fft.irfft(filtered, n=length, dim=1, norm="ortho")
    assert torch.allclose(torch.matmul(inverse, stacked), expected, atol=1e-5)


def network(**changes) -> LeCDSRNetwork:
    torch.manual_seed(0)
    text, profile = torch.randn(12, 7), torch.randn(5, 7)
    text[0] = text[3] = 0
    return LeCDSRNetwork(
        n_users=5, n_items=12, max_length=6, embedding_size=8, hidden_size=4, item_embedding=text,
        user_vectors=UserVectors.one_per_user(profile.numpy()), **changes,
    )  # fmt: skip


WINDOWS = torch.tensor([[0, 0, 0, 1, 2, 3], [0, 4, 5, 6, 7, 8], [0, 0, 0, 0, 0, 0]])
POSITIONS = torch.tensor([[0, 0, 0, 2, 1, 1], [0, 3, 2, 1, 2, 1], [0, 0, 0, 0, 0, 0]])
USERS = torch.tensor([1, 2, 3])
NONE = torch.zeros_like(WINDOWS)
INPUTS = SequenceInput(WINDOWS, POSITIONS, NONE, NONE, USERS, USERS, USERS)


@pytest.mark.parametrize("changes", [{}, {"semantic_fusion": False}], ids=str)
def test_padding_never_leaks(changes):
    """What stands in the padding's rows of the tables makes no difference."""
    net = network(**changes).eval()
    before = net.query(INPUTS)
    with torch.no_grad():
        for table in (net.item_id, net.position):
            table.weight[0] = 100.0
        net.item_text[0] = 50.0
    assert torch.allclose(net.query(INPUTS), before, atol=1e-5)
    assert torch.isfinite(before).all(), "an empty window too"


def test_the_published_form_lets_padding_in():
    net = network(mask_padding=False).eval()
    before = net.query(INPUTS)
    with torch.no_grad():
        net.item_id.weight[0] = 100.0
    assert not torch.allclose(net.query(INPUTS), before, atol=1e-3)


def test_frozen_texts_are_neither_trained_nor_saved():
    net = network()
    assert not {name for name, _ in net.named_parameters()} & {"item_text", "user_text"}
    assert not set(net.state_dict()) & {"item_text", "user_text"}

from __future__ import annotations

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.constants import TEST, TRAIN
from recbole_lecdsr.data.event_log import build_event_log
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.data.samples import sample_targets
from recbole_lecdsr.data.windows import WindowGatherer
from recbole_lecdsr.model.modules.pca import principal_components
from recbole_lecdsr.model.score_fusion import candidate_features, cooccurrence, shared_items
from recbole_lecdsr.model.score_fusion.calibration import CalibrationSamples, calibration_targets
from recbole_lecdsr.model.score_fusion.candidate_features import CandidateFeatures
from recbole_lecdsr.model.score_fusion.map_weights import fit_map_weights
from recbole_lecdsr.model.score_fusion.score_fusion import ScoreFusion, fuse_scores
from recbole_lecdsr.model.score_fusion.text_neighbors import find_text_neighbors
from recbole_lecdsr.model.sequence_input import SequenceInput
from recbole_lecdsr.quick_start import load_dataset, run_lecdsr
from tests.helpers.pairs import random_events, write_pair

N_ITEMS, LENGTH = 30, 6
DOMAIN_ITEMS = np.arange(1, 17), np.arange(15, N_ITEMS)  # of which two are of both domains


@pytest.fixture(scope="module")
def log():
    random = np.random.default_rng(0)
    user = np.sort(random.integers(1, 40, 600))
    item = random.integers(1, N_ITEMS - 1, 600)  # the last item has no event
    return build_event_log(user, item, item > 14, random.integers(0, 90, 600), split={"LS": "valid_and_test"})


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    text = torch.randn(N_ITEMS, 9)
    text[0] = text[3] = 0
    return text


def make_features(log, texts):
    return CandidateFeatures(log, N_ITEMS, LENGTH, texts, DOMAIN_ITEMS)


def of_all(features, seen):
    return features(seen, torch.arange(N_ITEMS).expand(len(seen.user), -1))


def windows(log, phase: int = TEST):
    target = torch.from_numpy(sample_targets(log, phase))
    window = WindowGatherer(log, LENGTH)(target)
    domain = torch.from_numpy(log.domain).long()[target]
    return SequenceInput(window.item, window.position, window.domain, window.relative_time, domain, domain, domain)


@pytest.fixture(params=["dense", "sparse"], autouse=True)
def way_of_counting(request, monkeypatch):
    monkeypatch.setattr(cooccurrence, "_DENSE_ITEMS", N_ITEMS if request.param == "dense" else 0)


def by_hand(log, text, inputs, sample, candidate):
    """Features of one candidate of one window, from the definition."""
    item_seq, domain_seq, time_seq, domain = (
        part[sample] for part in (inputs.item_seq, inputs.domain_seq, inputs.time_seq, inputs.domain)
    )
    train = [index for index in range(len(log)) if log.split[index] == TRAIN]
    bins = {index: min(int(log.relative_time[index] * 256), 255) for index in train}
    now = int(time_seq[-1] * 256)
    lately = [sum(log.item[i] == candidate and now - n <= bins[i] < now for i in train) for n in (2, 16, 256)]
    number = np.bincount(log.item[train], minlength=N_ITEMS).clip(min=1)
    pairs = np.zeros((N_ITEMS, N_ITEMS))
    for later in train:
        for earlier in range(max(log.first[later], later - LENGTH), later):
            one, other = log.item[earlier], log.item[later]
            if one != other:
                pairs[one, other] += 1
                pairs[other, one] += 1
    near = pairs / np.sqrt(np.outer(number, number))
    vectors = principal_components(text, 128).numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    like = (vectors @ vectors.T).clip(min=0) ** 4
    shares = like.copy()
    np.fill_diagonal(shares, 0)
    shares[shares < np.sort(shares, axis=1)[:, -10:-9]] = 0
    shares /= shares.sum(axis=1, keepdims=True) + 0.5
    both = shares @ near + near @ shares.T
    users, likes, smooth = np.zeros(2), np.zeros(2), np.zeros(2)
    for place, item in enumerate(item_seq.tolist()):
        weight, part = 0.9 ** (LENGTH - 1 - place), int(domain_seq[place] != domain)
        for total, matrix in ((users, near), (likes, like), (smooth, both)):
            total[part] += weight * matrix[item, candidate] * (item != 0)
    no_text = float(not text[candidate].any())
    nearness = np.concatenate([users * 1000, likes * 1000, smooth * 100])
    return [*np.log1p(lately), float(lately[2] == 0), *np.log1p(nearness), no_text]


def test_the_features_are_those_of_the_definition(log, text):
    made, seen = make_features(log, find_text_neighbors(text)), windows(log)
    features = of_all(made, seen)
    assert features.shape == (made.size, len(seen.user), N_ITEMS)
    for sample in range(0, len(seen.user), 7):
        for candidate in (1, 3, 9, 20, N_ITEMS - 1):
            expected = by_hand(log, text, seen, sample, candidate)
            assert features[:, sample, candidate].tolist() == pytest.approx(expected, abs=1e-3)


def test_chosen_candidates_have_the_features_that_they_have_among_all(log, text):
    for known in (find_text_neighbors(text), None):
        made, seen = make_features(log, known), windows(log)
        candidates = torch.randint(1, N_ITEMS, (len(seen.user), 5))
        every, chosen = of_all(made, seen), made(seen, candidates)
        assert torch.allclose(every.gather(2, candidates.expand(len(every), -1, -1)), chosen, atol=1e-4)


def test_a_batch_may_have_samples_of_one_domain_only(log, text):
    features, inputs = make_features(log, find_text_neighbors(text)), windows(log)
    rows = torch.nonzero(inputs.domain == 1).flatten()[:3]
    inputs = SequenceInput(*(part[rows] for part in inputs))
    assert features(inputs, torch.ones(3, 2, dtype=torch.int64)).shape[1:] == (3, 2)


def test_features_know_training_events_alone(log, text):
    one = make_features(log, find_text_neighbors(text))
    item = np.where(log.split == TRAIN, log.item, 1)
    other = make_features(type(log)(**{**vars(log), "item": item}), find_text_neighbors(text))
    seen = windows(log)
    assert torch.equal(of_all(one, seen), of_all(other, seen))


def random_fusion(log, texts):
    torch.manual_seed(0)
    fusion = ScoreFusion(make_features(log, texts))
    fusion.weight.normal_()
    fusion.trust.normal_()
    fusion.scale.copy_(torch.tensor([0.5, 2.0]))
    return fusion


def test_the_score_is_the_network_s_and_the_features_by_their_weights(log, text, monkeypatch):
    seen, every = windows(log), torch.arange(N_ITEMS)
    score, own = torch.randn(len(seen.user), N_ITEMS), every.expand(len(seen.user), -1)
    unfitted = ScoreFusion(make_features(log, find_text_neighbors(text)))
    assert torch.equal(unfitted(score, seen, own), score), "before anything was fitted"
    assert torch.equal(unfitted.fuse_items(score.clone(), seen, every), score)
    fusion = random_fusion(log, find_text_neighbors(text))
    features, domain = of_all(fusion.features, seen), seen.domain
    trust = fusion.scale[domain].unsqueeze(1) + (features[:4] * fusion.trust[domain].T.unsqueeze(2)).sum(dim=0)
    expected = score * trust + (features * fusion.weight[domain].T.unsqueeze(2)).sum(dim=0)
    assert torch.allclose(fusion(score, seen, own), expected, atol=1e-4)
    monkeypatch.setattr(candidate_features, "_CPU_CELLS", 100)  # in chunks
    assert torch.allclose(fusion(score, seen, own), expected, atol=1e-4)
    score[:, 5] = -torch.inf
    assert (fusion(score, seen, own)[:, 5] == -torch.inf).all(), "what is not to be scored stays so"
    assert (fusion.fuse_items(score.clone(), seen, every)[:, 5] == -torch.inf).all()


@pytest.mark.parametrize(
    "items", [np.arange(N_ITEMS), DOMAIN_ITEMS[1], DOMAIN_ITEMS[0], np.array([20, 3, 15, 9])], ids=len
)
@pytest.mark.parametrize("with_texts", [True, False])
def test_shared_items_have_the_scores_that_each_sample_s_own_candidates_have(log, text, items, with_texts, monkeypatch):
    monkeypatch.setattr(shared_items, "_FEWEST_ITEMS", 7)  # in blocks that do not divide the items
    monkeypatch.setattr(candidate_features, "_CPU_CELLS", 200)
    monkeypatch.setattr(cooccurrence, "_DENSE_CELLS", 4 * N_ITEMS)
    fusion, seen = random_fusion(log, find_text_neighbors(text) if with_texts else None), windows(log)
    items = torch.from_numpy(items)
    score = torch.randn(len(seen.user), len(items))
    expected = fusion(score, seen, items.expand(len(seen.user), -1))
    assert torch.allclose(fusion.fuse_items(score.clone(), seen, items), expected, atol=1e-4)


def test_the_weights_are_the_most_likely():
    torch.manual_seed(0)
    score, features = torch.randn(4000, 20), torch.randn(2, 4000, 20)
    true = torch.tensor([1.5, -0.4]), torch.tensor([0.3]), torch.tensor(0.7)
    truth = fuse_scores(score, features, *(part.expand(4000, *part.shape) for part in true))
    assert torch.allclose(truth, score * (0.7 + 0.3 * features[0]) + features[0] * 1.5 - features[1] * 0.4, atol=1e-5)
    chosen = torch.distributions.Categorical(logits=truth).sample().unsqueeze(1)
    order = torch.cat([chosen, torch.arange(20).expand(4000, -1)], dim=1)  # the target first, and hidden where it was
    hidden = (order == chosen) & (torch.arange(21) > 0)
    score, features = score.gather(1, order), features.gather(2, order.expand(2, -1, -1))
    found = fit_map_weights(score.masked_fill(hidden, -torch.inf), features, 1)
    for part, expected in zip(found, true, strict=True):
        assert part.shape == expected.shape and torch.allclose(part, expected, atol=0.1)


def test_the_weights_are_the_same_from_any_start_and_in_any_order_of_the_samples():
    torch.manual_seed(0)
    score, features = torch.randn(300, 40) * 5, torch.rand(3, 300, 40) * 7
    score[:, 0] += 3
    found = torch.cat([part.view(-1) for part in fit_map_weights(score, features, 2)])
    order = torch.randperm(300)
    for start in (torch.randn(6), found * 1.1):
        again = torch.cat([part.view(-1) for part in fit_map_weights(score[order], features[:, order], 2, start)])
        assert torch.allclose(again, found, atol=1e-5)
    # The gradient of the negative log posterior, in float64, against the curvature of the prior alone.
    design = torch.cat([features, score * features[:2], score[None]]).double()
    values = found.double().requires_grad_()
    prior = (values - torch.tensor([0.0] * 5 + [1.0])).square().sum() / 2
    loss = prior - torch.einsum("ksc,k->sc", design, values).log_softmax(dim=1)[:, 0].sum()
    loss.backward()
    assert values.grad.abs().max() < 0.05


@pytest.mark.parametrize("size", [1e4, 1e15, 1e30])
def test_very_large_scores_give_weights_that_are_numbers(size):
    torch.manual_seed(0)
    found = fit_map_weights(torch.randn(50, 20) * size, torch.rand(2, 50, 20), 1)
    assert all(part.isfinite().all() for part in found)


def test_without_samples_the_network_alone_scores():
    weight, trust, scale = fit_map_weights(torch.zeros(0, 5), torch.zeros(3, 0, 5), 2)
    assert not weight.any() and not trust.any() and scale == 1


def test_what_is_held_out_is_the_newest_of_a_quarter_of_the_users(log):
    target = sample_targets(log, TRAIN)
    held = calibration_targets(log, target)
    expected = []
    for user in range(4, 40, 4):
        own = target[log.user[target] == user]
        expected += own[len(own) - min(1, len(own) - 1) :].tolist() if len(own) else []
    assert held.tolist() == expected and len(expected) > 5


def prepared(tmp_path, **changes):
    data = load_dataset("LeCDSR", config_dict={**write_pair(tmp_path, random_events()), **changes})
    return data, data_preparation(data.config, data)[0]


def test_the_network_is_not_trained_on_what_is_held_out(tmp_path):
    data, train = prepared(tmp_path)
    held = calibration_targets(data.log, data.targets("train"))
    assert len(held) and not np.isin(train.targets.numpy(), held).any()
    assert len(train.targets) + len(held) == len(data.targets("train"))
    samples = CalibrationSamples(data.config, data)
    assert (samples.log.split[held] != TRAIN).all() and (samples.log.split != data.log.split).sum() == len(held)
    for batch, items, hidden in samples:
        assert torch.equal(items[:, 0], batch["item_id"]) and not hidden[:, 0].any()
        for row in range(len(items)):
            own = data.log.item[(data.log.user == int(batch["user_id"][row])) & (data.log.split == TRAIN)]
            assert hidden[row, 1:].tolist() == np.isin(items[row, 1:].numpy(), own).tolist()
            assert np.isin(items[row].numpy(), data.domain_items[int(batch["domain"][row])]).all()


@pytest.mark.parametrize("changes", [{}, {"no_item_semantics": True}, {"ema_decay": 0.0}], ids=str)
def test_a_model_learns_what_the_evidence_is_worth_after_each_epoch(tmp_path, changes):
    data, _ = prepared(tmp_path, **changes)
    model = data.config.model_class(data.config, data)
    features = model._calibration_features
    assert features.shape[0] == model.score_fusion.features.size == (6 if "no_item_semantics" in changes else 11)
    model.train()
    model.after_epoch()
    assert model.training and model.score_fusion.weight.any(dim=1).all() and (model.score_fusion.scale != 1).all()
    state = model.state_dict()
    assert torch.equal(state["score_fusion.weight"], model.score_fusion.weight), "a checkpoint has it"


def test_the_published_network_can_be_blended_too(tmp_path):
    settings = write_pair(tmp_path, random_events())
    found = run_lecdsr(model="LeCDSR-paper", config_dict={**settings, "score_fusion": True, "train_epochs": ["BOTH:1"]})
    assert 0 <= found["test_result"]["source_hit@10"] <= 1

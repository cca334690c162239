"""Settings of training, its negatives, and the candidates of evaluation."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.lecdsr import LeCDSR
from tests.helpers.pairs import PER_TARGET, random_events, write_pair
from tests.helpers.runs import loaders, read_run, train

# ------------------------------------------------------------------ settings of training


@pytest.mark.parametrize(
    "changes",
    [{"train_batch_size": 1}, {"eval_batch_size": 1}, {"MAX_ITEM_LIST_LENGTH": 1}, {"MAX_ITEM_LIST_LENGTH": 40},
     {"enable_amp": True}, {"learner": "sgd"}, {"learner": "adagrad"}, {"clip_grad_norm": 1.0},
     {"train_neg_sample_args": {"sample_num": 1}}, {"weight_decay": 0.01}, {"topk": 7, "valid_metric": "MRR@7"},
     {"metrics": ["Recall", "Precision", "MAP", "NDCG"]}, {"MIN_ITEM_LIST_LENGTH": 3}, {"repeatable": True}],
    ids=str,
)  # fmt: skip
def test_it_trains_with(tmp_path, changes):
    pair = write_pair(tmp_path / "dataset", random_events(8))
    result = train(pair, train_epochs=["BOTH:1"], **changes)["result"]
    assert np.isfinite(result["history"][0]["loss"]).all()
    assert 0 < result["test"]["overall"]["mrr"] <= 1


def test_the_size_of_evaluation_batches_changes_no_rank(pair, tmp_path):
    one, other = (train(pair, eval_batch_size=size, output_dir=str(tmp_path / str(size))) for size in (1, 500))
    ranks = [read_run(outcome["run_directory"])["ranks"]["rank"] for outcome in (one, other)]
    np.testing.assert_array_equal(*ranks)


def test_the_batches_of_an_epoch_hold_every_sample_once_in_an_order_of_their_own(pair, recorder):
    train(pair, recorder, train_epochs=["BOTH:2"], train_batch_size=50, score_fusion=False, **PER_TARGET)
    samples = torch.cat([torch.stack([b["user_id"], b["item_id"], b["item_length"]], 1) for b in recorder.batches])
    first, second = samples.chunk(2)
    assert len(samples) == 2 * 210
    assert not torch.equal(first, second)
    assert sorted(map(tuple, first.tolist())) == sorted(map(tuple, second.tolist()))
    assert {len(batch["user_id"]) for batch in recorder.batches} == {50, 10}


@pytest.mark.parametrize("given", [0.001, {"max_norm": 0.001}, {"max_norm": 0.001, "norm_type": 2}], ids=str)
def test_clipping_bounds_the_gradient_of_a_step(pair, tmp_path, given):
    common = {**pair, "learner": "sgd", "weight_decay": 0.0, "train_epochs": ["BOTH:1"], "train_batch_size": 1000}
    start = train(common, learning_rate=1e-30, output_dir=str(tmp_path / "start"))["run_directory"]
    step = train(common, learning_rate=1.0, clip_grad_norm=given)["run_directory"]
    before, after = (read_run(folder)["weights"] for folder in (start, step))
    moved = torch.cat([(after[name] - before[name]).flatten() for name in before if name.startswith("network.")])
    moved = moved.double().norm()  # the average of the weights moves too
    assert moved == pytest.approx(0.001, rel=1e-2)


# The first ruins the loss of an epoch, the second the weights only, which validation finds out.
@pytest.mark.parametrize("batch_size", [16, 1000])
def test_a_loss_that_is_not_a_number_is_an_error_with_a_remedy(pair, batch_size):
    with pytest.raises(UserError, match=r"lower learning_rate"):
        train(pair, learner="sgd", learning_rate=1e38, train_batch_size=batch_size)


def test_a_loss_that_is_not_a_number_leaves_the_last_good_checkpoint(pair, monkeypatch):
    original = LeCDSR.calculate_loss
    calls = []

    def spoilt(self, interaction):
        calls.append(1)
        losses = original(self, interaction)
        return tuple(loss * torch.nan for loss in losses) if len(calls) > 4 else losses

    monkeypatch.setattr(LeCDSR, "calculate_loss", spoilt)
    with pytest.raises(UserError, match="training loss of epoch 1"):
        train(pair, **PER_TARGET)
    (path,) = Path(pair["output_dir"]).rglob("model.pth")
    state = torch.load(path, weights_only=True)
    assert state["epoch"] == 0
    assert all(torch.isfinite(weight).all() for weight in state["state_dict"].values())


# ------------------------------------------------------------------ negatives of training


def negatives(settings, **arguments):
    train_data, *_ = loaders(settings, **PER_TARGET, train_neg_sample_args={"shared": False, **arguments})
    batches = [batch.interaction for batch in train_data]
    return train_data, {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def test_negatives_are_as_many_as_asked_and_of_the_targets_domain(pair):
    train_data, batch = negatives(pair, sample_num=7)
    assert batch["neg_item_id"].shape == (len(train_data.targets), 7)
    assert not (batch["neg_item_id"] == batch["item_id"][:, None]).any()
    for code, items in enumerate(train_data.dataset.domain_items):
        drawn = batch["neg_item_id"][batch["domain"] == code]
        assert set(drawn.flatten().tolist()) <= set(items.tolist())


def test_negatives_can_leave_out_what_the_user_had_in_training(pair):
    train_data, batch = negatives(pair, sample_num=20, exclude_user_items=True)
    log = train_data.dataset.log
    train_events = log.split == 0
    had = set(zip(log.user[train_events].tolist(), log.item[train_events].tolist(), strict=True))

    def drawn(batch) -> set[tuple[int, int]]:
        rows = zip(batch["user_id"].tolist(), batch["neg_item_id"].tolist(), strict=True)
        return {(user, item) for user, row in rows for item in row}

    assert not had & drawn(batch)
    assert had & drawn(negatives(pair, sample_num=20)[1])


def test_popular_negatives_follow_training_counts_to_the_power_alpha(tmp_path):
    # Of the target domain: t0 nine times, t1 once, t2 in the test events only.
    events = []
    for user in range(10):
        item = "t1" if user == 0 else "t0"
        events += [(f"u{user}", f"s{user % 3}", "source", 0.0), (f"u{user}", item, "target", 1.0)]
        events += [(f"u{user}", f"s{(user + 1) % 3}", "source", t) for t in (2.0, 3.0, 4.0)]
        events += [(f"u{user}", "t2", "target", 5.0)]
    pair = write_pair(tmp_path / "dataset", events)
    for alpha, share in ((1.0, 9 / 10), (0.5, 3 / 4), (0.0, 1 / 2)):
        train_data, _ = negatives(pair, distribution="popularity", sample_num=9, alpha=alpha)
        ids = train_data.dataset.token_ids("target", "item")
        positive = torch.full((4000,), ids["t2"])
        drawn = train_data.sampler.sample(torch.ones_like(positive), positive, torch.ones_like(positive), 1)
        assert (drawn == ids["t0"]).float().mean() == pytest.approx(share, abs=0.03)
        assert not (drawn == ids["t2"]).any()


# ------------------------------------------------------------------ candidates


@pytest.mark.parametrize(
    ("mode", "valid", "test"),
    [("full", None, None), ("uni5", 5, 5), ("pop3", 3, 3), ({"valid": "uni5", "test": "full"}, 5, None),
     ({"valid": "full", "test": "uni4"}, None, 4)],
    ids=str,
)  # fmt: skip
def test_each_phase_has_the_candidates_of_its_mode(tmp_path, mode, valid, test):
    pair = write_pair(tmp_path / "dataset", random_events(n_items=30))
    changes = {"eval_args": {"mode": mode}, "train_epochs": ["BOTH:1"]}
    _, *evaluation = loaders(pair, **changes)
    for loader, number in zip(evaluation, (valid, test), strict=True):
        items = loader.candidates.items
        assert items is None if number is None else items.shape == (len(loader.targets), number)
    outcome = train(pair, **changes)
    assert outcome["result"]["candidates"]["mode"] == (mode if isinstance(mode, str) else mode["test"])
    ranks = read_run(outcome["run_directory"])["ranks"]["rank"]
    assert ranks.min() >= 1 and ranks.max() <= (30 if test is None else test + 1)


def test_other_models_and_settings_meet_the_same_candidates(tmp_path):
    pair = {**write_pair(tmp_path / "dataset", random_events(n_items=30)), "eval_args": {"mode": "uni9"}}
    stored = tmp_path / "dataset" / "pair" / "candidates"
    one = train(pair)
    kept = {path.name: np.load(path) for path in stored.iterdir()}
    assert len(kept) == 2
    shutil.rmtree(stored)  # so that the other run draws its own
    other = train(
        pair, "LeCDSR-paper", embedding_size=4, MAX_ITEM_LIST_LENGTH=3, train_batch_size=10, no_user_profile=True
    )
    assert one["result"]["candidates"] == other["result"]["candidates"]
    drawn = {path.name: np.load(path) for path in stored.iterdir()}
    assert drawn.keys() == kept.keys()
    for name, items in drawn.items():
        np.testing.assert_array_equal(items, kept[name])
    assert one["result"]["reference"] == other["result"]["reference"]


def test_another_seed_or_split_meets_other_candidates(tmp_path):
    pair = {**write_pair(tmp_path / "dataset", random_events(n_items=30)), "eval_args": {"mode": "uni9"}}
    ratio = {"mode": "uni9", "split": {"RS": [0.5, 0.25, 0.25]}}
    digests = [loaders(pair, **changes)[2].candidates.digest for changes in ({}, {"seed": 1}, {"eval_args": ratio})]
    assert len(set(digests)) == 3

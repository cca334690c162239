"""Training, selection, resumption and what a run directory holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.lecdsr import LeCDSR
from recbole_lecdsr.quick_start import run_lecdsr
from recbole_lecdsr.trainer import CrossDomainSequentialTrainer
from tests.pairs import random_events, write_pair
from tests.runs import (
    MEASURED,
    assert_same_run,
    assert_same_weights,
    lasting,
    loaders,
    process,
    read_run,
    train,
)


@pytest.fixture
def pair(tmp_path) -> dict[str, object]:
    return {**write_pair(tmp_path / "dataset", random_events()), "learning_rate": 0.01}


class Recorder(LeCDSR):
    """Keeps what it was trained on."""

    batches: list[dict[str, torch.Tensor]]

    def calculate_loss(self, interaction):
        self.batches.append({name: tensor.clone() for name, tensor in interaction.interaction.items()})
        return super().calculate_loss(interaction)


@pytest.fixture
def recorder() -> type[Recorder]:
    """A fresh `Recorder` that has LeCDSR's name and thus its properties."""
    return type("LeCDSR", (Recorder,), {"batches": []})


# ------------------------------------------------------------------ the same seed, the same result


def test_the_same_seed_gives_the_same_result_ranks_and_weights(pair, tmp_path):
    one, other = (train(pair, output_dir=str(tmp_path / name)) for name in ("one", "other"))
    assert_same_run(one["run_directory"], other["run_directory"])


def test_another_seed_gives_other_weights_in_a_folder_of_its_own(pair):
    one, other = train(pair), train(pair, seed=3)
    assert Path(other["run_directory"]).name == "LeCDSR-3"
    weights = [read_run(outcome["run_directory"])["weights"] for outcome in (one, other)]
    assert not torch.equal(weights[0]["network.item_id.weight"], weights[1]["network.item_id.weight"])


def test_a_process_with_another_hash_seed_gives_the_same_result(finished, tmp_path):
    code = (
        "import json, sys; from recbole_lecdsr.quick_start import run_lecdsr; "
        "run_lecdsr(config_dict=json.loads(sys.argv.pop()), command_line=[])"
    )
    settings = json.dumps({**finished["settings"], "output_dir": str(tmp_path / "runs")})
    done = process("-c", code, settings, cwd=tmp_path, PYTHONHASHSEED="12345")
    assert done.returncode == 0, done.stderr
    assert_same_run(finished["folder"], tmp_path / "runs" / "pair" / "LeCDSR-2022")


# ------------------------------------------------------------------ resuming


class Broken(Exception):
    """A process that ends in the middle of its work."""


PHASES = {"train_epochs": ["SOURCE:2", "BOTH:3"], "stopping_step": 1, "learning_rate": 0.03}


@pytest.fixture(scope="module", params=["mean", "per_domain_best"])
def unbroken(request, tmp_path_factory):
    """A run in two phases, and its settings."""
    root = tmp_path_factory.mktemp("unbroken")
    settings = {**write_pair(root / "dataset", random_events()), **PHASES, "selection": request.param}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        outcome = train(settings)
    return settings, outcome["run_directory"]


def breaks_after(monkeypatch, phase: int, epoch: int) -> None:
    """Training breaks when an epoch is trained and neither validated nor saved."""
    original = CrossDomainSequentialTrainer._train_epoch

    def train_epoch(self, train_data, epoch_idx, *args, **kwargs):
        loss = original(self, train_data, epoch_idx, *args, **kwargs)
        if (self.phase, epoch_idx) == (phase, epoch):
            raise Broken
        return loss

    monkeypatch.setattr(CrossDomainSequentialTrainer, "_train_epoch", train_epoch)


@pytest.mark.parametrize("at", [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)], ids=str)
def test_a_run_that_breaks_in_any_epoch_resumes_to_the_result_of_the_unbroken_one(unbroken, tmp_path, monkeypatch, at):
    settings, expected = unbroken
    settings = {**settings, "output_dir": str(tmp_path / "runs")}
    with monkeypatch.context() as patch:
        breaks_after(patch, *at)
        with pytest.raises(Broken):
            train(settings)
    outcome = train(settings, resume=True)
    assert_same_run(expected, outcome["run_directory"])


def test_a_run_that_breaks_before_its_test_resumes_to_the_same_result(unbroken, tmp_path, monkeypatch):
    settings, expected = unbroken
    settings = {**settings, "output_dir": str(tmp_path / "runs")}
    with monkeypatch.context() as patch:
        patch.setattr(CrossDomainSequentialTrainer, "evaluate", lambda *args, **kwargs: (_ for _ in ()).throw(Broken))
        with pytest.raises(Broken):
            train(settings)
    assert_same_run(expected, train(settings, resume=True)["run_directory"])


def test_a_run_that_breaks_twice_resumes_to_the_same_result(unbroken, tmp_path, monkeypatch):
    settings, expected = unbroken
    settings = {**settings, "output_dir": str(tmp_path / "runs")}
    for at, resume in (((0, 1), False), ((1, 1), True)):
        with monkeypatch.context() as patch:
            breaks_after(patch, *at)
            with pytest.raises(Broken):
                train(settings, resume=resume)
    assert_same_run(expected, train(settings, resume=True)["run_directory"])


def test_a_finished_run_that_is_resumed_with_more_epochs_is_the_longer_run(pair, tmp_path):
    long = train(pair, train_epochs=["BOTH:4"], output_dir=str(tmp_path / "long"))
    train(pair, train_epochs=["BOTH:2"])
    resumed = train(pair, train_epochs=["BOTH:4"], resume=True)
    assert_same_run(long["run_directory"], resumed["run_directory"])


def test_resuming_without_a_checkpoint_starts_anew(pair, tmp_path):
    fresh = train(pair, output_dir=str(tmp_path / "fresh"))
    assert_same_run(fresh["run_directory"], train(pair, resume=True)["run_directory"])


def test_resuming_with_other_parameters_is_refused_naming_them(pair):
    outcome = train(pair)
    before = (Path(outcome["run_directory"]) / "model.pth").read_bytes()
    with pytest.raises(UserError) as caught:
        train(pair, resume=True, learning_rate=0.5, topk=[10])
    message = str(caught.value)
    assert "learning_rate was 0.01 and is 0.5" in message
    assert "topk was [1, 5, 10, 20] and is [10]" in message
    assert "output_dir" in message
    assert "seed" not in message
    assert (Path(outcome["run_directory"]) / "model.pth").read_bytes() == before


def test_resuming_with_other_data_is_refused(pair, tmp_path):
    train(pair)
    shutil.rmtree(tmp_path / "dataset" / "pair")
    write_pair(tmp_path / "dataset", random_events(n_items=20))
    with pytest.raises(UserError, match=r"weights of .*model\.pth do not fit this data set"):
        train(pair, resume=True)


def test_an_unfinished_run_that_is_started_anew_is_told_of(pair, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        breaks_after(patch, 0, 1)
        with pytest.raises(Broken):
            train(pair)
    train(pair)
    assert "--resume=True" in caplog.text


# ------------------------------------------------------------------ selection


def epochs_of(result, phase: int = 0) -> list[dict]:
    return [entry for entry in result["history"] if entry["phase"] == phase]


def test_mean_selection_keeps_the_epoch_with_the_best_mean_of_both_domains(finished):
    result = finished["result"]
    means = [np.mean([e["valid"][d]["ndcg@10"] for d in ("source", "target")]) for e in result["history"]]
    best = max(range(len(means)), key=lambda epoch: (means[epoch], epoch))
    assert result["best_epoch"] == {"mean": best}
    assert result["valid"] == result["history"][best]["valid"]
    assert finished["best_valid_score"] == pytest.approx(means[best])


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """A run with ``per_domain_best`` whose domains have their best epochs apart."""
    root = tmp_path_factory.mktemp("apart")
    events = [event for event in random_events() if event[2] == "source" or event[3] > 6 or event[3] == 1]
    settings = {**write_pair(root / "dataset", events), "train_epochs": ["BOTH:6"], "learning_rate": 0.03}
    settings["stopping_step"] = 10
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        outcome = train(settings, selection="per_domain_best")
        last = {
            domain: train(
                {**settings, "train_epochs": [f"BOTH:{epoch + 1}"], "output_dir": str(root / domain)}, saved=False
            )
            for domain, epoch in outcome["result"]["best_epoch"].items()
        }
    return settings, outcome, last


def test_per_domain_best_keeps_the_best_epoch_of_each_domain(apart):
    _, outcome, _ = apart
    result = outcome["result"]
    assert result["selection"] == "per_domain_best"
    for domain in ("source", "target"):
        scores = [entry["valid"][domain]["ndcg@10"] for entry in result["history"]]
        best = max(range(len(scores)), key=lambda epoch: (scores[epoch], epoch))
        assert result["best_epoch"][domain] == best
        assert result["valid"][domain] == result["history"][best]["valid"][domain]
    assert len(set(result["best_epoch"].values())) == 2, "else the test shows nothing"


def test_per_domain_best_tests_each_domain_with_its_own_epoch(apart):
    _, outcome, last = apart
    ranks = read_run(outcome["run_directory"])["ranks"]
    for code, (domain, alone) in enumerate(last.items()):
        assert outcome["result"]["test"][domain] == alone["result"]["test"][domain]
        with np.load(Path(alone["run_directory"]) / "ranks.npz") as own:
            chosen = ranks["domain"] == code
            np.testing.assert_array_equal(ranks["rank"][chosen], own["rank"][chosen])


def test_per_domain_best_gives_validation_of_both_domains_by_their_numbers_of_samples(apart):
    settings, outcome, _ = apart
    valid = outcome["result"]["valid"]
    _, loader, _ = loaders(settings)
    count = np.bincount(loader.domain, minlength=2)
    assert count[0] != count[1], "else the test shows nothing"
    for metric, value in valid["overall"].items():
        parts = [valid[domain][metric] for domain in ("source", "target")]
        assert value == pytest.approx(np.average(parts, weights=count)), metric


# ------------------------------------------------------------------ stopping and validation


def test_training_stops_when_validation_has_not_improved_for_long_enough(pair):
    result = train(pair, train_epochs=["BOTH:60"], stopping_step=2, learning_rate=0.05)["result"]
    assert result["epochs"] < 60
    assert result["epochs"] == result["best_epoch"]["mean"] + 1 + 3


@pytest.mark.parametrize("step", [2, 3, 9])
def test_validation_can_be_rarer_than_epochs(pair, step):
    result = train(pair, train_epochs=["BOTH:3"], eval_step=step)["result"]
    validated = [entry["epoch"] for entry in result["history"] if "valid" in entry]
    assert validated == [1] if step == 2 else [2]
    assert result["best_epoch"]["mean"] in validated


def test_without_validation_samples_the_last_epoch_is_tested(pair, tmp_path):
    arguments = {"eval_args": {"split": {"LS": "test_only"}}}
    outcome = train(pair, **arguments)
    assert outcome["result"]["best_epoch"] == {"mean": 1}
    assert outcome["result"]["valid"] == {}
    last = train(pair, saved=False, output_dir=str(tmp_path / "unsaved"), **arguments)
    assert outcome["test_result"] == last["test_result"]


def test_without_test_samples_there_is_no_result(pair, caplog):
    outcome = train(pair, eval_args={"split": {"LS": "valid_only"}})
    assert outcome["test_result"] is None and outcome["result"] is None
    assert not (Path(outcome["run_directory"]) / "result.json").exists()
    assert outcome["best_valid_score"] > 0
    assert "nothing to evaluate" in caplog.text


# ------------------------------------------------------------------ train modes


@pytest.mark.parametrize(("mode", "domains"), [("SOURCE", {0}), ("TARGET", {1}), ("BOTH", {0, 1})])
def test_a_mode_trains_on_targets_of_its_domains_with_mixed_windows(pair, recorder, mode, domains):
    train(pair, recorder, train_epochs=[f"{mode}:1"])
    seen = torch.cat([batch["domain"] for batch in recorder.batches])
    assert set(seen.tolist()) == domains
    real = torch.cat([batch["item_id_list"] for batch in recorder.batches]) > 0
    within = torch.cat([batch["domain_list"] for batch in recorder.batches])
    assert set(within[real].tolist()) == {0, 1}


def test_overlap_trains_on_users_of_both_domains(tmp_path, recorder):
    events = [*random_events(), *((f"only{u}", f"s{i}", "source", float(i)) for u in range(5) for i in range(6))]
    pair = write_pair(tmp_path / "dataset", events)
    train_data, *_ = loaders(pair)
    train(pair, recorder, train_epochs=["OVERLAP:1"])
    users = torch.cat([batch["user_id"] for batch in recorder.batches])
    assert users.max() < train_data.dataset.num_overlap_user
    assert len(users) < len(train_data.targets)


@pytest.mark.parametrize("mode", ["SOURCE", "TARGET"])
def test_in_a_mode_of_one_domain_its_own_metric_selects(pair, mode):
    result = train(pair, train_epochs=[f"{mode}:4"], stopping_step=9)["result"]
    scores = [entry["valid"][mode.lower()]["ndcg@10"] for entry in result["history"]]
    assert [entry["valid_score"] for entry in result["history"]] == scores
    assert result["best_epoch"]["mean"] == max(range(4), key=lambda epoch: (scores[epoch], epoch))


def test_phases_follow_one_another_on_the_weights_of_the_one_before(pair, tmp_path, recorder):
    result = train(pair, recorder, train_epochs=["SOURCE:1", "BOTH:2"])["result"]
    assert [(entry["phase"], entry["epoch"]) for entry in result["history"]] == [(0, 0), (1, 0), (1, 1)]
    assert result["best_epoch"]["mean"] in (0, 1), "an epoch of the last phase"
    first = [set(batch["domain"].tolist()) for batch in recorder.batches]
    assert first[0] == {0} and first[-1] == {0, 1}
    alone = train(pair, train_epochs=["BOTH:2"], output_dir=str(tmp_path / "alone"))["result"]
    assert alone["history"][0]["loss"] != epochs_of(result, 1)[0]["loss"]


def test_a_mode_without_samples_is_an_error_that_names_it(tmp_path):
    events = [(f"u{u}", f"{d[0]}{t}", d, float(t)) for u in range(5) for t, d in enumerate(["target"] + ["source"] * 4)]
    with pytest.raises(UserError, match="train mode TARGET has no training sample"):
        train(write_pair(tmp_path / "dataset", events), train_epochs=["TARGET:1"])


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
    train(pair, recorder, train_epochs=["BOTH:2"], train_batch_size=50)
    samples = torch.cat([torch.stack([b["user_id"], b["item_id"], b["item_length"]], 1) for b in recorder.batches])
    first, second = samples.chunk(2)
    assert len(samples) == 2 * 210
    assert not torch.equal(first, second)
    assert sorted(map(tuple, first.tolist())) == sorted(map(tuple, second.tolist()))
    assert {len(batch["user_id"]) for batch in recorder.batches} == {50, 10}


@pytest.mark.parametrize("given", [0.001, {"max_norm": 0.001}, {"max_norm": 0.001, "norm_type": 2}], ids=str)
def test_clipping_bounds_the_gradient_of_a_step(pair, tmp_path, given):
    common = {**pair, "learner": "sgd", "weight_decay": 0.0, "train_epochs": ["BOTH:1"], "train_batch_size": 1000}
    start = train(common, learning_rate=0.0, output_dir=str(tmp_path / "start"))["run_directory"]
    step = train(common, learning_rate=1.0, clip_grad_norm=given)["run_directory"]
    before, after = (read_run(folder)["weights"] for folder in (start, step))
    moved = torch.cat([(after[name] - before[name]).flatten() for name in before]).double().norm()
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
        train(pair)
    state = torch.load(Path(pair["output_dir"]) / "pair" / "LeCDSR-2022" / "model.pth", weights_only=True)
    assert state["epoch"] == 0
    assert all(torch.isfinite(weight).all() for weight in state["state_dict"].values())


# ------------------------------------------------------------------ negatives of training


def negatives(settings, **arguments):
    train_data, *_ = loaders(settings, train_neg_sample_args={"shared": False, **arguments})
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


# ------------------------------------------------------------------ the run directory


def metrics_by_hand(rank: np.ndarray, topk: list[int]) -> dict[str, float]:
    values = {}
    for k in topk:
        hit = rank <= k
        values[f"hit@{k}"] = hit.mean()
        values[f"ndcg@{k}"] = np.where(hit, 1 / np.log2(rank + 1), 0).mean()
        values[f"mrr@{k}"] = np.where(hit, 1 / rank, 0).mean()
    return {**values, "mrr": (1 / rank).mean()}


def test_the_metrics_of_the_result_are_those_of_the_ranks(finished):
    run = read_run(finished["folder"])
    rank, domain = run["ranks"]["rank"], run["ranks"]["domain"]
    parts = {"source": domain == 0, "target": domain == 1, "overall": domain >= 0}
    assert run["result"]["test"].keys() == parts.keys()
    for name, chosen in parts.items():
        expected = metrics_by_hand(rank[chosen], [1, 5, 10, 20])
        assert run["result"]["test"][name] == pytest.approx(expected, abs=1e-9), name
        if name != "overall":
            assert run["result"]["test_samples"][name] == chosen.sum()


def test_what_is_returned_is_what_is_written(finished):
    written = json.loads((finished["folder"] / "result.json").read_text(encoding="utf-8"))
    assert finished["result"] == written
    for name, value in finished["test_result"].items():
        part, metric = name.split("_")
        assert written["test"][part][metric] == value
    for name, value in finished["best_valid_result"].items():
        part, metric = name.split("_")
        assert written["valid"][part][metric] == value


def test_the_ranks_are_of_the_test_events_of_each_user(finished):
    ranks = read_run(finished["folder"])["ranks"]
    last = {}
    for user, _, domain, time in random_events():
        if time >= last.get(user, (-1,))[0]:
            last[user] = (time, ("source", "target").index(domain))
    found = dict(zip(ranks["user"].tolist(), ranks["domain"].tolist(), strict=True))
    assert found == {user: domain for user, (_, domain) in last.items()}
    assert len(ranks["rank"]) == len(last)


def test_the_result_says_what_was_run(finished):
    result = finished["result"]
    assert result.keys() >= MEASURED
    assert result["model"] == "LeCDSR" and result["dataset"] == "pair" and result["seed"] == 2022
    assert result["domains"] == {"source": "source", "target": "target"}
    assert result["epochs"] == len(result["history"]) == 3
    assert result["candidates"]["mode"] == "full" and result["candidates"]["history_masked"] is True
    assert result["coverage"]["users"] == {"with_embedding": 30, "total": 30}
    assert result["peak_memory_bytes"]["process"] > 0
    assert set(result["seconds"]) == {"load", "train", "valid", "test"}
    assert result["parameters"]["learning_rate"] == 0.01


def test_the_reference_knows_training_popularity_only(finished):
    rank = []
    train_data, _, test_data = loaders(finished["settings"])
    log = train_data.dataset.log
    count = np.bincount(log.item[log.split == 0], minlength=train_data.dataset.num_total_item)
    for target in test_data.targets.tolist():
        history = set(log.item[log.first[target] : target].tolist())
        items = set(train_data.dataset.domain_items[log.domain[target]].tolist()) - history - {log.item[target]}
        rank.append(1 + sum(count[item] >= count[log.item[target]] for item in items))
    expected = metrics_by_hand(np.array(rank), [1, 5, 10, 20])
    assert finished["result"]["reference"]["popularity"]["overall"] == pytest.approx(expected, abs=1e-9)


def test_tensorboard_holds_the_validation_of_each_epoch(finished):
    events = EventAccumulator(str(finished["folder"]))
    events.Reload()
    for domain in ("source", "target"):
        scalars = events.Scalars(f"valid/{domain}/ndcg@10")
        assert [scalar.step for scalar in scalars] == [0, 1, 2]
        expected = [entry["valid"][domain]["ndcg@10"] for entry in finished["result"]["history"]]
        assert [scalar.value for scalar in scalars] == pytest.approx(expected, rel=1e-6)


def test_the_configuration_of_a_run_repeats_it(finished, tmp_path):
    file = finished["folder"] / "config.yaml"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == finished["result"]["parameters"]
    again = run_lecdsr(
        config_file_list=[str(file)], config_dict={"output_dir": str(tmp_path / "again")}, command_line=[]
    )
    assert_same_run(finished["folder"], again["run_directory"])


def test_the_weights_of_a_run_are_those_of_its_best_epoch(finished, tmp_path):
    best = finished["result"]["best_epoch"]["mean"]
    short = train(finished["settings"], train_epochs=[f"BOTH:{best + 1}"], output_dir=str(tmp_path / "short"))
    assert_same_weights(read_run(finished["folder"])["weights"], read_run(short["run_directory"])["weights"])


def test_nothing_is_left_of_files_being_written(finished):
    names = {path.name for path in finished["folder"].iterdir() if path.is_file()}
    assert {"config.yaml", "result.json", "ranks.npz", "model.pth"} <= names
    assert all(name.startswith("events.") for name in names - {"config.yaml", "result.json", "ranks.npz", "model.pth"})


def test_a_new_run_takes_the_place_of_the_former_one(pair):
    former = read_run(train(pair, learning_rate=0.1)["run_directory"])
    outcome = train(pair)
    new = read_run(outcome["run_directory"])
    assert former["result"] != new["result"]
    assert new["result"] == lasting(outcome["result"])

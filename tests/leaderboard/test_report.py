from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.sample_metrics import ndcg
from recbole_lecdsr.leaderboard import charts, html_page, page_rows, slice_charts, tables
from recbole_lecdsr.leaderboard.embedding_map import EmbeddingMap, embedding_map, project
from recbole_lecdsr.leaderboard.report import write_report
from recbole_lecdsr.leaderboard.standings import compute_standings
from recbole_lecdsr.leaderboard.statements import statements
from recbole_lecdsr.leaderboard.study import read_study
from recbole_lecdsr.leaderboard.study_description import label_folder
from recbole_lecdsr.quick_start import run_lecdsr
from tests.helpers import studies
from tests.helpers.pairs import random_events, write_pair


@pytest.fixture
def folder(tmp_path):
    studies.write_study(tmp_path / "study", {"LeCDSR": 2.0, "SASRec": 1.5, "LeCDSR:align_weight=0": 1.9}, seeds=(1, 2))
    return tmp_path / "study"


@pytest.fixture
def table(folder):
    return compute_standings(read_study(folder))


def embedded(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="figures">(.*?)</script>', html, re.S)[1])


def test_the_report_is_written(folder):
    paths = write_report(folder)
    assert {kind: path.name for kind, path in paths.items()} == {
        "markdown": "leaderboard.md", "csv": "leaderboard.csv", "latex": "leaderboard.tex", "html": "leaderboard.html",
    }  # fmt: skip
    html = paths["html"].read_text(encoding="utf-8")
    assert set(embedded(html)) == {"curves", "ablations", "groups", "history", "popularity", "cost"}
    assert "No map of LeCDSR: its checkpoint model.pth is not on this machine." in html
    assert write_report(folder).keys() == paths.keys()  # again, over the first


def test_a_last_training_on_validation_interactions_is_stated(folder):
    assert "retrained" not in write_report(folder)["markdown"].read_text(encoding="utf-8")
    for file in folder.rglob("result.json"):
        result = json.loads(file.read_text(encoding="utf-8"))
        result["parameters"]["refit"] = True
        file.write_text(json.dumps(result), encoding="utf-8")
    text = write_report(folder)["markdown"].read_text(encoding="utf-8")
    assert "retrained on training and validation interactions" in text


def test_the_page_is_one_file(folder, monkeypatch):
    monkeypatch.setattr(html_page, "get_plotlyjs", lambda: "")
    html = write_report(folder)["html"].read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", html)
    assert not re.search(r"@import|url\(", html)
    assert len(html) < 200_000


def test_markup_in_names_and_errors_stays_text(tmp_path, monkeypatch):
    monkeypatch.setattr(html_page, "get_plotlyjs", lambda: "")
    studies.write_study(tmp_path, {"LeCDSR": 2.0, "A<b>:x=</script>": 1.5}, seeds=(1, 2))
    studies.describe(tmp_path, ["LeCDSR", "A<b>:x=</script>", "HGN"], [1, 2])
    studies.fail_run(tmp_path, "HGN", 1, "<img src=x onerror=alert(1)>")
    html = write_report(tmp_path)["html"].read_text(encoding="utf-8")
    assert "<b>:" not in html
    assert "<img" not in html
    assert html.count("</script>") == 3
    assert "A<b>:x=</script>" in {trace["name"] for trace in embedded(html)["history"]["views"][0]["data"]}


def test_a_study_of_one_run(tmp_path):
    studies.write_study(tmp_path, {"Pop": 1.0}, seeds=(1,))
    path = tmp_path / "runs/Pop/movielens/Pop-1/result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**result, "history": [], "best_epoch": None, "epochs": 0}), encoding="utf-8")
    html = write_report(tmp_path)["html"].read_text(encoding="utf-8")
    assert set(embedded(html)) == {"groups", "history", "popularity", "cost"}


def test_the_page_and_its_figures_name_models_with_score_fusion(folder, monkeypatch):
    monkeypatch.setattr(html_page, "get_plotlyjs", lambda: "")
    for path in (folder / "runs").rglob("result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        result["parameters"]["score_fusion"] = result["model"] == "LeCDSR"
        path.write_text(json.dumps(result), encoding="utf-8")
    html = write_report(folder)["html"].read_text(encoding="utf-8")
    assert '<th scope="row">LeCDSR + fusion</th>' in html
    assert '<th scope="row">LeCDSR + fusion without alignment</th>' in html
    assert "<h2>NDCG@10 against LeCDSR + fusion</h2>" in html
    assert "No map of LeCDSR + fusion: its checkpoint" in html
    names = {"LeCDSR + fusion", "SASRec", "LeCDSR + fusion without alignment"}
    for key in ("curves", "groups", "history", "popularity", "cost"):
        assert {trace["name"] for trace in embedded(html)[key]["views"][0]["data"]} == names, key
    assert embedded(html)["ablations"]["views"][0]["data"][0]["y"] == ["without alignment"], "what is changed"


def test_a_report_that_cannot_be_written(folder):
    (folder / "report").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        write_report(folder)


# ---------------------------------------------------------------------- figures


def test_curves_follow_the_history(table):
    figure = charts.validation_curves(table)
    assert [view.name for view in figure.views] == ["mean of the domains", "action", "drama"]
    traces = [trace for trace in figure.views[0].data if trace["name"] == "LeCDSR"]
    assert [trace["showlegend"] for trace in traces] == [True, False]
    history = table.study.finished_runs("LeCDSR")[0].result.history
    assert traces[0]["y"] == pytest.approx([epoch.valid_score for epoch in history], abs=1e-5)
    assert traces[0]["marker"]["size"] == [0, 0, 0, 0, 7, 0]  # best_epoch 4


def test_epochs_without_validation_are_left_out(folder):
    path = folder / "runs/SASRec/movielens/SASRec-1/result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    for epoch in result["history"][::2]:
        del epoch["valid"], epoch["valid_score"]
    path.write_text(json.dumps(result), encoding="utf-8")
    figure = charts.validation_curves(compute_standings(read_study(folder)))
    assert next(trace for trace in figure.views[0].data if trace["name"] == "SASRec")["x"] == [2, 4, 6]


def test_ablation_bars_are_the_comparisons(table):
    view = charts.ablations(table).views[0]
    comparison = table.comparisons["overall"]["LeCDSR:align_weight=0"]
    assert view.data[0]["y"] == ["without alignment"]
    assert view.data[0]["x"] == pytest.approx([comparison.difference], abs=1e-5)
    assert view.layout["shapes"][0]["x1"] == table.noise["overall"].difference


def test_domain_switches_are_a_slice_of_the_page_and_of_markdown(table):
    view, samples = slice_charts.by_group(table).views[2], table.study.samples
    assert view.name == "drama"
    trace = next(trace for trace in view.data if trace["name"] == "LeCDSR")
    names = [category.partition("<br>n = ")[0] for category in trace["y"]]
    assert [re.sub(r" [\d–,]+$", "", name) for name in names] == [
        "cold items", "tail items", "head items", "short histories", "long histories", "same domain", "domain switch",
    ]  # fmt: skip
    chosen = (samples.domain == 1) & ~samples.same_domain
    expected = np.mean([ndcg(run.rank[chosen], 10).mean() for run in table.study.finished_runs("LeCDSR")])
    assert trace["x"][-1] == pytest.approx(expected, abs=1e-5)
    markdown = tables.to_markdown(table)
    section = markdown.partition("## drama: NDCG@10 by kind of sample\n")[2].partition("\n## ")[0]
    assert f"domain switch (n = {chosen.sum()}) |" in section
    assert f"| {expected:.4f} |" in next(line for line in section.splitlines() if line.startswith("| LeCDSR |"))
    assert markdown.index("## drama: NDCG@10 by earlier") > markdown.index("## drama: NDCG@10 by kind of sample")


def without_domain_switches(folder, pattern):
    for path in folder.rglob(pattern):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files if name != "same_domain"}
        np.savez_compressed(path, **arrays)


def test_runs_of_before_domain_switches_were_recorded(folder):
    without_domain_switches(folder, "LeCDSR-1/ranks.npz")
    assert "domain switch (n" in tables.to_markdown(compute_standings(read_study(folder))), "the other runs have them"
    without_domain_switches(folder, "ranks.npz")
    table = compute_standings(read_study(folder))
    assert "domain switch" not in tables.to_markdown(table)
    assert "long histories" in tables.to_markdown(table)
    assert "did not record" in slice_charts.by_group(table).text


def test_other_domain_switches_are_other_samples(folder):
    path = next(folder.rglob("SASRec-1/ranks.npz"))
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(path, **{**arrays, "same_domain": ~arrays["same_domain"]})
    with pytest.raises(UserError, match="different test samples \\(column same_domain\\)"):
        read_study(folder)


def test_it_is_said_that_times_of_different_devices_are_not_comparable(folder):
    table = compute_standings(read_study(folder))
    assert statements(table)["Device"] == "x86_64, 2 threads."
    assert "different devices" not in charts.cost(table).text
    path = next(folder.rglob("SASRec-1/result.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "device": "NVIDIA H100"}))
    table = compute_standings(read_study(folder))
    assert statements(table)["Device"].startswith("NVIDIA H100; x86_64, 2 threads. Seconds, ")
    assert "comparable among runs of one device only" in charts.cost(table).text
    assert {row.name: row.device for row in page_rows.cost_rows(table)} == {
        "LeCDSR": "x86_64, 2 threads",
        "SASRec": "NVIDIA H100; x86_64, 2 threads",
        "LeCDSR without alignment": "x86_64, 2 threads",
    }


def test_slices_average_back_to_the_whole(table):
    for figure in (slice_charts.by_history(table), slice_charts.by_popularity(table)):
        trace = next(trace for trace in figure.views[0].data if trace["name"] == "LeCDSR")
        size = np.array([int(category.rpartition(" = ")[2].replace(",", "")) for category in trace["x"]])
        assert np.average(trace["y"], weights=size) == pytest.approx(
            table.mean_and_sd("LeCDSR", "overall", "ndcg@10")[0], abs=1e-4
        )
    assert "cold" in slice_charts.by_popularity(table).views[0].data[0]["x"][0]


# ---------------------------------------------------------------------- embeddings


def test_a_projection_puts_equal_vectors_in_one_place():
    vectors = np.random.default_rng(0).normal(size=(30, 8))
    projection = project(vectors, 3 * vectors)
    assert projection.item_id == pytest.approx(projection.text)
    assert projection.same_item_cosine == pytest.approx(1.0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    assert projection.other_item_cosine == pytest.approx(cosine[~np.eye(30, dtype=bool)].mean())
    assert 0 < projection.explained <= 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study with one real run of LeCDSR."""
    root = tmp_path_factory.mktemp("trained")
    values = write_pair(root, random_events())
    values["output_dir"] = str(root / "study/runs/LeCDSR")
    run_lecdsr("LeCDSR", config_dict=values, command_line=[])
    studies.describe(root / "study", ["LeCDSR"], [2022])
    description = json.loads((root / "study/study.json").read_text(encoding="utf-8"))
    (root / "study/study.json").write_text(json.dumps({**description, "dataset": "pair"}), encoding="utf-8")
    return root


def test_a_study_of_the_trainers_own_files_has_a_map(trained):
    study = read_study(trained / "study")
    one = embedding_map(study.finished_runs("LeCDSR")[0], limit=10)
    assert isinstance(one, EmbeddingMap), one
    assert one.before.item_id.shape == one.after.text.shape == (10, 2)
    assert {token[0] for token in one.token[one.domain == 0]} <= {"s"}
    assert not np.allclose(one.before.item_id, one.after.item_id)
    html = write_report(trained / "study")["html"].read_text(encoding="utf-8")
    assert {"map-0-before", "map-0-after"} <= set(embedded(html))


def test_a_run_with_the_default_parameters_is_named_with_its_score_fusion(trained):
    assert read_study(trained / "study").model_name("LeCDSR") == "LeCDSR + fusion"


def test_the_map_starts_from_the_runs_own_initialisation(trained, tmp_path):
    """A run with a learning rate of zero ends with its initial embeddings."""
    values = write_pair(tmp_path, random_events())
    values.update(learning_rate=0.0, output_dir=str(tmp_path / "study/runs/LeCDSR"))
    run_lecdsr("LeCDSR", config_dict=values, command_line=[])
    studies.describe(tmp_path / "study", ["LeCDSR"], [2022])
    path = tmp_path / "study/study.json"
    path.write_text(path.read_text(encoding="utf-8").replace("movielens", "pair"), encoding="utf-8")
    one = embedding_map(read_study(tmp_path / "study").finished_runs("LeCDSR")[0])
    assert one.before.item_id == pytest.approx(one.after.item_id)
    assert one.before.text == pytest.approx(one.after.text)


def test_a_network_that_neither_fuses_nor_aligns_texts_has_no_map(tmp_path):
    label = "LeCDSR:no_semantic_fusion=True:align_weight=0.0"
    values = write_pair(tmp_path, random_events())
    values.update(no_semantic_fusion=True, align_weight=0.0, output_dir=str(tmp_path / "study/runs/LeCDSR"))
    run_lecdsr("LeCDSR", config_dict=values, command_line=[])
    studies.describe(tmp_path / "study", [label], [2022])
    path = tmp_path / "study/study.json"
    path.write_text(path.read_text(encoding="utf-8").replace("movielens", "pair"), encoding="utf-8")
    (tmp_path / "study/runs/LeCDSR").rename(tmp_path / "study/runs" / label_folder(label))
    (run,) = read_study(tmp_path / "study").finished_runs(label)
    assert "neither fuses nor aligns" in embedding_map(run).reason


def test_data_that_are_not_on_this_machine_are_the_reason_for_a_missing_map(trained):
    run = read_study(trained / "study").finished_runs("LeCDSR")[0]
    (trained / "pair").rename(trained / "moved")
    try:
        assert "cannot be used on this machine" in embedding_map(run).reason
    finally:
        (trained / "moved").rename(trained / "pair")


def test_case_t6_no_cell_of_the_leaderboard_is_a_formula(tmp_path):
    labels = ("=1+1", "@SUM", "+x.Model", "-y.Model")
    studies.write_study(tmp_path / "s", dict.fromkeys(labels, 2.0), seeds=(1,))
    text = tables.to_csv(compute_standings(read_study(tmp_path / "s")))
    rows = list(csv.DictReader(text.splitlines()))
    assert {row["model"] for row in rows} == {f"'{label}" for label in labels}
    assert all(float(row["mean"]) >= 0 for row in rows)

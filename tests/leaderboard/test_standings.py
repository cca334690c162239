from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from recbole_lecdsr.evaluation.sample_metrics import ndcg
from recbole_lecdsr.leaderboard import tables
from recbole_lecdsr.leaderboard.standings import compute_standings, sample_means
from recbole_lecdsr.leaderboard.statements import statements
from recbole_lecdsr.leaderboard.study import read_study
from recbole_lecdsr.leaderboard.study_description import StudyDescription, read_description, update_description
from tests.helpers import studies

STRENGTHS = {"LeCDSR": 2.0, "SASRec": 1.2, "LeCDSR:align_weight=0": 2.0, "A&B_%": 2.6}


@pytest.fixture
def folder(tmp_path):
    studies.write_study(tmp_path / "study", STRENGTHS, n_users=150)
    return tmp_path / "study"


@pytest.fixture
def table(folder):
    return compute_standings(read_study(folder))


def test_means_are_those_of_the_results(table):
    for label in STRENGTHS:
        runs = table.study.finished_runs(label)
        for part in ("source", "target", "overall"):
            for metric in ("hit@10", "ndcg@10", "mrr"):
                expected = [run.result.test[part][metric] for run in runs]
                assert table.values[label][part][metric] == pytest.approx(expected)
                mean, sd = np.mean(expected), np.std(expected, ddof=1)
                assert table.mean_and_sd(label, part, metric) == pytest.approx((mean, sd))


def test_models_are_ordered_by_their_overall_metric(table):
    assert table.labels[0] == "A&B_%"
    assert table.labels[-1] == "SASRec"


def test_case_r04_the_others_are_compared_with_the_named_reference(folder):
    description = read_description(folder)
    before = compute_standings(read_study(folder)).comparisons["overall"]["SASRec"]
    update_description(folder, StudyDescription(description.dataset, ("HGN",), (2022,)))
    assert compute_standings(read_study(folder)).comparisons["overall"]["SASRec"] == before, "a row is only added"
    update_description(folder, description, reference="SASRec")
    table = compute_standings(read_study(folder))
    assert (table.reference, table.reference_name) == ("SASRec", "SASRec")
    assert set(table.comparisons["overall"]) == set(STRENGTHS) - {"SASRec"}
    assert table.comparisons["overall"]["LeCDSR"].difference == pytest.approx(-before.difference)
    assert table.verdict("LeCDSR", "overall") == 1
    assert "## NDCG@10 against SASRec" in tables.to_markdown(table)
    assert "worse than SASRec" in statements(table)["Significance"]


def test_the_reference_is_compared_with_each_other(table):
    assert set(table.comparisons["overall"]) == set(STRENGTHS) - {"LeCDSR"}
    worse = table.comparisons["overall"]["SASRec"]
    assert worse.verdict() == -1
    means = [table.mean_and_sd(label, "overall", "ndcg@10")[0] for label in ("SASRec", "LeCDSR")]
    assert worse.difference == pytest.approx(means[0] - means[1])
    assert table.verdict("A&B_%", "overall") == 1
    assert table.verdict("LeCDSR", "overall") == 0


def test_samples_are_averaged_over_the_common_seeds_only(tmp_path):
    folder = tmp_path / "study"
    studies.describe(folder, ["LeCDSR", "SASRec", "HGN"], [1, 2, 3])
    samples = studies.make_samples(40)
    ranks = {}
    for label, seeds in {"LeCDSR": (1, 2), "SASRec": (2, 3), "HGN": (3,)}.items():
        for seed in seeds:
            ranks[label, seed] = studies.make_ranks(samples, 2.0, seed + 10 * len(label))
            studies.write_run(folder, label, seed, samples, ranks[label, seed])
    study = read_study(folder)
    table = compute_standings(study)
    comparison = table.comparisons["overall"]["SASRec"]
    assert comparison.seeds == (2,)
    expected = (ndcg(ranks["SASRec", 2], 10) - ndcg(ranks["LeCDSR", 2], 10)).mean()
    assert comparison.difference == pytest.approx(expected)
    assert "HGN" not in table.comparisons["overall"]  # no common seed
    both = (ndcg(ranks["LeCDSR", 1], 10) + ndcg(ranks["LeCDSR", 2], 10)) / 2
    assert sample_means(study, "LeCDSR", [1, 2]) == pytest.approx(both)


def test_without_the_reference_there_is_a_table_but_no_comparison(tmp_path):
    studies.write_study(tmp_path / "study", {"SASRec": 2.0}, seeds=(1,))
    studies.describe(tmp_path / "study", ["LeCDSR", "SASRec"], [1])
    table = compute_standings(read_study(tmp_path / "study"))
    assert table.labels == ("SASRec",)
    assert table.comparisons["overall"] == {}
    text = tables.to_markdown(table)
    assert "Not tested" in text
    assert "±" not in text.split("\n- **")[0]  # one seed has no standard deviation
    assert "LeCDSR, seed 1: not started" in text
    assert "it takes two seeds" in text


def test_variants_of_the_reference(table):
    assert table.variants() == {"LeCDSR:align_weight=0": "without alignment"}


def test_markdown_names_everything(folder):
    studies.describe(folder, [*STRENGTHS, "HGN", "CORE"], [2022, 2023, 2024, 2025])
    studies.fail_run(folder, "HGN", 2022, "UserError: a | b")
    studies.fail_run(folder, "HGN", 2023, "UserError: a | b")
    text = tables.to_markdown(compute_standings(read_study(folder)))
    assert "- HGN, seeds 2022, 2023: failed: UserError: a \\| b" in text
    assert "- CORE, seeds 2022, 2023, 2024, 2025: not started" in text
    assert "3 of 4" in text
    for statement in ("every item of the target's domain", "Holm-corrected over 3 models", "two single runs",
                      "RS \\[0.8, 0.1, 0.1\\]", "x86\\_64"):  # fmt: skip
        assert statement.lower() in text.lower()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.replace("\\|", "").count("|") for line in rows[:6]}) == 1


def test_case_r22_the_statements_say_what_verdict_interval_and_noise_floor_are(table):
    sentences = statements(table)
    verdict = sentences["Significance"]
    assert "permutation test that flips the signs of all samples of a user together" in verdict
    assert "Holm-corrected over 3 models, p < 0.05." in verdict
    assert "intervals, over users, are those of each model by itself, not corrected" in verdict
    assert "Wilcoxon test over samples takes the samples of a user for independent" in verdict
    noise = sentences["Noise floor"]
    assert noise.startswith("Two single runs of one model with different seeds differ by")
    assert "over the 4 models whose result varies with the seed" in noise
    assert "means over n seeds is about 1/√n of that" in noise


@pytest.mark.parametrize(
    ("mode", "masked", "text"),
    [
        ("full", True, "items that the user had before the target are excluded, those that come later are not"),
        ("uni99", True, "items that the user has had at any time are excluded"),
        ("full", False, "items that the user has had are included"),
    ],
)
def test_the_statement_on_candidates_says_which_items_of_the_user_are_left_out(folder, mode, masked, text):
    for path in folder.rglob("result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        result["candidates"].update(mode=mode, history_masked=masked)
        path.write_text(json.dumps(result), encoding="utf-8")
    assert text in statements(compute_standings(read_study(folder)))["Candidates"]


def test_the_snippet_of_the_page_leaves_out_samples_that_a_model_does_not_score(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    (snippet,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "ranks.npz" in code]
    studies.write_study(tmp_path, {"EMCDR": 2.0}, seeds=(1,))
    studies.score_target_only(tmp_path, "EMCDR")
    run = read_study(tmp_path).finished_runs("EMCDR")[0]
    monkeypatch.chdir(tmp_path)
    exec(re.sub(r'"[^"]*ranks\.npz"', repr(str(run.folder / "ranks.npz")), snippet), {})
    assert float(capsys.readouterr().out) == pytest.approx(ndcg(run.rank[run.rank > 0], 10).mean())


def test_markdown_splits_the_samples_of_each_domain(table):
    text = tables.to_markdown(table)
    for what in ("earlier interactions of the user", "training interactions of the target item"):
        for part, name in table.study.part_names.items():
            title = f"## {name}: NDCG@10 by {what}"
            assert (title in text) == (part != "overall")
            if part == "overall":
                continue
            head, _, *rows = text.split(title)[1].split("\n\n")[1].splitlines()
            sizes = [int(size.replace(",", "")) for size in re.findall(r"n = ([\d,]+)", head)]
            assert sum(sizes) == table.study.samples.parts[part].sum()
            assert len(rows) == len(table.labels_scoring(part))
            for label, row in zip(table.labels_scoring(part), rows, strict=True):
                means = [float(cell) for cell in row.strip("| ").split(" | ")[1:]]
                assert np.average(means, weights=sizes) == pytest.approx(
                    table.mean_and_sd(label, part, "ndcg@10")[0], abs=1e-4
                )


def test_csv_holds_every_metric_at_full_precision(table):
    rows = list(csv.DictReader(io.StringIO(tables.to_csv(table))))
    assert len(rows) == len(STRENGTHS) * 3 * 8
    row = next(r for r in rows if (r["model"], r["domain"], r["metric"]) == ("SASRec", "source", "ndcg@10"))
    assert float(row["mean"]) == table.mean_and_sd("SASRec", "source", "ndcg@10")[0]
    comparison = table.comparisons["source"]["SASRec"]
    for name in ("p_permutation", "p_holm", "p_wilcoxon"):
        assert float(row[name]) == asdict(comparison)[name]
    assert row["common_seeds"] == "3"


def test_latex_is_escaped_and_balanced(table):
    text = tables.to_latex(table)
    assert r"A\&B\_\%" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule(lr){2-4}", r"$\pm$", r"\textbf{"):
        assert rule in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    assert {line.replace(r"\&", "").count("&") for line in body if line} == {9}
    assert text.isascii()


@pytest.mark.parametrize("text", ["a_b", "50 %", "x^2", "~", "\\", "#1 {y}", "p < 0.05"])
def test_latex_escapes_its_special_characters(text):
    assert not re.search(r"(?<!\\)[&%#_^~]", tables.escape_latex(text))


def test_score_fusion_is_shown_in_every_format_but_the_csv(folder):
    for path in (folder / "runs" / "LeCDSR").rglob("result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        result["parameters"]["score_fusion"] = True
        path.write_text(json.dumps(result), encoding="utf-8")
    study = read_study(folder)
    table = compute_standings(study)
    markdown = tables.to_markdown(table)
    assert "| LeCDSR + fusion | 3 |" in markdown
    assert "## NDCG@10 against LeCDSR + fusion" in markdown
    assert "worse than LeCDSR + fusion" in markdown
    assert "| LeCDSR without alignment |" in markdown
    assert "LeCDSR + fusion & " in tables.to_latex(table)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(tables.terminal_table(study))
    assert "LeCDSR + fusion" in console.export_text()
    models = {row["model"] for row in csv.DictReader(io.StringIO(tables.to_csv(table)))}
    assert models == set(STRENGTHS), "the file keeps the labels"


def test_terminal_table(folder):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(tables.terminal_table(read_study(folder)))
    text = console.export_text()
    assert "A&B_%" in text
    assert "▼" in text
    assert "two single runs of one model" in re.sub(r"\s+", " ", text.lower())

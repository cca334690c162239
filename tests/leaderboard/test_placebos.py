"""Text minus placebo, on made-up ranks with a known answer."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from recbole_lecdsr.evaluation.sample_metrics import ndcg
from recbole_lecdsr.leaderboard import html_page, tables
from recbole_lecdsr.leaderboard.placebo_tables import placebo_table
from recbole_lecdsr.leaderboard.placebos import TextMinusPlacebo, compare_with_placebos
from recbole_lecdsr.leaderboard.report import write_report
from recbole_lecdsr.leaderboard.significance import holm
from recbole_lecdsr.leaderboard.standings import compute_standings
from recbole_lecdsr.leaderboard.statements import statements
from recbole_lecdsr.leaderboard.study import read_study
from tests.helpers import studies

SEEDS = (1, 2)
SAMPLES = studies.make_samples(n_users=40)
TRUE = np.random.default_rng(0).integers(1, 8, size=len(SAMPLES["user"]))


def worse(rank: np.ndarray) -> np.ndarray:
    """Ranks of a placebo that lacks what the text says: each target three places further down."""
    return rank + 3


def exchanged(rank: np.ndarray) -> np.ndarray:
    """Ranks of a placebo that is as good: users of even and odd number have those of one another."""
    return rank.reshape(20, 2, 4)[:, ::-1].reshape(-1)


# Label, parameters that differ from the defaults, ranks, validation.
ROWS = (
    ("LeCDSR", {}, TRUE, 0.30),
    ("LeCDSR:no_user_profile=True", {"no_user_profile": True}, TRUE + 1, 0.29),
    ("LeCDSR:user_vectors=random", {"user_vectors": "random"}, exchanged(TRUE), 0.28),
    ("LeCDSR:user_vectors=permuted", {"user_vectors": "permuted"}, worse(TRUE), 0.27),
    ("LeCDSR:user_vectors=id", {"user_vectors": "id"}, worse(worse(TRUE)), 0.26),
    ("LeCDSR:item_vectors=random", {"item_vectors": "random"}, worse(TRUE), 0.20),
    ("LeCDSR:item_vectors=permuted", {"item_vectors": "permuted"}, worse(TRUE), 0.22),
)
DEFAULTS = {
    "model": "LeCDSR", "user_vectors": "profiles", "item_vectors": "text", "no_user_profile": False,
    "no_item_semantics": False, "score_fusion": False,
}  # fmt: skip


def write(folder: Path, rows=ROWS, seeds=SEEDS, **defaults) -> Path:
    """A study of the rows, whose parameters are the defaults but for their own."""
    studies.describe(folder, [label for label, *_ in rows], seeds)
    for label, own, rank, valid in rows:
        for seed in seeds:
            path = studies.write_run(folder, label, seed, SAMPLES, rank) / "result.json"
            result = json.loads(path.read_text(encoding="utf-8"))
            result["parameters"] |= {**DEFAULTS, **defaults, **own, "seed": seed}
            result["valid"] = {
                "source": {"ndcg@10": valid - 0.05 * seed}, "target": {"ndcg@10": valid + 0.05 * seed},
                "overall": {"ndcg@10": 0.9},
            }  # fmt: skip
            path.write_text(json.dumps(result), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("placebos") / "study")


@pytest.fixture(scope="module")
def pairs(folder) -> dict[str, TextMinusPlacebo]:
    return {pair.placebo: pair for pair in compare_with_placebos(read_study(folder))}


def test_each_placebo_is_compared_with_the_row_that_has_the_texts(pairs):
    assert [(pair.text, pair.label, pair.placebo_label) for pair in pairs.values()] == [
        ("profiles", "LeCDSR", "LeCDSR:user_vectors=random"),
        ("profiles", "LeCDSR", "LeCDSR:user_vectors=permuted"),
        ("profiles", "LeCDSR", "LeCDSR:user_vectors=id"),
        ("item texts", "LeCDSR", "LeCDSR:item_vectors=random"),
        ("item texts", "LeCDSR", "LeCDSR:item_vectors=permuted"),
    ]
    assert list(pairs) == [
        "random profiles",
        "permuted profiles",
        "user IDs",
        "random item texts",
        "permuted item texts",
    ]


def test_an_effect_of_the_text_is_found_with_its_size(pairs):
    for part, chosen in {"overall": SAMPLES["domain"] >= 0, "source": SAMPLES["domain"] == 0}.items():
        found = pairs["permuted item texts"].comparisons[part]
        expected = (ndcg(TRUE[chosen], 10) - ndcg(worse(TRUE)[chosen], 10)).mean()
        assert expected > 0.1
        assert found.difference == pytest.approx(expected), "text minus placebo, so that a gain is positive"
        assert found.verdict() == 1 and found.low > 0
        assert found.seeds == SEEDS


def test_no_effect_of_the_text_is_found_where_the_placebo_is_as_good(pairs):
    found = pairs["random profiles"].comparisons["overall"]
    assert found.difference == pytest.approx(0, abs=1e-12)
    assert found.p_permutation > 0.9 and found.verdict() == 0


def test_the_tests_are_corrected_over_the_comparisons_with_placebos(pairs):
    for part in ("overall", "source", "target"):
        found = [pair.comparisons[part] for pair in pairs.values()]
        assert [one.p_holm for one in found] == holm(np.array([one.p_permutation for one in found])).tolist()


def test_the_best_placebo_is_that_of_the_highest_validation_and_not_of_the_test(pairs):
    assert [name for name, pair in pairs.items() if pair.is_best] == ["random profiles", "permuted item texts"]
    assert {name: pair.valid for name, pair in pairs.items()} == pytest.approx(
        {"random profiles": 0.28, "permuted profiles": 0.27, "user IDs": 0.26, "random item texts": 0.2,
         "permuted item texts": 0.22}
    )  # fmt: skip


def test_only_seeds_that_both_have_count(tmp_path):
    write(tmp_path, ROWS[:1], seeds=(1, 2))
    write(tmp_path, ROWS[3:4], seeds=(2, 3))
    studies.describe(tmp_path, [ROWS[0][0], ROWS[3][0]], (1, 2, 3))
    (pair,) = compare_with_placebos(read_study(tmp_path))
    assert pair.seeds == (2,) and pair.comparisons["overall"].seeds == (2,)
    write(tmp_path / "none", ROWS[:1], seeds=(1,))
    write(tmp_path / "none", ROWS[3:4], seeds=(2,))
    studies.describe(tmp_path / "none", [ROWS[0][0], ROWS[3][0]], (1, 2))
    assert compare_with_placebos(read_study(tmp_path / "none")) == ()


@pytest.mark.parametrize("rows", [ROWS[:2], ROWS[2:], (ROWS[1], ROWS[2])])
def test_without_the_texts_or_without_a_placebo_there_is_nothing_to_compare(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(html_page, "get_plotlyjs", lambda: "")
    study = read_study(write(tmp_path, rows))
    assert compare_with_placebos(study) == ()
    assert placebo_table(study) is None
    assert "Text minus placebo" not in statements(compute_standings(study))
    written = write_report(tmp_path, embedding_maps=False)
    assert set(written) == {"markdown", "csv", "latex", "html"}
    assert not any("minus placebo" in path.read_text(encoding="utf-8") for path in written.values())


@pytest.mark.parametrize("change", [{"learning_rate": 0.1}, {"train_epochs": ["BOTH:3"]}, {"no_semantic_fusion": True}])
def test_rows_that_differ_in_more_than_the_placebo_are_not_compared(tmp_path, change):
    label, own, rank, valid = ROWS[2]
    assert compare_with_placebos(read_study(write(tmp_path, (ROWS[0], (label, {**own, **change}, rank, valid))))) == ()


def test_rows_with_other_files_of_vectors_are_not_compared(tmp_path):
    write(tmp_path, ROWS[:3])
    for path in tmp_path.rglob("result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        kind = result["parameters"]["user_vectors"]
        path.write_text(json.dumps({**result, "identity": {"digest": kind, "user_vectors": f"file of {kind}"}}))
    assert compare_with_placebos(read_study(tmp_path)) == ()


def test_a_placebo_of_both_texts_is_compared_with_the_rows_that_have_one_of_them(tmp_path):
    both = "LeCDSR:user_vectors=random:item_vectors=random"
    rows = (ROWS[2], ROWS[5], (both, {"user_vectors": "random", "item_vectors": "random"}, worse(worse(TRUE)), 0.1))
    pairs = compare_with_placebos(read_study(write(tmp_path, rows)))
    assert [(pair.text, pair.label, pair.placebo_label) for pair in pairs] == [
        ("profiles", "LeCDSR:item_vectors=random", both),
        ("item texts", "LeCDSR:user_vectors=random", both),
    ]


def test_the_user_ids_of_the_published_network_are_a_placebo(tmp_path):
    rows = (
        ("LeCDSR-paper:no_user_profile=True", {"no_user_profile": True}, worse(TRUE), 0.1),
        ("LeCDSR-paper", {}, TRUE, 0.3),
        ("LeCDSR-paper:user_vectors=id", {"no_user_profile": True}, worse(TRUE), 0.1),
    )
    (pair,) = compare_with_placebos(read_study(write(tmp_path, rows, model="LeCDSR-paper")))
    assert (pair.label, pair.placebo) == ("LeCDSR-paper", "user IDs")


def test_without_validation_no_placebo_is_called_the_best(tmp_path):
    write(tmp_path, ROWS[:4])
    for path in tmp_path.rglob("result.json"):
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "valid": {}}))
    pairs = compare_with_placebos(read_study(tmp_path))
    assert len(pairs) == 2 and not any(pair.is_best for pair in pairs)
    assert "minus placebo" in tables.to_markdown(compute_standings(read_study(tmp_path)))


def test_a_part_that_a_model_does_not_score_is_left_out(tmp_path):
    write(tmp_path, ROWS[:3])
    studies.score_target_only(tmp_path, ROWS[2][0])
    (pair,) = compare_with_placebos(read_study(tmp_path))
    assert set(pair.comparisons) == {"target"}


# ---------------------------------------------------------------------- the report


@pytest.fixture(scope="module")
def report(folder) -> dict[str, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_page, "get_plotlyjs", lambda: "")
        return write_report(folder, embedding_maps=False)


def test_the_report_has_a_table_in_words(report, pairs):
    section = report["markdown"].read_text(encoding="utf-8").partition("## Text minus placebo: NDCG@10\n")[2]
    rows = [line.strip("| ").split(" | ") for line in section.partition("\n## ")[0].splitlines() if line[:2] == "| "]
    assert len(rows) == 2 + 5 * 3
    best = pairs["permuted item texts"].comparisons["overall"]
    assert ["item texts of LeCDSR", "permuted item texts (best)", "0.2200", "both domains",
            f"{best.difference:+.4f} ▲"] in [row[:5] for row in rows]  # fmt: skip
    html = report["html"].read_text(encoding="utf-8").partition('<section id="placebos">')[2].partition("</section>")[0]
    assert html.count("<tbody>") == 1 and html.count("<tr><th") == 2 + 5
    assert "<b>random profiles</b> (best)" in html and f"+{best.difference:.4f}" in html
    assert "with a user ID instead of the profile" in report["html"].read_text(encoding="utf-8")


def test_the_statement_names_the_best_placebo_of_each_text(report, folder):
    sentence = statements(compute_standings(read_study(folder)))["Text minus placebo"]
    assert (
        "placebo that is best by NDCG@10 in validation: profiles of LeCDSR +0.0000 in both domains over random"
        in sentence
    )
    assert "item texts of LeCDSR +0." in sentence and "over permuted item texts (p 0.001)" in sentence
    assert "Holm-corrected over 5 comparisons" in sentence
    assert "over permuted item texts" in report["latex"].read_text(encoding="utf-8")


def test_csv_and_json_hold_the_comparisons_at_full_precision(report, pairs):
    rows = list(csv.DictReader(io.StringIO(report["placebos_csv"].read_text(encoding="utf-8"))))
    document = json.loads(report["placebos_json"].read_text(encoding="utf-8"))
    assert len(rows) == 5 * 3 and len(document["comparisons"]) == 5
    assert (document["metric"], document["valid_metric"]) == ("ndcg@10", "ndcg@10")
    for found, pair in zip(document["comparisons"], pairs.values(), strict=True):
        assert (found["model"], found["placebo_model"], found["best"], found["seeds"]) == (
            pair.label, pair.placebo_label, pair.is_best, list(SEEDS),
        )  # fmt: skip
        for part, comparison in pair.comparisons.items():
            assert found["domains"][part]["p_holm"] == comparison.p_holm
            (row,) = (row for row in rows if (row["placebo_model"], row["domain"]) == (pair.placebo_label, part))
            assert float(row["difference"]) == comparison.difference == found["domains"][part]["difference"]
            assert row["best"] == str(pair.is_best) and float(row["valid"]) == pair.valid


def test_files_of_placebos_are_removed_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(html_page, "get_plotlyjs", lambda: "")
    write(tmp_path, ROWS[:3])
    former = write_report(tmp_path, embedding_maps=False)["placebos_json"]
    assert former.exists()
    studies.describe(tmp_path, [label for label, *_ in ROWS[:2]], SEEDS)
    write_report(tmp_path, embedding_maps=False)
    assert not former.exists() and not former.with_suffix(".csv").exists()


def test_the_terminal_shows_the_comparisons(folder):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(placebo_table(read_study(folder)))
    text = " ".join(console.export_text().split())
    assert "Text minus placebo: NDCG@10" in text and "random profiles (best)" in text and "▲" in text

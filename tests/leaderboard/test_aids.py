"""The aids and the conditions of the rows of a report."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from recbole_lecdsr.cli.compare import DEFAULT_MODELS
from recbole_lecdsr.leaderboard import html_page
from recbole_lecdsr.leaderboard.condition_rows import CONDITIONS_HEAD, CONDITIONS_TITLE
from recbole_lecdsr.leaderboard.report import write_report
from recbole_lecdsr.leaderboard.study import read_study
from recbole_lecdsr.leaderboard.tables import terminal_table
from tests.helpers import studies

LABELS = {"LeCDSR": 2.0, "SASRec:score_fusion=True": 1.5, "SASRec": 1.2}
CONDITIONS = {
    "item_texts": True, "user_profiles": False, "times": True, "target_domain": ["history", "input"], "counts": False,
    "history": ["mixed"], "window": 50, "embedding_size": 128, "layers": None, "trained_on": "<all> targets",
    "withholds_calibration": True,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(html_page, "get_plotlyjs", lambda: "")
    studies.write_study(tmp_path / "study", LABELS, seeds=(1,))
    return tmp_path / "study"


def change(folder: Path, label: str, parameters: dict, **values: object) -> None:
    for path in (folder / "runs" / studies.label_folder(label)).rglob("result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        result |= {**values, "parameters": {**result["parameters"], **parameters}}
        path.write_text(json.dumps(result), encoding="utf-8")


def texts(folder: Path) -> dict[str, str]:
    """Each form of the report, and what the terminal shows."""
    found = {
        kind: path.read_text(encoding="utf-8") for kind, path in write_report(folder, embedding_maps=False).items()
    }
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(terminal_table(read_study(folder)))
    return {**found, "terminal": " ".join(console.export_text().split())}  # titles are wrapped


TITLED = ("markdown", "latex", "html", "terminal")


def test_the_title_says_which_aids_the_rows_have(folder):
    change(folder, "LeCDSR", {"ema_decay": 0.99, "score_fusion": True, "refit": True})
    change(folder, "SASRec:score_fusion=True", {"ema_decay": 0.0, "score_fusion": True, "refit": True})
    change(folder, "SASRec", {"ema_decay": 0.5, "score_fusion": False, "refit": True})
    found = texts(folder)
    expected = (
        "Aids: score fusion in the rows marked + fusion; averaged weights in LeCDSR + fusion, SASRec; "
        "refit in every row."
    )
    assert [kind for kind in TITLED if expected not in found[kind]] == []


def test_without_aids_the_title_says_so(folder):
    found = texts(folder)
    assert [kind for kind in TITLED if "Aids: none." not in found[kind]] == []


def test_the_report_has_a_table_of_conditions(folder):
    change(folder, "LeCDSR", {}, conditions=CONDITIONS)
    found = texts(folder)
    cells = ["LeCDSR", "yes", "–", "yes", "history, input", "–", "mixed", "50", "128", "–"]
    lines = found["markdown"].splitlines()
    assert "| " + " | ".join(CONDITIONS_HEAD) + " |" in lines
    row = "| " + " | ".join([*cells, r"\<all\> targets; some withheld for calibration"]) + " |"
    assert row in lines
    assert "| SASRec | not recorded |" in found["markdown"], "the run is of before they were"
    html = found["html"]
    assert f"<h2>{CONDITIONS_TITLE}</h2>" in html and "&lt;all&gt; targets" in html
    assert '<td data-value="50">50</td>' in html and '<td data-value="">–</td>' in html


def test_the_table_of_conditions_names_a_placebo_instead_of_the_text(folder):
    vectors = {"item_vectors": "permuted", "user_vectors": "id"}
    change(folder, "LeCDSR", vectors, conditions={**CONDITIONS, "item_texts": False})
    change(folder, "SASRec", {"item_vectors": "text", "user_vectors": "profiles"}, conditions=CONDITIONS)
    rows = [line.split(" | ")[:4] for line in texts(folder)["markdown"].splitlines() if "| 50 | 128 |" in line]
    assert rows == [["| LeCDSR", "permuted", "id", "yes"], ["| SASRec", "yes", "–", "yes"]]


def test_runs_of_before_conditions_were_recorded_have_no_such_table(folder):
    found = texts(folder)
    assert not any(CONDITIONS_TITLE in text for text in found.values())


def test_a_comparison_has_strong_models_alone_and_with_score_fusion():
    labels = DEFAULT_MODELS.split(",")
    assert labels[0] == "LeCDSR", "the reference"
    assert {
        "LeCDSR:score_fusion=False",
        *(f"{m}{f}" for m in ("SASRec", "TextSASRec") for f in ("", ":score_fusion=True")),
    } <= set(labels)

from __future__ import annotations

import argparse
import io
import re

import pytest
from rich.console import Console

from recbole_lecdsr.cli.compare import ablation_labels
from recbole_lecdsr.leaderboard.model_names import describe_settings, model_name, uses_score_fusion
from recbole_lecdsr.leaderboard.study import read_study
from recbole_lecdsr.leaderboard.tables import terminal_table
from tests.helpers import studies

LABELS = ablation_labels(argparse.Namespace(profiles="history", encoders="e5"))


@pytest.mark.parametrize(
    ("label", "score_fusion", "name"),
    [
        ("LeCDSR", True, "LeCDSR + fusion"),
        ("LeCDSR", False, "LeCDSR"),
        ("LeCDSR:score_fusion=False", False, "LeCDSR"),
        ("LeCDSR:score_fusion=True", True, "LeCDSR + fusion"),
        ("LeCDSR:no_user_profile=True", True, "LeCDSR + fusion without profile"),
        ("LeCDSR:score_fusion=False:sequence=single", False, "LeCDSR without the other domain"),
        ("SASRec:sequence=single:score_fusion=True", True, "SASRec + fusion without the other domain"),
        ("SASRec:learning_rate=0.01:score_fusion=True", True, "SASRec:learning_rate=0.01 + fusion"),
        ("LeCDSR:no_user_profile=True:learning_rate=0.01", False, "LeCDSR:no_user_profile=True:learning_rate=0.01"),
        ("LeCDSR:no_user_profile=False", False, "LeCDSR:no_user_profile=False"),
        ("LeCDSR:align_weight=0.0:no_semantic_fusion=true", False, "LeCDSR without alignment, without semantic fusion"),
        ("LeCDSR:align_weight=0.3", False, "LeCDSR:align_weight=0.3"),
        ("LeCDSR-paper:user_vectors=id", False, "LeCDSR-paper with a user ID instead of the profile"),
        ("LeCDSR:no_user_profile", False, "LeCDSR:no_user_profile"),  # no label that `compare` would take
        ("LeCDSR:no_user_profile=True", None, "LeCDSR:no_user_profile=True"),  # without a finished run
        ("LeCDSR-paper", False, "LeCDSR-paper"),
        ("LeCDSR:evidence=False", False, "LeCDSR"),  # of version 0.1.0
        ("LeCDSR:no_semantic_fusion=True", False, "LeCDSR without semantic fusion"),
        ("LeCDSR:score_fusion=False", None, "LeCDSR:score_fusion=False"),  # without a finished run
    ],
)
def test_a_model_with_score_fusion_is_shown_as_such(label, score_fusion, name):
    assert model_name(label, score_fusion=score_fusion) == name


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [({}, False), ({"score_fusion": False}, False), ({"score_fusion": True}, True), ({"evidence": True}, True)],
)
def test_score_fusion_is_read_from_the_parameters_of_a_run(parameters, expected):
    assert uses_score_fusion(parameters) is expected


def test_case_h2_ablations_are_named_in_words(tmp_path):
    names = {label: model_name(label, score_fusion=False) for label in LABELS}
    assert not [name for name in names.values() if re.search(r"[:=_]", name)]
    assert len(set(names.values())) == len(LABELS) - 1, "LeCDSR:score_fusion=False is LeCDSR without fusion"
    assert names["LeCDSR:no_user_profile=True"] == "LeCDSR without profile"
    assert names["LeCDSR:user_embedding_file=history.useremb"] == "LeCDSR with history.useremb"
    studies.write_study(tmp_path, dict.fromkeys([*LABELS, "SASRec:learning_rate=0.0012345"], 2.0), seeds=(1, 2))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_table(read_study(tmp_path)))
    lines = [line.split("│")[1:3] for line in console.export_text().splitlines() if line.count("│") > 3]
    shown: list[list[str]] = []
    for name, seeds in lines:
        if seeds.strip():
            shown.append([])
        shown[-1].append(name.strip())
    cells = {"".join(parts).replace(" ", "") for parts in shown}
    assert cells == {name.replace(" ", "") for name in (*names.values(), "SASRec:learning_rate=0.0012345")}


def test_settings_are_described_if_all_of_them_are_known():
    assert describe_settings({}) is None
    assert describe_settings({"eval_args": {"mode": "uni9"}, "no_user_profile": True}) is None

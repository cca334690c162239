from __future__ import annotations

import pytest

from recbole_lecdsr.leaderboard.model_names import model_name, uses_score_fusion


@pytest.mark.parametrize(
    ("label", "score_fusion", "name"),
    [
        ("LeCDSR", True, "LeCDSR + fusion"),
        ("LeCDSR", False, "LeCDSR"),
        ("LeCDSR:score_fusion=False", False, "LeCDSR"),
        ("LeCDSR:score_fusion=True", True, "LeCDSR + fusion"),
        ("LeCDSR:no_user_profile=True", True, "LeCDSR:no_user_profile=True + fusion"),
        ("LeCDSR:score_fusion=False:sequence=single", False, "LeCDSR:sequence=single"),
        ("SASRec:sequence=single:score_fusion=True", True, "SASRec:sequence=single + fusion"),
        ("LeCDSR-paper", False, "LeCDSR-paper"),
        ("LeCDSR:evidence=False", False, "LeCDSR"),  # of version 0.1.0
        ("LeCDSR:no_semantic_fusion=True", False, "LeCDSR:no_semantic_fusion=True"),
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

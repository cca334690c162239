from __future__ import annotations

import json

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.study_description import StudyDescription, label_folder, update_description


def test_a_study_keeps_the_models_and_seeds_of_earlier_calls(tmp_path):
    study = tmp_path / "study"
    update_description(study, StudyDescription("pair", ("LeCDSR", "Pop"), (1, 2)))
    update_description(study, StudyDescription("pair", ("LeCDSR", "BPR"), (3,)))
    content = json.loads((study / "study.json").read_text())
    assert content == {"dataset": "pair", "models": ["LeCDSR", "BPR", "Pop"], "seeds": [1, 2, 3]}
    with pytest.raises(UserError, match="a study of pair, not of other"):
        update_description(study, StudyDescription("other", ("LeCDSR",), (1,)))


def test_a_model_whose_folder_an_earlier_one_has_is_refused_before_anything_runs(tmp_path):
    update_description(tmp_path, StudyDescription("pair", ("A:b=1",), (1,)))
    with pytest.raises(UserError, match="'A_b=1' and 'A:b=1' share the folder A_b=1"):
        update_description(tmp_path, StudyDescription("pair", ("A_b=1",), (1,)))


def test_a_description_that_cannot_be_read_is_named_with_the_remedy(tmp_path):
    (tmp_path / "study.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"study\.json cannot be read .*: delete it and run"):
        update_description(tmp_path, StudyDescription("pair", ("LeCDSR",), (1,)))


def test_folder_of_a_label():
    assert label_folder("LeCDSR:align_weight=0.1") == "LeCDSR_align_weight=0.1"

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.study_description import (
    StudyDescription,
    label_folder,
    read_description,
    update_description,
)


def test_a_study_keeps_the_models_and_seeds_of_earlier_calls(tmp_path):
    study = tmp_path / "study"
    update_description(study, StudyDescription("pair", ("LeCDSR", "Pop"), (1, 2)))
    update_description(study, StudyDescription("pair", ("LeCDSR", "BPR"), (3,)))
    content = json.loads((study / "study.json").read_text())
    assert content.pop("checksum") and content.pop("format") == 2
    assert content == {
        "dataset": "pair", "models": ["LeCDSR", "Pop", "BPR"], "seeds": [1, 2, 3], "reference": "LeCDSR"
    }  # fmt: skip
    with pytest.raises(UserError, match="a study of pair, not of other"):
        update_description(study, StudyDescription("other", ("LeCDSR",), (1,)))


def test_a_model_whose_folder_an_earlier_one_has_is_refused_before_anything_runs(tmp_path):
    update_description(tmp_path, StudyDescription("pair", ("A:b=1",), (1,)))
    with pytest.raises(UserError, match="'A:b=1' and 'A_b=1' share the folder A_b=1"):
        update_description(tmp_path, StudyDescription("pair", ("A_b=1",), (1,)))


def test_a_description_that_cannot_be_read_is_named_with_the_remedy(tmp_path):
    (tmp_path / "study.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"study\.json cannot be read .*: delete it and run"):
        update_description(tmp_path, StudyDescription("pair", ("LeCDSR",), (1,)))


ADD_MODELS = """
import sys
from pathlib import Path
from recbole_lecdsr.leaderboard.study_description import StudyDescription, update_description

folder, name = Path(sys.argv[1]), sys.argv[2]
print(flush=True)
sys.stdin.readline()
for number in range(25):
    update_description(folder, StudyDescription("pair", (f"{name}{number}",), (ord(name), number)))
"""


def test_case_r19_no_model_is_lost_when_processes_add_theirs_at_once(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADD_MODELS, str(tmp_path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in "ABCD"
    ]
    for process in processes:  # all have started
        process.stdout.readline()
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.close()
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0, 0]
    description = read_description(tmp_path)
    assert sorted(description.models) == sorted(f"{name}{number}" for name in "ABCD" for number in range(25))
    assert description.seeds == (*range(25), *map(ord, "ABCD"))
    assert description.reference == description.models[0]


def test_case_r04_the_first_reference_stays_until_another_is_named(tmp_path):
    update_description(tmp_path, StudyDescription("pair", ("LeCDSR", "SASRec"), (1,)))
    later = StudyDescription("pair", ("Pop",), (1,))
    assert update_description(tmp_path, later).reference == "LeCDSR"
    assert update_description(tmp_path, later, reference="SASRec").reference == "SASRec"
    assert read_description(tmp_path) == update_description(tmp_path, later)
    assert read_description(tmp_path).reference == "SASRec", "it is stored"
    with pytest.raises(UserError, match="'HGN' is not a model of the study: give one of LeCDSR, SASRec, Pop"):
        update_description(tmp_path, later, reference="HGN")
    assert read_description(tmp_path).reference == "SASRec"


def test_the_reference_of_a_study_of_version_0_1_0_is_its_first_model(tmp_path):
    old = {"dataset": "pair", "models": ["SASRec", "LeCDSR"], "seeds": [1]}
    (tmp_path / "study.json").write_text(json.dumps(old), encoding="utf-8")
    assert read_description(tmp_path).reference == "SASRec"


@pytest.mark.parametrize(
    ("reference", "message"), [(3, "reference must be one of the models, not 3"), ("HGN", "json: the reference 'HGN'")]
)
def test_a_wrong_reference_is_named_with_its_file(tmp_path, reference, message):
    content = {"dataset": "pair", "models": ["SASRec"], "seeds": [1], "reference": reference}
    (tmp_path / "study.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_description(tmp_path)


def test_folder_of_a_label():
    assert label_folder("LeCDSR:align_weight=0.1") == "LeCDSR_align_weight=0.1"

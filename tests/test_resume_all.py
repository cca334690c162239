"""`make resume-all`, on a model or two."""

from __future__ import annotations

import pytest

from recbole_lecdsr.trainer import dual_evaluation
from tests import resume_all


def test_every_model_of_the_frameworks_is_listed():
    names = resume_all.model_names()
    assert {"ADMMSLIM", "SASRec", "DeepFM", "KGAT", "LightGBM", "DCDCSR"} <= set(names)
    assert len(names) == len(set(names))


@pytest.fixture
def rows(capsys, monkeypatch):
    """Runs the check, and gives its exit status and the rows of its table by model."""
    monkeypatch.delenv("RECBOLE_CDR_CHECKOUT", raising=False)

    def run(*models: str) -> tuple[int, dict[str, list[str]]]:
        status = resume_all.main(["--models", ",".join(models), "--epochs", "2"])
        lines = capsys.readouterr().out.splitlines()[1:-1]
        return status, {row.split()[0]: row.split(maxsplit=5) for row in lines}

    return run


def test_a_model_that_resumes_and_those_that_do_not_run(rows):
    status, found = rows("Pop", "NCL", "DeepFM")
    assert status == 0
    assert found["Pop"][1:4] == ["yes", "2", "yes"]
    assert found["NCL"][1:4] == found["DeepFM"][1:4] == ["no", "0", "–"]
    assert "a trainer of its own" in found["NCL"][5]


def test_a_model_that_does_not_resume_to_the_same_result(rows, monkeypatch):
    monkeypatch.setattr(dual_evaluation, "seed_model", lambda *_: None)
    status, found = rows("ADMMSLIM")
    assert status == 1
    assert found["ADMMSLIM"][1:4] == ["yes", "2", "no"]
    assert "after 0-BOTH-1" in found["ADMMSLIM"][5] and "generator of torch" in found["ADMMSLIM"][5]

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.raw_files import check_raw_files, refuse_repeated_files, warn_of_short_files


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_everything_that_is_wrong_with_raw_files_is_reported_at_once():
    Path("good.csv").write_text("u,i,5,1\n")
    Path("empty.csv").touch()
    Path("page.json.gz").write_text("\n<!DOCTYPE html><html>Sign in</html>")
    Path("folder").mkdir()
    names = ["a.csv", "good.csv", "empty.csv", "b.csv", "page.json.gz", "folder", "a.csv"]
    with pytest.raises(UserError) as caught:
        check_raw_files([*map(Path, names)], "see the catalogue")
    assert str(caught.value).splitlines() == [
        "a.csv, b.csv do not exist: see the catalogue",
        "folder is not a file: name files",
        "empty.csv is empty",
        "page.json.gz is a web page, not data: download the file itself",
    ]
    check_raw_files([Path("good.csv"), Path("good.csv")])
    refuse_repeated_files([Path("good.csv"), Path("a.csv")])
    with pytest.raises(UserError, match=r"/good\.csv is given twice"):
        refuse_repeated_files([Path("good.csv"), Path("good.csv").absolute()])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_named():
    Path("a.csv").write_text("u,i,5,1\n")
    Path("a.csv").chmod(0)
    with pytest.raises(UserError, match=r"a\.csv cannot be read: Permission denied"):
        check_raw_files([Path("a.csv")])


def test_files_that_are_too_small_for_what_is_published_are_warned_of(caplog):
    line = "A39HTATAQ9V7YF,0205616461,5.0,1369699200\n"
    Path("ratings_Beauty.csv").write_text(line * 100)
    Path("ratings_Beauty.csv.gz").write_text("packed")
    with caplog.at_level(logging.WARNING):
        warn_of_short_files({Path("ratings_Beauty.csv"): 100, Path("ratings_Beauty.csv.gz"): 2_023_070})
        assert not caplog.messages
        warn_of_short_files({Path("ratings_Beauty.csv"): 2_023_070})
    assert caplog.messages == [
        "ratings_Beauty.csv has 4.1 kB, but the published file has 2,023,070 lines, at least 70.8 MB: is it whole?"
    ]

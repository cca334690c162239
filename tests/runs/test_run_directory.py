from __future__ import annotations

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.runs.run_directory import make_run_directory, write_run_file
from tests.helpers.runs import full_disk


def test_a_full_disk_leaves_the_last_good_file_and_names_the_remedy(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("former")
    with (
        pytest.raises(UserError, match=r"result\.json cannot be written .*make room .*--resume=True"),
        full_disk(),
        write_run_file(path) as file,
    ):
        file.write("x" * 100_000)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["former"]


def test_a_file_has_the_permissions_that_open_would_give_it(tmp_path):
    (tmp_path / "plain").write_text("")
    with write_run_file(tmp_path / "whole") as file:
        file.write("ä")
    assert (tmp_path / "whole").read_bytes() == "ä".encode()
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_reader_of_the_former_file_keeps_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("former")
    with path.open() as reader:
        with write_run_file(path) as file:
            file.write("new")
        assert reader.read() == "former"
    assert path.read_text() == "new"


def test_errors_other_than_those_of_the_disk_are_left_as_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="broken"), write_run_file(tmp_path / "file"):
        raise RuntimeError("broken")
    assert not list(tmp_path.iterdir())


def test_a_run_directory_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match=r"taken.* cannot be made .*give another output_dir"):
        make_run_directory(tmp_path / "taken" / "LeCDSR-1")

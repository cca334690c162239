from __future__ import annotations

import pytest

from recbole_lecdsr.errors import UserError
from tests.helpers.c2dsr_files import FILES, prepare, refuse


def test_one_of_several_versions_must_be_chosen(raw_folder):
    for split in ("train", "valid", "test"):
        (raw_folder / f"{split}data.txt").write_text(FILES[f"{split}data_new.txt"])
    refuse(raw_folder, r"several versions, traindata\.txt, traindata_new\.txt, .*--variant")
    prepare(raw_folder, variant="_new")
    with pytest.raises(
        UserError, match=r"has no traindata_old\.txt, valid.*: choose another --variant, such as '', '_new'"
    ):
        prepare(raw_folder, variant="_old")


def test_all_files_that_are_missing_are_named_at_once(raw_folder):
    (raw_folder / "traindata_new.txt").unlink()
    (raw_folder / "testdata_new.txt").unlink()
    refuse(raw_folder, r"has no traindata\*\.txt, testdata\*\.txt: give the folder with the files")

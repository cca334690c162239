from __future__ import annotations

from pathlib import Path

import pytest

from recbole_lecdsr.errors import UserError
from tests.helpers.c2dsr_files import prepare, read, write_matrices


def test_numbers_are_tokens_without_lists_or_on_request(raw_folder):
    prepare(raw_folder, tokens="numbers")
    asked = {path: path.read_bytes() for path in Path("dataset").rglob("*.*")}
    assert read("kitchen/kitchen.item") == "item_id:token\n3\n4\n"
    assert "\n0\t4\t40\t0 3 3\n" in read("kitchen/kitchen.test.inter")
    for name in ("Alist.txt", "Blist.txt", "userlist.txt"):
        (raw_folder / name).unlink()
    prepare(raw_folder, source_items=3)
    assert {path: path.read_bytes() for path in Path("dataset").rglob("*.*")} == asked


def test_users_by_name_have_the_row_of_their_place_in_the_list(raw_folder):
    write_matrices(raw_folder)
    for name in ("train", "valid", "test"):
        path = raw_folder / f"{name}data_new.txt"
        lines = [f"A{int(line[0]) + 1}{line[1:]}" for line in path.read_text().split("\n") if line.strip()]
        path.write_text("\n".join(lines))
    prepare(raw_folder)
    assert read("pair.useremb").splitlines()[1:3] == ["A1\t-1 -2 -3 -4", "A3\t-9 -10 -11 -12"]
    (raw_folder / "userlist.txt").unlink()
    with pytest.raises(UserError, match=r"has no userlist\.txt and 'A1' is no number.*or remove the matrix"):
        prepare(raw_folder)

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_lecdsr.cli import main
from recbole_lecdsr.prepare.atomic_pair import WINDOW
from recbole_lecdsr.prepare.c2dsr.convert import make_settings
from recbole_lecdsr.prepare.c2dsr.id_lists import number_users
from recbole_lecdsr.prepare.summary import DomainCounts
from recbole_lecdsr.property_files import read_property_file
from tests.helpers.c2dsr_files import prepare, read, refuse, write_folder, write_matrices


def test_lines_become_rows_with_their_windows(raw_folder):
    summary = prepare(raw_folder)
    head = "user_id:token\titem_id:token\ttimestamp:float\titem_id_list:token_seq\n"
    assert read("food/food.train.inter") == head + "0\tB00A\t10\t\n2\tB00B\t5\tB00Y\n0\tB00B\t30\tB00X\n"
    assert read("kitchen/kitchen.train.inter") == (
        head + "0\tB00X\t20\tB00A\n0\tB00X\t20\tB00A B00X\n2\tB00Y\t5\t\n0\tB00X\t20\t\n"
    )
    assert read("food/food.valid.inter") == head + "2\tB00B\t8\tB00Y B00B\n"
    assert read("kitchen/kitchen.valid.inter") == head + "3\tB00Y\t2\tB00A\n"
    assert read("food/food.test.inter") == head + "1\tB00A\t9\tB00Y\n"
    assert read("kitchen/kitchen.test.inter") == head + "0\tB00Y\t40\tB00A B00X B00X\n"
    assert read("food/food.item") == "item_id:token\nB00A\nB00B\nB00C\n"
    assert summary.counts.domains["food"] == DomainCounts(
        "source", users=3, items=3, items_with_text=0, unused_items=1, interactions=5
    )
    assert summary.details["lines"] == {
        "train": "3 (traindata_new.txt)", "valid": "2 (validdata_new.txt)", "test": "2 (testdata_new.txt)"
    }  # fmt: skip
    assert summary.details["targets"] == {"valid": "1 food, 1 kitchen", "test": "1 food, 1 kitchen"}
    assert "lines out of the order of time" not in summary.details


def test_the_property_file_has_the_splits_all_items_and_the_candidates_of_c2dsr(raw_folder):
    prepare(raw_folder)
    assert read_property_file("dataset/pair/pair.yaml") == {
        "source_domain": {"dataset": "food"},
        "target_domain": {"dataset": "kitchen"},
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"item": ["item_id"]},
        "MAX_ITEM_LIST_LENGTH": 3,
        "user_text": "history",
        "eval_args": {"order": "TO", "group_by": "user", "mode": "full"},
        "repeatable": True,
    }


def test_statistics_report_the_leaks(raw_folder):
    summary = prepare(raw_folder)
    values = json.loads(read("statistics.json"))
    assert values["split"] == "ready-made"
    assert values["events of a split"]["valid"] == {"food": 1, "kitchen": 1}
    # The validation target B00B of user 2 is in its window, and in training at another time.
    assert values["held out"]["valid"] == {
        "targets": 2, "also in training": 0, "also in training at another time": 1, "in their own window": 1,
        "order by chance": 0, "before training ends": 0,
    }  # fmt: skip
    assert list(summary.warnings) == values["warnings"] == [
        "1 of 2 (50.0%) validation targets repeat an item of their own window: a model can find them by repeating past "
        "items."
    ]  # fmt: skip
    assert values["both"]["events of a window"]["max"] == 3
    assert "- 1 of 2 (50.0%) validation" in read("statistics.md")


def test_a_validation_target_that_is_also_in_training_is_a_leak(raw_folder):
    (raw_folder / "validdata_new.txt").write_text("0\t7\t3|20\t1|30\n3\t7\t0|1\t4|2\n")
    assert any("are also in training: the same user, item and time. The split leaks." in line
               for line in prepare(raw_folder).warnings)  # fmt: skip


def test_titles_are_found_by_the_names_of_the_lists(raw_folder):
    rows = {"asin": ["B00Z", "B00C", "B00A"], "title": ["Zest", "Corn &\tchips", "Apple"], "brand": ["z", "", "b"]}
    pd.DataFrame(rows).to_csv("meta.csv", index=False)
    pd.DataFrame({"asin": ["B00Y"], "title": ["Yoghurt maker"]}).to_parquet("meta.parquet")
    prepare(
        raw_folder,
        source_meta=["meta.csv"],
        target_meta=["meta.parquet"],
        item="asin",
        text=["title"],
        tokens="numbers",
    )
    assert read("food/food.item") == "item_id:token\ttitle:token\n0\tApple\n1\t\n2\tCorn & chips\n"
    assert read("kitchen/kitchen.item") == "item_id:token\ttitle:token\n3\t\n4\tYoghurt maker\n"


def test_a_target_without_a_window_is_kept_and_counted(raw_folder):
    (raw_folder / "testdata_new.txt").write_text("0\t7\t4|40\n1\t7\t4|3\t0|9\n")
    assert prepare(raw_folder).details["targets without a window, which are not evaluated"] == 1


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("testdata_new.txt", None, r"has no testdata\*\.txt: give the folder"),
        ("testdata_new.txt", "\n", r"testdata_new\.txt has no line with a sequence"),
        ("testdata_new.txt", "0\t7\t0|1\t5|2\n", r"testdata_new\.txt, line 1: the item 5 is beyond the last one, 4"),
        ("testdata_new.txt", "0\t7\t3|1\t4|2\n", r"no line whose last interaction is of food \(domain A\)"),
        ("testdata_new.txt", "NA\t7\t3|1\t4|2\n", r"line 1: the user 'NA' is a word that RecBole takes for a missing"),
        ("Alist.txt", "B00A\n\nB00C\n", r"Alist\.txt, line 2: it is empty, but every line counts as a number"),
        ("Alist.txt", "B00A\nB00B\nB00A\n", r"Alist\.txt, line 3: 'B00A' is also in line 1"),
        ("Alist.txt", "B00A\nB00B\nB00X\n", r"Blist\.txt, line 1: 'B00X' is also in Alist\.txt, line 3, .*--tokens"),
        ("Alist.txt", "B00A\nB00 B\nB00C\n", r"Alist\.txt, line 2: 'B00 B' has a blank.*--tokens numbers"),
        ("Alist.txt", "B00A\nNA\nB00C\n", r"Alist\.txt, line 2: the name 'NA' is a word .*--tokens numbers"),
        ("Alist.txt", "", r"Alist\.txt is empty"),
        ("Alist.txt", None, r"has no Alist\.txt: give the number of items .*--source_items N"),
    ],
)
def test_files_that_are_wrong_are_errors_and_nothing_is_written(raw_folder, name, content, match):
    (raw_folder / name).unlink()
    if content is not None:
        (raw_folder / name).write_text(content)
    refuse(raw_folder, match)


def test_options_that_do_not_fit_are_errors(raw_folder):
    refuse(raw_folder, r"--source_items 2 but .*Alist\.txt has 3 lines", source_items=2)
    (raw_folder / "Alist.txt").unlink()
    refuse(raw_folder, "texts are found by the names", source_items=3, source_meta=["meta.csv"])
    pd.DataFrame({"item_id": ["zz"], "title": ["Zest"]}).to_csv("meta.csv", index=False)
    refuse(raw_folder, r"meta\.csv: no row is of a listed item", source_items=3, target_meta=["meta.csv"])


def test_the_command_line_prepares_and_prints_a_summary(raw_folder, capsys):
    assert main(["prepare", "c2dsr", str(raw_folder), "--name", "pair", "--source", "food", "--target", "kitchen"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == (
        "next: python run_lecdsr.py --dataset pair --no_item_semantics=True --no_user_profile=True"
    )
    assert printed.splitlines()[-2].startswith(
        "warning: 1 of 2 (50.0%) validation targets repeat an item of their own window"
    )
    assert "statistics: dataset/pair/statistics.md" in printed
    assert Path("dataset/pair/kitchen/kitchen.test.inter").exists()
    taken = ["prepare", "c2dsr", str(raw_folder), "--name=movielens", "--source=food", "--target=kitchen"]
    assert main(taken) == 1
    assert "the plugin has a property file for data named 'movielens'" in " ".join(capsys.readouterr().err.split())


def test_published_sizes_are_ranked_among_999_candidates():
    inter = {"test": {"food": pd.DataFrame({WINDOW: ["a b", ""]})}}
    assert make_settings(inter, (1000, 1000), with_profiles=True)["eval_args"]["mode"] == "uni999"
    assert make_settings(inter, (1000, 999), with_profiles=True)["eval_args"]["mode"] == "full"


@pytest.mark.parametrize(
    "header", [b"'shape': :, 4), }", b"'shape': (6, 4), -inf:99", b"'shape': (" + b"(" * 3000, b"\xff"]
)
def test_case_t2_a_matrix_with_a_damaged_header_is_named(tmp_path, header):
    write_folder(tmp_path / "raw")
    write_matrices(tmp_path / "raw")
    path = tmp_path / "raw/item_embeddings.npy"
    path.write_bytes(path.read_bytes().replace(b"'shape': (6, 4), }", header.ljust(18), 1))
    refuse(tmp_path / "raw", r"item_embeddings\.npy cannot be read as an array of numbers")


@pytest.mark.parametrize("user", ["9" * 20, "9" * 5000])
def test_case_t2_a_user_number_beyond_every_matrix_has_no_vector(user):
    assert number_users(np.array(["1", user, "007"], dtype=object), None, Path("raw"))[[0, 2]].tolist() == [1, 7]
    assert number_users(np.array([user], dtype=object), None, Path("raw"))[0] > 2**60

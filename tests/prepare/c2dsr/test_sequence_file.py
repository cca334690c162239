from __future__ import annotations

import pytest

from tests.helpers.c2dsr_files import FILES, prepare, read, refuse


def test_times_out_of_order_stay_and_are_counted_unless_they_are_to_be_sorted(raw_folder):
    (raw_folder / "testdata_new.txt").write_text("0\t7\t4|40\t3|20\t0|30\n1\t7\t0|9\t4|10\n")
    summary = prepare(raw_folder)
    assert "\n0\tB00A\t30\tB00Y B00X\n" in read("food/food.test.inter")
    assert summary.details["lines out of the order of time"].startswith("1 (kept as they are; --sort_by_time")
    (raw_folder / "testdata_new.txt").write_text("0\t7\t4|40\t3|20\t0|30\n1\t7\t4|10\t0|9.5\n2\t7\t3|1\t0|2\n")
    prepare(raw_folder, sort_by_time=True)
    assert read("kitchen/kitchen.test.inter").splitlines()[1:] == ["0\tB00Y\t40\tB00X B00A", "1\tB00Y\t10\tB00A"]


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("0\t7", r"line 3: .* has 2 fields, not a user, a number and at least one interaction"),
        ("0\t7\t0|1\tx|2", r"line 3: field 4, 'x\|2', is not item\|time"),
        ("0\t7\t0", "line 3: field 3, '0', is not"),
        ("0\t7\t0|soon", r"line 3: field 3, '0\|soon', is not"),
        ("0\t7\t0|1\t\t3|2", "line 3: field 4, '', is not"),
        ("0\t7\t-1|3", r"line 3: field 3, '-1\|3', is not"),
        ("0\t7\t0|99999999999999999999", "line 3: field 3, .*too large"),
    ],
)
def test_a_malformed_line_is_an_error_or_skipped_and_counted(raw_folder, line, match):
    (raw_folder / "testdata_new.txt").write_text(f"{FILES['testdata_new.txt']}{line}\n")
    refuse(raw_folder, rf"testdata_new\.txt, {match}.*; correct or delete the line, or .*--skip_bad_lines")
    summary = prepare(raw_folder, skip_bad_lines=True)
    assert summary.skipped.count == 1 and "testdata_new.txt, line 3" in summary.skipped.reports[0]
    assert summary.details["lines"]["test"].startswith("2 ")

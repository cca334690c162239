from __future__ import annotations

from tests.helpers.c2dsr_files import refuse


def test_domains_without_a_common_user_are_an_error(raw_folder):
    (raw_folder / "traindata_new.txt").write_text("0\t7\t0|1\t1|2\n1\t7\t3|1\t4|2\n")
    (raw_folder / "validdata_new.txt").write_text("0\t7\t0|1\t1|3\n1\t7\t3|1\t4|3\n")
    (raw_folder / "testdata_new.txt").write_text("0\t7\t0|1\t1|4\n1\t7\t3|1\t4|4\n")
    refuse(raw_folder, "no user has rows in both food and kitchen")

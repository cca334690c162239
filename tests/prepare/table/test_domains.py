from __future__ import annotations

import pytest

from tests.helpers.tables import TABLE, refuse, write_table


def test_one_or_three_domains_are_an_error_that_counts_them():
    write_table(TABLE.replace("home", "food"))
    refuse(r"must hold two domains, but holds 1: 'food' \(5 rows\)")
    write_table(TABLE + "u1,q,toys,3\n")
    refuse(r"holds 3: 'food' \(3 rows\), 'home' \(2 rows\), 'toys' \(1 rows\); keep the rows of two")


@pytest.mark.parametrize("domain", ["a/b", "..", ".hidden", "a\\b", " home", "x" * 101, "FOOD", "a:b"])
def test_domains_that_cannot_be_folders_are_refused(domain):
    write_table(TABLE.replace("home", domain))
    refuse("is to be the name of a folder|differ in case only")


def test_a_source_that_is_no_domain_is_an_error():
    refuse("--source 'foods' is neither 'food' nor 'home'", source="foods")

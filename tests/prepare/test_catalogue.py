from __future__ import annotations

from pathlib import Path

import pytest

from recbole_lecdsr.files import shipped
from recbole_lecdsr.prepare.catalogue import CATALOGUE, compare_with_published, find_published_lines
from recbole_lecdsr.prepare.summary import DomainCounts, JointCounts, PairCounts
from recbole_lecdsr.property_files import read_property_file

PROPERTIES = shipped("properties") / "dataset"


def test_the_catalogue_has_every_data_set_with_a_property_file():
    assert sorted(CATALOGUE) == sorted(path.stem for path in PROPERTIES.glob("*.yaml"))


@pytest.mark.parametrize("data", CATALOGUE.values(), ids=list(CATALOGUE))
def test_commands_name_the_domains_of_the_property_file(data):
    if data.folder is None:
        return
    values = read_property_file(PROPERTIES / f"{data.name}.yaml")
    options = [option for file in data.files for option in [file.option] if option not in ("", "--meta")]
    given = list(data.command)
    if not options:
        options = [f"--{role} {given[given.index(f'--{role}') + 1]}=" for role in ("source", "target")]
    assert options == [f"--{role} {values[f'{role}_domain']['dataset']}=" for role in ("source", "target")]
    assert given[given.index("--name") + 1] == data.name


@pytest.mark.parametrize(
    ("name", "edition", "lines"),
    [
        ("ratings_Books.csv", "2014", 22_507_155),
        ("reviews_Books.json.gz", "2014", 22_507_155),
        ("reviews_Books_5.json.gz", "2014", None),
        ("ratings_Books.csv", "2018", None),
        ("Video_Games.csv", "2018", 2_565_349),
    ],
)
def test_lines_of_published_files_are_known_by_name_and_edition(name, edition, lines):
    assert find_published_lines(Path("raw", name), edition) == lines


def counts(users: int, food: int, kitchen: int, interactions: int) -> PairCounts:
    domains = {
        "food": DomainCounts("source", users, food, 0, 0, 1),
        "kitchen": DomainCounts("target", users, kitchen, 0, 0, 1),
    }
    return PairCounts(domains, JointCounts(users, users, 0, interactions))


def test_counts_that_are_not_the_published_ones_are_warned_of():
    assert compare_with_published("amazon-food-kitchen", counts(7_144, 11_837, 16_258, 173_548)) == ()
    assert compare_with_published("shop", counts(1, 1, 1, 1)) == ()
    assert compare_with_published("c2dsr-food-kitchen", counts(16_579, 29_207, 34_886, 5)) == ()
    (warning,) = compare_with_published("amazon-food-kitchen", counts(7_144, 11_837, 16_258, 173_547))
    assert warning == (
        "the published amazon-food-kitchen has 7,144 users, 11,837 and 16,258 items, 173,548 interactions; this one "
        "has 7,144 users, 11,837 and 16,258 items, 173,547 interactions: are the raw files whole, the filters the same?"
    )

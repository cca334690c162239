"""``embed`` of profiles that consist of facets, as of some numbers of interactions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from recbole_lecdsr.data.embeddings.provenance import check_embedding_files, read_provenance
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.base import Answer, Backend
from recbole_lecdsr.llm.encoders import embed as embed_module
from recbole_lecdsr.llm.generation.profiler import Profiler
from recbole_lecdsr.llm.user_profiles import read_profiles
from tests.helpers.encoders import write_tiny_encoder
from tests.helpers.facets import EARLY, FACETS, FULL, HashEncoder, facets_of, write_facet_pair, write_lines
from tests.helpers.runs import load
from tests.llm.generation.test_profiler import lines, run

FOLDER = Path("dataset/pair")
USERS = [f"u{number}" for number in range(6)]


@pytest.fixture
def encoder(monkeypatch) -> HashEncoder:
    encoder = HashEncoder()
    monkeypatch.setattr(embed_module, "build_encoder", lambda config: encoder)
    return encoder


@pytest.fixture
def settings() -> dict[str, object]:
    return write_facet_pair(Path("dataset"))


def embed(settings, **changes) -> embed_module.EmbedReport:
    return embed_module.embed(load(settings, **changes))


def read_vectors(name: str = "pair.useremb") -> tuple[list[str], pd.DataFrame]:
    """The header, and a row for each user and number of events with a (D,) array in each column of vectors."""
    header, *rows = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    columns = [column.partition(":")[0] for column in header.split("\t")]
    table = pd.DataFrame([row.split("\t") for row in rows], columns=columns)
    for column in header.split("\t"):
        title, _, kind = column.partition(":")
        if kind == "float_seq":
            table[title] = [np.array(cell.split(" "), dtype=np.float32) for cell in table[title]]
    return header.split("\t"), table


# ------------------------------------------------------------------ one vector of each facet


def test_each_facet_becomes_a_column_and_events_are_carried_over(settings, encoder, caplog):
    caplog.set_level("INFO")
    rows = [facets_of(user, events) for user in USERS for events in (EARLY, FULL)]
    write_lines(FOLDER / "profiles.jsonl", rows)
    report = embed(settings)
    assert report.summary()["users"] == f"6 of 6, in 12 rows, with vectors of {', '.join(FACETS)}"
    header, table = read_vectors()
    assert header == ["user_id:token", "events:float", *(f"{name}:float_seq" for name in FACETS)]
    assert table["user_id"].tolist() == [row["user_id"] for row in rows]
    assert table["events"].tolist() == [str(row["events"]) for row in rows]
    for name in FACETS:
        texts = [row[name] if isinstance(row[name], str) else "; ".join(row[name]) for row in rows]
        np.testing.assert_array_equal(np.stack(table[name]), np.stack([encoder.vector(text) for text in texts]))
    assert "encoding the texts of 6 users: 12 rows of food, kitchen, both" in caplog.text
    sidecar = read_provenance(FOLDER / "pair.useremb")
    assert (sidecar["rows"], sidecar["vectors"], sidecar["size"], sidecar["of"]) == (12, FACETS, 6, 6)
    check_embedding_files([], FOLDER / "pair.useremb")


def test_the_file_of_a_single_profile_is_as_ever(settings, encoder):
    write_lines(FOLDER / "profiles.jsonl", [{"user_id": user, "profile": f"tea of {user}", "x": "y"} for user in USERS])
    assert embed(settings).summary()["users"] == "6 of 6"
    header, table = read_vectors()
    assert header == ["user_id:token", "user_emb:float_seq"] and table["user_id"].tolist() == USERS
    np.testing.assert_array_equal(table["user_emb"][2], encoder.vector("tea of u2"))


def test_fields_can_be_chosen_and_joined(settings, encoder):
    write_lines(FOLDER / "profiles.jsonl", [facets_of(user, EARLY) for user in USERS])
    embed(settings, user_text_fields="next_food,both")
    assert read_vectors()[0] == ["user_id:token", "events:float", "next_food:float_seq", "both:float_seq"]
    embed(settings, user_text_fields=["both", "next_food"], user_text_joined=True)
    header, table = read_vectors()
    assert header == ["user_id:token", "events:float", "user_emb:float_seq"]
    np.testing.assert_array_equal(table["user_emb"][1], encoder.vector("calm of u1 5. green tea; u1 5"))
    embed(settings, user_text_fields="food")
    np.testing.assert_array_equal(read_vectors()[1]["user_emb"][1], encoder.vector("teas of u1 5"))


def test_a_missing_facet_is_a_zero_vector_and_counted(settings, encoder, caplog):
    rows = [facets_of("u0", 3), facets_of("u1", 3, food=None, both=""), {"user_id": "u2", "events": 3, "age": 4}]
    write_lines(FOLDER / "profiles.jsonl", rows)
    changes = {"embedding_reduction": "pca", "embedding_reduction_size": 2}
    for reduction in ({}, changes):
        caplog.clear()
        embed(settings, **reduction)
        table = read_vectors()[1]
        assert table["user_id"].tolist() == ["u0", "u1"], "without any text there is no row"
        assert not table["food"][1].any() and not table["both"][1].any() and table["kitchen"][1].any()
        assert "1 of 2 rows have no text under food and get a zero vector" in caplog.text
        assert "under kitchen" not in caplog.text and "" not in encoder.texts


def test_each_facet_is_reduced_as_the_items_are(settings, encoder):
    write_lines(FOLDER / "profiles.jsonl", [facets_of(user, EARLY) for user in USERS])
    embed(settings, embedding_reduction="pca", embedding_reduction_size=2)
    with np.load(FOLDER / "pair.reduction.npz") as file:
        mean, components = file["mean"], file["components"]
    table = read_vectors()[1]
    for name, text in (("food", "teas of u3 5"), ("next_kitchen", "teapot; cup")):
        reduced = (encoder.vector(text) - mean) @ components
        np.testing.assert_allclose(table[name][3], reduced / np.linalg.norm(reduced), rtol=1e-5)
    assert read_provenance(FOLDER / "pair.useremb")["size"] == 2


# ------------------------------------------------------------------ several files


def test_several_files_give_the_rows_of_each_user(settings, encoder, caplog):
    caplog.set_level("INFO")
    write_lines(FOLDER / "early.jsonl", [facets_of(user, EARLY) for user in USERS])
    write_lines(FOLDER / "full.jsonl", [facets_of(user, FULL if user != "u3" else EARLY, both="x") for user in USERS])
    (FOLDER / "early.jsonl.json").write_text(json.dumps({"model": "one", "split": {"LS": "valid_and_test"}}))
    before = (FOLDER / "pair.useremb").read_bytes()
    report = embed(settings, profile_file="early.jsonl,full.jsonl", user_embedding_file="facets.useremb")
    assert (report.users, report.rows) == (6, 11) and (FOLDER / "pair.useremb").read_bytes() == before
    table = read_vectors("facets.useremb")[1].set_index(["user_id", "events"])
    np.testing.assert_array_equal(table.loc[("u3", "5"), "both"], encoder.vector("x"))
    assert (
        "1 lines of dataset/pair/early.jsonl, dataset/pair/full.jsonl give way to lines of a later file" in caplog.text
    )
    files = read_provenance(FOLDER / "facets.useremb")["profile_files"]
    assert files == {"early.jsonl": {"model": "one", "split": {"LS": "valid_and_test"}}, "full.jsonl": {}}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["early.jsonl", "empty.jsonl"], r"empty\.jsonl, line 1: it has no lines: write"),
        (["early.jsonl", "absent.jsonl"], r"absent\.jsonl does not exist"),
        (["early.jsonl", "other.jsonl"], r"other\.jsonl was made for split \{'RS': \[8, 1, 1\]\}"),
        (["early.jsonl", "made.jsonl"], r"made\.jsonl was made by `profile`.*made\.jsonl\.json is missing"),
        (["early.jsonl", "alien.jsonl"], r"alien\.jsonl, line 2: user 'x1' and 0 others have no interactions"),
    ],
)
def test_each_file_is_checked(settings, encoder, names, message):
    write_lines(FOLDER / "early.jsonl", [facets_of("u0", 5)])
    write_lines(FOLDER / "empty.jsonl", [])
    write_lines(FOLDER / "other.jsonl", [facets_of("u0", 8)])
    (FOLDER / "other.jsonl.json").write_text(json.dumps({"split": {"RS": [8, 1, 1]}}))
    write_lines(FOLDER / "made.jsonl", [facets_of("u0", 8, source="m")])
    write_lines(FOLDER / "alien.jsonl", [facets_of("u0", 8), facets_of("x1", 8)])
    with pytest.raises(UserError, match=message):
        embed(settings, profile_file=names)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["both", "fod"], r"no line has a text under 'fod' of user_text_fields; there are food, kitchen, both, next_"),
        (["fod"], r"line 1: no line has a text under 'fod' \(fields: food, kitchen"),
        (["age"], r"line 1: age must be a text or a list of texts, not 4"),
    ],
)
def test_fields_that_cannot_be_encoded_are_named(settings, encoder, fields, message):
    write_lines(FOLDER / "profiles.jsonl", [facets_of("u0", 5, age=4)])
    with pytest.raises(UserError, match=rf"profiles\.jsonl.*{message}"):
        embed(settings, user_text_fields=fields)


def test_a_name_that_no_column_can_have_is_an_error_before_anything_is_encoded(settings, encoder):
    write_lines(FOLDER / "profiles.jsonl", [{"user_id": "u0", "a:b": "tea", "c": "cup"}])
    with pytest.raises(UserError, match=r"profiles\.jsonl: 'a:b' cannot be the name of a column"):
        embed(settings)
    assert not encoder.texts


def test_profiles_that_know_more_than_training_interactions_are_warned_of(settings, caplog):
    write_lines(FOLDER / "profiles.jsonl", [facets_of("u0", FULL), facets_of("u1", FULL + 1), facets_of("u2", 99)])
    assert read_profiles(load(settings)).events == [FULL, FULL + 1, 99]
    assert "profiles.jsonl, line 2: events are 9, but user 'u1' has 8 training interactions, and so it" in caplog.text


# ------------------------------------------------------------------ from a language model to vectors


class FacetBackend(Backend):
    """Answers with the fields that a prompt asks for."""

    def count_tokens(self, text):
        return len(text)

    def run(self, requests, on_outcome):
        for request in requests:
            content = request.messages[1]["content"]
            names = json.loads(f"[{content.partition('these fields: ')[2].partition('.')[0]}]")
            shown = sum(line[:1].isdigit() for line in content.split("\n"))
            facets = {name: ["tea \ud83c", "cup"] if "next" in name else f"{shown} of {name}" for name in names}
            on_outcome(request, Answer(f"```json\n{json.dumps(facets)}\n```"))


def test_facets_of_a_language_model_are_written_and_embedded(settings, encoder):
    job = Profiler(load(settings, llm={"model": "m", "prompt": "facets"}, as_of=[0.7, 1.0]))
    job.backend = FacetBackend()
    assert job.run().summary()["profiles"].startswith("12 of 12")
    assert lines(FOLDER / "profiles.jsonl")[:2] == [
        {
            "user_id": "u0", "events": count, "food": f"{count} of food", "kitchen": f"{count} of kitchen",
            "both": f"{count} of both", "next_food": ["tea \ufffd", "cup"], "next_kitchen": ["tea \ufffd", "cup"],
            "source": "m",
        }
        for count in (EARLY, FULL)
    ]  # fmt: skip
    assert embed(settings).rows == 12
    sidecar = read_provenance(FOLDER / "pair.useremb")["profile_file"]
    assert (sidecar["prompt"], sidecar["as_of"], sidecar["model"]) == ("facets", [0.7, 1.0], "m")
    assert sidecar["split"] == {"LS": "valid_and_test"}
    np.testing.assert_array_equal(read_vectors()[1]["next_food"][0], encoder.vector("tea \ufffd; cup"))


def test_the_command_writes_facets_beside_the_usual_file(settings, capsys, tmp_path):
    tiny = write_tiny_encoder(tmp_path / "tiny")
    Path("run.yaml").write_text(yaml.safe_dump(settings))
    for name, events in (("early", EARLY), ("full", FULL)):
        write_lines(FOLDER / f"{name}.jsonl", [facets_of(user, events) for user in USERS])
    status, printed, _ = run(
        capsys, "embed", "--config_files", "run.yaml", f"--encoder={tiny}", "--profile_file=early.jsonl,full.jsonl",
        "--user_embedding_file=facets.useremb",
    )  # fmt: skip
    assert status == 0 and "users: 6 of 6, in 12 rows, with vectors of food, kitchen, both" in printed
    header, table = read_vectors("facets.useremb")
    assert len(header) == 7 and len(table) == 12 and len(table["both"][0]) == 8

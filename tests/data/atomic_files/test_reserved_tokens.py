from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.reserved_tokens import LONGEST_TOKEN, RESERVED, refuse_quoted, refuse_unusable
from recbole_lecdsr.errors import UserError
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import load


def file(*rows: str, header: str = "user_id:token\titem_id:token\tnote:token") -> Path:
    path = Path("file.inter")
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("word", RESERVED)
def test_a_word_that_pandas_takes_for_a_missing_cell_is_refused_with_its_line(word):
    path = file("u\ti\tx", f"u\t{word}\tx", "nan\ti\tx")
    with pytest.raises(UserError, match=r"file\.inter, line 3: item_id is .*rename it in every file"):
        refuse_unusable(path, "item_id", {"i", word, "NaN"} - ({"NaN"} if word != "NaN" else set()))
    refuse_unusable(path, "item_id", {"i", "NaNa", "Nullo", "none"})


@pytest.mark.parametrize(
    ("row", "seen"),
    [('"u\ti\tx', '"u'), ('u\t"i"\tx', '"i"'), ('u\ti\t"x', '"x'), ('u\ti\t"x" y', '"x" y')],
)
def test_a_cell_that_recbole_reads_as_quoted_is_refused_with_its_line(row, seen):
    path = file("u\ti\tx", 'u\ti"\t', row, "u\ti\tx")
    with pytest.raises(UserError, match=r"file\.inter, line 4: \w+ is .*quoted cell; remove the mark") as caught:
        refuse_quoted(path, ("user_id", "item_id"))
    assert repr(seen) in str(caught.value)


def test_what_is_not_refused_is_read_by_recbole_as_it_stands():
    rows = ['u"\ti""\t"a ""fine"" text"', "u'\t'i'\t\"\"", 'u\ti"x"\tsay "it"']
    path = file(*rows)
    refuse_quoted(path, ("user_id", "item_id"))
    back = pd.read_csv(path, delimiter="\t", dtype=str, engine="python", keep_default_na=False)
    assert back.iloc[:, :2].agg("\t".join, axis=1).tolist() == [row.rpartition("\t")[0] for row in rows]


@pytest.mark.parametrize("token", ["NA", '"i3'])
@pytest.mark.parametrize("domain", ["source", "target"])
def test_a_data_set_with_such_a_token_is_refused(tmp_path, token, domain):
    settings = write_pair(tmp_path / "dataset", random_events(6))
    path = tmp_path / "dataset" / "pair" / domain / f"{domain}.inter"
    lines = path.read_text().splitlines()
    lines[4] = f"u1\t{token}\t3.0"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=rf"{domain}\.inter, line 5: item_id is "):
        load(settings)


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("u1\x00", r"'u1\\x00', a token with a control character"),
        ("\x1bu", "a token with a control character"),
        ("u\x85v", "a token with a control character"),
        ("u\u2028", "a token with a control character"),
        ("\ufeffu", "a token with a control character"),
        ("x" * 100_000, "a token of 100,000 characters, more than 256"),
        ("x" * (LONGEST_TOKEN + 1), "a token of 257 characters"),
    ],
)
@pytest.mark.parametrize("field", ["user_id", "item_id"])
def test_case_r12_control_characters_and_very_long_tokens_are_refused_with_their_line(tmp_path, token, problem, field):
    settings = write_pair(tmp_path / "dataset", random_events(6))
    path = tmp_path / "dataset" / "pair" / "source" / "source.inter"
    lines = path.read_text().splitlines()
    lines[6] = f"{token}\ts1\t3.0" if field == "user_id" else f"u1\t{token}\t3.0"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=rf"source\.inter, line 7: {field} is .*{problem}.*in every file") as caught:
        load(settings)
    assert len(str(caught.value)) < 500


def test_case_r12_an_item_file_is_checked_as_well(tmp_path):
    settings = write_pair(tmp_path / "dataset", random_events(6))
    (tmp_path / "dataset" / "pair" / "source" / "source.item").write_text("item_id:token\ns1\ns1\x00\n")
    with pytest.raises(UserError, match=r"source\.item, line 3: item_id is 's1\\x00', a token with a control"):
        load(settings, load_col={"item": ["item_id"]})


def test_case_r12_the_longest_token_and_other_scripts_are_read(tmp_path):
    names = {"u0": "x" * LONGEST_TOKEN, "u1": "ü 平", "u2": "a\u00a0b", "u3": "🙂\u200d"}
    events = [(names.get(user, user), *rest) for user, *rest in random_events(6)]
    dataset = load(write_pair(tmp_path / "dataset", events))
    assert set(dataset.user_token) == {"[PAD]", "u4", "u5", *names.values()}


def test_an_item_file_is_checked_where_recbole_reads_it(tmp_path):
    settings = write_pair(tmp_path / "dataset", random_events(6))
    (tmp_path / "dataset" / "pair" / "source" / "source.item").write_text('item_id:token\ttitle:token\ns1\t"Cross\n')
    load(settings)
    with pytest.raises(UserError, match=r"source\.item, line 2: title is '\"Cross'"):
        load(settings, load_col={"item": ["item_id"]})


def test_a_byte_order_mark_before_the_first_row_belongs_to_its_token(tmp_path):
    path = tmp_path / "book.item"
    path.write_text("item_id:token\n\ufeffa\nb\n", encoding="utf-8")
    assert atomic_file.read(path, {"item_id": "token"})["item_id"].tolist() == ["\ufeffa", "b"]

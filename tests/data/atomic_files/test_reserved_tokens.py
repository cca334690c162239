from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from recbole_lecdsr.data.atomic_files.reserved_tokens import RESERVED, refuse_quoted, refuse_reserved
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
        refuse_reserved(path, "item_id", {"i", word, "NaN"} - ({"NaN"} if word != "NaN" else set()))
    refuse_reserved(path, "item_id", {"i", "NaNa", "Nullo", "none"})


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


def test_an_item_file_is_checked_where_recbole_reads_it(tmp_path):
    settings = write_pair(tmp_path / "dataset", random_events(6))
    (tmp_path / "dataset" / "pair" / "source" / "source.item").write_text('item_id:token\ttitle:token\ns1\t"Cross\n')
    load(settings)
    with pytest.raises(UserError, match=r"source\.item, line 2: title is '\"Cross'"):
        load(settings, load_col={"item": ["item_id"]})

"""Runs on data in another encoding, with other separators and other names of columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.link_file import read_links
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.encoders import embed as embed_module
from recbole_lecdsr.llm.text_sources import item_records
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import load, train

FIELDS = {"USER_ID_FIELD": "reader", "ITEM_ID_FIELD": "work", "TIME_FIELD": "moment"}
LOADED = {"inter": ["reader", "work", "moment"], "item": ["work", "title"], "user": ["reader", "age"]}
TEA = "绿茶"


def rewrite(folder: Path, name: str, encoding: str, separator: str) -> None:
    """Write a domain again, with a Chinese character in each token, and with .item and .user files."""
    lines = (folder / f"{name}.inter").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    files = {
        "inter": ["reader:token\twork:token\tmoment:float", *(f"甲{u}\t乙{i}\t{t}" for u, i, t in rows)],
        "item": ["work:token\ttitle:token_seq", *(f"乙{i}\t{TEA},{i}" for i in sorted({i for _, i, _ in rows}))],
        "user": ["reader:token\tage:float", *(f"甲{u}\t{len(u)}" for u in sorted({u for u, *_ in rows}))],
    }
    for suffix, content in files.items():
        text = "\n".join(content).replace("\t", separator) + "\n"
        (folder / f"{name}.{suffix}").write_bytes(text.encode(encoding))
    (folder / f"{name}.itememb").unlink()


@pytest.fixture
def settings(tmp_path) -> dict[str, object]:
    """A pair whose source is GBK with semicolons, and whose target is GB18030 with vertical bars."""
    made = write_pair(tmp_path, random_events(12))
    rewrite(tmp_path / "pair/source", "source", "gbk", ";")
    rewrite(tmp_path / "pair/target", "target", "gb18030", "|")
    return {
        **made, **FIELDS, "load_col": LOADED, "seq_separator": ",", "encoding": "gbk", "field_separator": ";",
        "target_domain": {"dataset": "target", "encoding": "gb18030", "field_separator": "|"},
    }  # fmt: skip


def test_case_r17_a_run_reads_every_file_in_the_format_of_its_domain(settings, tmp_path):
    dataset = load(settings)
    for domain in ("source", "target"):
        part = getattr(dataset, f"{domain}_domain_dataset")
        items = {token for token in dataset.token_ids(domain, "item") if token != "[PAD]"}
        assert items == dataset.file_tokens[domain].items and all(token.startswith("乙") for token in items)
        titles = np.concatenate([np.asarray(title).ravel() for title in part.item_feat[f"{domain}_title"]])
        words = set(part.field2id_token[f"{domain}_title"][titles.astype(int)]) - {"[PAD]"}
        assert words == {TEA, *(token[1:] for token in items)}
        assert item_records(dataset, domain)[min(items)] == {"title": f"{TEA},{min(items)[1:]}"}
        ages = part.user_feat[f"{domain}_age"][1:]
        assert set(ages.tolist()) <= {2.0, 3.0}


class Encoder:
    """Random vectors."""

    dims = 6

    def encode(self, texts, show_progress=False, kind="item"):
        return np.random.default_rng(len(texts)).normal(size=(len(texts), 6)).astype(np.float32)


def test_case_r17_embed_train_and_evaluate_in_another_format(settings, monkeypatch):
    monkeypatch.setattr(embed_module, "build_encoder", lambda config: Encoder())
    report = embed_module.embed(load(settings, item_text=["title"], user_text="history"))
    assert min(report.items.values()) > 0 and report.users == report.n_users
    dataset = load(settings)
    dataset.item_embedding()
    dataset.user_vectors()
    assert all(part["with_embedding"] == part["total"] > 0 for part in dataset.coverage.values())
    assert train(settings, train_epochs=["BOTH:1"])["test_result"]


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_case_r17_bytes_of_another_encoding_are_refused_with_their_line(tmp_path, part):
    path = tmp_path / f"book.{part}.inter"
    path.write_bytes(b"user_id:token\nu1\n" + TEA.encode("gbk") + b"\r\n\xff\xff\n")
    with pytest.raises(
        UserError, match=r"inter, line 3: b'\\xc2\\xcc.* is not UTF-8; save the file in it, or set encoding"
    ):
        atomic_file.read(path, {"user_id": "token"}, encoding="utf-8")
    with pytest.raises(UserError, match=r"inter, line 4: b'\\xff\\xff\\n' is not gbk; save the file in it, or set enc"):
        atomic_file.read(path, {"user_id": "token"}, encoding="gbk")
    path.write_bytes(b"user\xff_id:token\nu1\n")
    with pytest.raises(UserError, match=r"inter, line 1: b'\\xff_id:tok' is not gbk"):
        atomic_file.read(path, {"user_id": "token"}, encoding="gbk")


def test_case_r17_links_are_read_in_their_encoding_with_their_separator(tmp_path):
    path = tmp_path / "pair.link"
    path.write_bytes(f"source_id:token;target_id:token\r\n{TEA};b\n".encode("gbk"))
    assert read_links(path, "user_id", "user_id", ";", "gbk") == {TEA: "b"}


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig", "latin-1", "gbk", "big5", "shift_jis", "euc_kr"])
def test_case_r17_a_file_is_read_alike_in_every_encoding(tmp_path, encoding):
    path = tmp_path / "book.item"
    path.write_bytes("item_id:token\tprice:float\ri1\t2.5\r\n\ni2\t1\n".replace("\r", "\n", 1).encode(encoding))
    frame = atomic_file.read(path, {"item_id": "token", "price": "float"}, encoding=encoding)
    assert frame.to_dict("list") == {"item_id": ["i1", "i2"], "price": [2.5, 1.0]}
    path.write_bytes("item_id:token\tprice:float\ni1\t2.5\n\ni2\tx\n".encode(encoding))
    with pytest.raises(UserError, match=r"book\.item, line 4: price is 'x'"):
        atomic_file.read(path, {"item_id": "token", "price": "float"}, encoding=encoding)


@pytest.mark.parametrize("token", ["甲u0\x00", "NaN"])
def test_case_r12_a_user_file_is_checked_as_well(settings, tmp_path, token):
    path = tmp_path / "pair/source/source.user"
    path.write_bytes(f"reader:token;age:float\n甲u1;3\n{token};3\n".encode("gbk"))
    with pytest.raises(UserError, match=r"source\.user, line 3: reader is "):
        load(settings)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("user", 'reader:token;""":float\n甲u1;3\n', "line 1: RecBole takes the quotation mark of"),
        ("user", "reader:token;age:float_seq\n甲u1;3,null\n", "line 2: age is '3,null', which is not a number"),
        ("user", "reader:token;age:float\n甲u1;\n甲u2;inf\n", "line 3: age is 'inf', which is not a number"),
        ("item", f"work:token;title:token\n乙s1;{'x' * 131_073}\n", "line 2: title has 131,073 characters"),
    ],
    ids=lambda text: text[:16],
)
def test_case_t2_what_recbole_cannot_read_is_refused_with_its_line(settings, tmp_path, name, content, problem):
    (tmp_path / f"pair/source/source.{name}").write_bytes(content.encode("gbk"))
    with pytest.raises(UserError, match=rf"source\.{name}, {problem}"):
        load({**settings, "load_col": {**LOADED, "item": "*", "user": "*"}})

